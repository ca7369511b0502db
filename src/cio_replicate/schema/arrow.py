"""Columns as Arrow fields: the shape of a landed page."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from cio_replicate.schema.table import Column, ColumnType

TIMESTAMP = pa.timestamp("us", "UTC")

_TYPES = {
    ColumnType.STRING: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: TIMESTAMP,
    ColumnType.JSON: pa.string(),
}

#: What a landed row carries besides the table's columns. `_cio_seen_only` marks a row that proves that the record
#: still exists, and is not to be written: it lies before the start date, or its content could not be read.
LANDED = (
    pa.field("_cio_key", pa.string()),
    pa.field("_cio_extra", pa.string()),
    pa.field("_cio_synced_at", TIMESTAMP),
    pa.field("_cio_seen_only", pa.bool_()),
)


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type that holds a column type; JSON travels as its text."""
    return _TYPES[kind]


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The schema of a landed page with these columns."""
    return pa.schema([*(pa.field(column.name, _TYPES[column.type]) for column in columns), *LANDED])


def schema_for(columns: Iterable[Column]) -> pa.Schema:
    """The schema of rows with just these columns, as they stand in a destination."""
    return pa.schema([pa.field(column.name, _TYPES[column.type]) for column in columns])
