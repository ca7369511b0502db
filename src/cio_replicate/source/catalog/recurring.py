"""Columns that stand in several tables and mean the same in each."""

from __future__ import annotations

from cio_replicate.schema.table import Column, ColumnType

DEDUPLICATE_ID = Column(
    "deduplicate_id",
    ColumnType.STRING,
    "Id and time of the last change in unix seconds, joined by a colon; it differs whenever the record has changed.",
)

TAGS = Column("tags", ColumnType.JSON, "The tags given to it, as an array of texts; null or an empty array without.")

CREATED_BY = Column(
    "created_by", ColumnType.STRING, "Who created it, as Customer.io names the person; null when not sent."
)

#: Campaigns and broadcasts can be set to start and stop by themselves.
SCHEDULED = (
    Column("scheduled_start", ColumnType.TIMESTAMP, "When it is set to start by itself; null without a schedule."),
    Column("scheduled_stop", ColumnType.TIMESTAMP, "When it is set to stop by itself; null without a schedule."),
    Column(
        "scheduled_start_should_backfill",
        ColumnType.BOOLEAN,
        "Whether a scheduled start also takes in the people who match already.",
    ),
    Column(
        "scheduled_stop_should_sunset",
        ColumnType.BOOLEAN,
        "Whether people already under way may finish after a scheduled stop.",
    ),
)


def person_identifiers(field: str) -> tuple[Column, ...]:
    """The columns of the object `field` that names a person by each of its identifiers."""
    return (
        Column(
            f"{field}__email",
            ColumnType.STRING,
            "The person's email address; null when it has none or the workspace does not identify people by it.",
            personal=True,
            identifies=True,
        ),
        Column(
            f"{field}__id",
            ColumnType.STRING,
            "The id you gave the person; null or empty when you gave none.",
            personal=True,
            identifies=True,
        ),
        Column(
            f"{field}__cio_id",
            ColumnType.STRING,
            "Customer.io's own id of the person, which never changes: the `cio_id` of `customers`.",
        ),
    )
