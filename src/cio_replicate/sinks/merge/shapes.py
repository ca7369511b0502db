"""The shapes of a copy's tables as they stand in a store: pure functions of the table and what is known of the copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cio_replicate.config.naming import RESERVED
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    COPY_COLUMNS,
    DIGEST,
    HISTORY_COLUMNS,
    POSITION_COLUMNS,
    POSITIONS,
    SYSTEM_COLUMNS,
    Record,
)
from cio_replicate.schema.table import Column, ColumnType, Reading, Table
from cio_replicate.sinks.backend import StoredTable, TableBackend
from cio_replicate.sinks.expected import CopyFacts

COPY_SHAPE = StoredTable(COPY, COPY_COLUMNS, "copy_id")
POSITION_SHAPE = StoredTable(POSITIONS, POSITION_COLUMNS, "table_name")


def found_columns(table: Table, facts: CopyFacts) -> list[Column]:
    """The columns of a table that its declaration does not have, but the API once sent."""
    known = {column.name for column in table.columns}
    return [
        Column(one.name, one.type, "Sent by the API though not in its documentation.", one.path)
        for one in facts.found.get(table.name, [])
        if one.name not in known
    ]


def left_columns(columns: Sequence[Column], there: Mapping[str, ColumnType]) -> list[Column]:
    """Of the columns that a table has, those of the workspace that are not among `columns`: ones no longer copied."""
    known = {column.name.casefold() for column in columns}
    return [
        Column(name, kind, "No longer copied.")
        for name, kind in there.items()
        if name.casefold() not in known and not name.casefold().startswith(RESERVED)
    ]


def left_in(store: TableBackend, table: Table, columns: Sequence[Column], facts: CopyFacts) -> list[Column]:
    """As `left_columns`, of a table in a store, as far as they are known to be ours: somebody may have added more."""
    ours = {column.name: column.type for column in found_columns(table, facts)}
    if table.hidden:
        there = store.columns(table.target)
        hidden = {table.naming.column(one.name): one.type for one in table.hidden}
        ours |= {name: kind for name, kind in hidden.items() if there.get(name) is kind}
    return left_columns(columns, ours)


def main_shape(table: Table, columns: Sequence[Column], *, versions: bool) -> StoredTable:
    """The table itself; with `versions` a row per version."""
    every = (*columns, *SYSTEM_COLUMNS, DIGEST, *(HISTORY_COLUMNS if versions else ()))
    return StoredTable(table.target, every, "_cio_version" if versions else "_cio_key", _split_by(table))


def record_shape(record: Record) -> StoredTable:
    """A table about runs."""
    return StoredTable(record.name, record.columns, record.key)


def key_shape(name: str) -> StoredTable:
    """A table as far as its rows are told apart, and whether they hold."""
    return StoredTable(name, (*SYSTEM_COLUMNS, DIGEST, *HISTORY_COLUMNS), "_cio_key")


def changes_shape(table: Table, columns: Sequence[Column]) -> StoredTable:
    """The table of its changes."""
    every = (*CHANGE_COLUMNS, *columns, *SYSTEM_COLUMNS, DIGEST)
    return StoredTable(table.target + CHANGES_SUFFIX, every, "_cio_sequence", "_cio_changed_at")


def _split_by(table: Table) -> str | None:
    """Lists are small; deliveries and the log grow with time."""
    grows = table.reading is Reading.WINDOWS or table.retention_days is not None
    return table.start_date_column if grows else None
