"""People and the segments they are grouped in."""

from __future__ import annotations

from cio_replicate.schema.table import Table, boolean, integer, json, string, timestamp
from cio_replicate.source.catalog.shared_columns import DEDUPLICATE_ID, TAGS, person_identifiers

CUSTOMERS = Table(
    name="customers",
    about="People: one row each, with all attributes and devices.",
    operation="getPeopleFilter",
    path="/v1/customers",
    records="identifiers",
    key=("cio_id",),
    http_method="POST",
    # everybody has a cio_id: `id exists` would miss the people who are known by email only
    body={"filter": {"and": [{"attribute": {"field": "cio_id", "operator": "exists"}}]}},
    strategy="people",
    page_size=1000,
    person="_cio_key",  # the `cio_id`, whatever it is called in the copy
    columns=(
        string(
            "cio_id",
            "Customer.io's own id of the person, which never changes; keep it as text, since some read like numbers "
            "(`30e00001`).",
        ),
        string("id", "The id you gave the person; null or empty when you gave none.", personal=True, identifies=True),
        *person_identifiers("identifiers"),
        boolean("unsubscribed", "Whether the person has unsubscribed from everything that is optional."),
        json(
            "attributes",
            "All attributes of the person, as an object from name to value; every value is text, numbers and times "
            "included.",
            personal=True,
        ),
        json(
            "timestamps",
            "When each attribute was last set, as an object from its name to unix seconds; deprecated by Customer.io.",
            personal=True,
        ),
        json(
            "devices",
            "The person's devices, as an array of objects with `id`, `platform`, `last_used` (unix seconds) and "
            "`attributes`.",
            personal=True,
        ),
    ),
    notes=(
        (
            "First the identifiers of everybody are listed, a thousand a request, then [`POST "
            "/v1/customers/attributes`](https://docs.customer.io/api/app/#operation/getPeopleById) gives the rest, a "
            "hundred people a request. A million people are 11,000 requests, about 18 minutes at full speed."
        ),
        (
            "Names of attributes are your own: any characters, and two that differ only by case are two attributes. "
            "That is why they stay together in one JSON column."
        ),
        (
            "The API never says when a person changed: everybody is read in every run, and only rows that differ are "
            "written. With `--customers changes` everybody is listed, and the rest is asked for only of people who are "
            "new to the copy or back, who are listed with another email or id, or whom `activities` name as changed; "
            "every 7 days (`--full-every`) it is asked for of everybody all the same."
        ),
    ),
)

SEGMENTS = Table(
    name="segments",
    about="Segments, the groups of people, one row each.",
    operation="listSegments",
    path="/v1/segments",
    replication_key="updated_at",
    columns=(
        integer("id", "The segment's id."),
        DEDUPLICATE_ID,
        string("name", "The segment's name."),
        string("description", "What the segment is for, as written in Customer.io."),
        string(
            "state",
            "How far its membership is worked out: `finished`, or under way as `events`, `build`, `events_queued` or "
            "`build_queued`.",
        ),
        integer("progress", "How far that is, in percent; null when nothing is under way."),
        string(
            "type",
            "`dynamic` when conditions decide who is in it, `manual` when people are put in by hand or by the API.",
        ),
        TAGS,
        json(
            "conditions",
            "The conditions of a dynamic segment, as an object of nested `and`, `or` and `not`; null when not sent.",
        ),
        timestamp("created_at", "When the segment was created."),
        timestamp("updated_at", "When the segment was last changed."),
    ),
    notes=(
        "Archived segments are not listed: a segment that is archived counts as deleted here.",
        "While `state` is not `finished`, Customer.io's own idea of who is in the segment is out of date.",
    ),
)
