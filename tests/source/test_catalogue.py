"""The table of tables: complete, consistent, and explained."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.source.catalog import TABLES, names, table
from cio_replicate.source.strategies import strategy_class
from customerio_simulator.schemas import extra_fields_seen, record_schema

# integers that are moments, though their schema does not say so
MOMENTS = {"metrics", "scheduled_start", "scheduled_stop"}
SCALARS = {
    "string": ColumnType.STRING,
    "integer": ColumnType.INTEGER,
    "number": ColumnType.NUMBER,
    "boolean": ColumnType.BOOLEAN,
    "array": ColumnType.JSON,
    "object": ColumnType.JSON,
}
LONGEST = 200

each_table = pytest.mark.parametrize("one", TABLES, ids=names())


def test_the_promised_tables() -> None:
    """The tables that the product documentation promises are there, in its order, before all others."""
    assert names()[:18] == (
        "broadcasts",
        "transactional_messages",
        "customers",
        "campaigns",
        "newsletters",
        "segments",
        "messages",
        "exports",
        "activities",
        "sender_identities",
        "reporting_webhooks",
        "snippets",
        "ip_addresses",
        "collections",
        "topics",
        "workspaces",
        "types",
        "eps_suppression",
    )


def test_a_table_by_its_name() -> None:
    """A table is found by its name, and an unknown name is an error."""
    assert [table(name) for name in names()] == list(TABLES)
    with pytest.raises(KeyError):
        table("nothing")


@each_table
def test_every_documented_field_has_a_column(one: Table) -> None:
    """Every property of the API's record schema leads to a column of a fitting type, or into a JSON column."""
    schema = record_schema(one.name)
    if schema["type"] != "object":
        schema = {"type": "object", "properties": {"id": schema}}
    assert list(_unplaced(one, schema)) == []


@each_table
def test_every_field_seen_has_a_column(one: Table) -> None:
    """Every field that was seen although the API's schema lacks it leads to a column of a fitting type."""
    seen = {field["name"]: {"type": field["type"]} for field in extra_fields_seen(one.name)}
    assert list(_unplaced(one, {"type": "object", "properties": seen})) == []


def test_live_metrics_of_messages_have_columns() -> None:
    """The metrics that only live data shows are columns too, under names without punctuation."""
    places = {column.path: column.name for column in table("messages").columns}
    assert places[("metrics", "secondary:delivered")] == "metrics__secondary_delivered"
    assert {("metrics", "attempted"), ("metrics", "replied")} <= places.keys()


@each_table
def test_column_names_are_unique(one: Table) -> None:
    """No two columns of a table, system columns included, have one name or one path, even with case folded."""
    columns = [*one.columns, *SYSTEM_COLUMNS]
    assert len({column.name.casefold() for column in columns}) == len(columns)
    assert len({column.path for column in columns}) == len(columns)


@each_table
def test_column_names_are_plain(one: Table) -> None:
    """A column's name needs no quotes in any destination, and none begins like a system column's."""
    assert [column.name for column in one.columns if not re.fullmatch(r"[a-z][a-z0-9_]*", column.name)] == []


def test_system_columns_are_marked() -> None:
    """Every system column begins with `_cio_`, so that it meets no field of the API."""
    assert [column.name for column in SYSTEM_COLUMNS if not column.name.startswith("_cio_")] == []


@each_table
def test_keys_are_columns(one: Table) -> None:
    """The key of a table consists of its columns, each a top-level field."""
    assert one.key
    assert [name for name in one.key if one.column(name).path != (name,)] == []


@each_table
def test_replication_keys_are_moments(one: Table) -> None:
    """A replication key and the column of the start date are timestamps, and the same one when both are there."""
    named = [name for name in (one.replication_key, one.start_date_column) if name]
    assert {one.column(name).type for name in named} <= {ColumnType.TIMESTAMP}
    assert one.replication_key in {None, one.start_date_column}


@each_table
def test_incremental_means_a_replication_key(one: Table) -> None:
    """Incremental tables, and only those, have a replication key."""
    assert (one.method == "incremental") == (one.replication_key is not None)


@each_table
def test_everything_is_explained_in_one_sentence(one: Table) -> None:
    """What is said about a table and about each column is one sentence that ends in a period and is not long."""
    assert [about for about in _abouts(one) if not _is_one_sentence(about)] == []


def test_only_whole_lists_delete_by_absence() -> None:
    """Only lists that are read whole lose rows by absence: a log and a list asked for by time never do."""
    kept = {one.name for one in TABLES if not one.absence_deletes}
    assert kept == {"messages", "activities"}
    assert {one.name for one in TABLES if strategy_class(one).by_time} <= kept


@each_table
def test_parts_fill_the_path(one: Table) -> None:
    """Every part has a name of its own and gives the path all that it asks for."""
    assert len({part.name for part in one.slices}) == len(one.slices)
    assert one.parent is not None or all("{" not in one.path.format_map(part.path) for part in one.slices)
    assert {part.covered_by for part in one.slices} <= {None, *(part.name for part in one.slices)}


@each_table
def test_offsets_need_a_page_size(one: Table) -> None:
    """A list that is read by counting rows says how many come at once."""
    assert one.strategy != "offset" or one.page_size


def test_every_table_links_to_its_page() -> None:
    """Each table links to a page of its own in the API's reference."""
    links = {one.reference for one in TABLES}
    assert len(links) == len(TABLES)
    assert all(link.startswith("https://docs.customer.io/api/app/#operation/") for link in links)


def _unplaced(one: Table, schema: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[str]:
    """The documented fields at and below `at` that have no column of a fitting type."""
    columns = {column.path: column for column in one.columns}
    for name, field in schema["properties"].items():
        path = (*at, name)
        if path in one.objects:
            yield from _unplaced(one, field, path)
        elif path not in columns:
            yield f"{'.'.join(path)} has no column"
        elif not _fits(columns[path], field):
            yield f"{'.'.join(path)} is {field['type']}, its column {columns[path].type}"


def _fits(column: Column, field: dict[str, Any]) -> bool:
    moment = "unix timestamp" in field.get("format", "").casefold() or column.path[0] in MOMENTS
    return column.type is (ColumnType.TIMESTAMP if moment else SCALARS[field["type"]])


def _abouts(one: Table) -> list[str]:
    return [one.about, *(column.about for column in (*one.columns, *SYSTEM_COLUMNS))]


def _is_one_sentence(about: str) -> bool:
    begins = about[:1].isupper() or about.startswith("`")
    return begins and about.endswith(".") and not re.search(r"[.!?]\s", about) and len(about) <= LONGEST


def test_children_name_their_parent() -> None:
    """A table with a parent has one open place in its path, of the name of the column that joins to the parent."""
    for one in (one for one in TABLES if one.parent is not None):
        (field,) = re.findall(r"{(\w+)}", one.path)
        assert one.column(field).type is ColumnType.INTEGER
        assert one.strategy == "children"
        assert one.parent in TABLES
