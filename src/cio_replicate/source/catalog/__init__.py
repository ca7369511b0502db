"""The catalog: all tables in the order in which they are shown, and facts about one."""

from __future__ import annotations

from collections.abc import Iterator

from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import account_tables, delivery_tables, people_tables, sending_tables
from cio_replicate.source.strategies import strategy_class

TABLES: tuple[Table, ...] = (
    sending_tables.BROADCASTS,
    sending_tables.TRANSACTIONAL_MESSAGES,
    people_tables.CUSTOMERS,
    sending_tables.CAMPAIGNS,
    sending_tables.NEWSLETTERS,
    people_tables.SEGMENTS,
    delivery_tables.MESSAGES,
    account_tables.EXPORTS,
    delivery_tables.ACTIVITIES,
    account_tables.SENDER_IDENTITIES,
    account_tables.REPORTING_WEBHOOKS,
    account_tables.SNIPPETS,
    account_tables.IP_ADDRESSES,
    account_tables.COLLECTIONS,
    account_tables.TOPICS,
    account_tables.WORKSPACES,
    account_tables.TYPES,
    account_tables.EPS_SUPPRESSION,
    sending_tables.CAMPAIGN_ACTIONS,
    sending_tables.BROADCAST_ACTIONS,
)

#: The tables that play a part in how others are read, verified and erased.
ACTIVITY_LOG = delivery_tables.ACTIVITIES
PEOPLE = people_tables.CUSTOMERS
ACCOUNT = account_tables.WORKSPACES

_BY_NAME = {table.name: table for table in TABLES}


def table(name: str) -> Table:
    """The table of that name; KeyError when there is none."""
    return _BY_NAME[name]


def names() -> tuple[str, ...]:
    """The names of all tables, in their order."""
    return tuple(_BY_NAME)


def facts_of(table: Table) -> Iterator[str]:
    """Yield what sets the table apart in how it is read and stored, in sentences."""
    if strategy_class(table).by_time:
        yield "Asked for in windows of time."
    if table.page_size:
        yield f"Comes in pages of up to {table.page_size:,} rows."
    if table.parent is not None:
        yield f"Requested for each row of `{table.parent.name}`, several of them at once."
    if len(table.slices) > 1:
        names = ", ".join(f"`{part.name}`" for part in table.slices)
        yield f"Read in parts: {names}."
    for part in table.slices:
        if part.covered_by:
            yield f"The part `{part.name}` is left out when `{part.covered_by}` turns out to hold the same rows."
    if table.start_date_column:
        yield f"Rows whose `{table.start_date_column}` lies before the start date are not copied."
    if not table.absence_deletes:
        yield "Rows are never marked deleted: that a read does not find one says nothing."
    if table.retention_days:
        yield f"Customer.io promises to keep a row for {table.retention_days} days: run at least that often."
