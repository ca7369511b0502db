"""Columns as fields of the files of a lake, and back: JSON is text there, and is marked as what it is."""

from __future__ import annotations

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.arrow import arrow_type
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import StoredTable

MARK, JSON = "cio_replicate.type", "json"
_FIRST = (
    (pa.types.is_boolean, ColumnType.BOOLEAN),
    (pa.types.is_integer, ColumnType.INTEGER),
    (pa.types.is_floating, ColumnType.NUMBER),
    (pa.types.is_decimal, ColumnType.NUMBER),
    (pa.types.is_temporal, ColumnType.TIMESTAMP),
    (pa.types.is_nested, ColumnType.JSON),
)


def field_for(column: Column) -> pa.Field:
    """The field of a file for a column."""
    marks = {MARK: JSON} if column.type is ColumnType.JSON else None
    return pa.field(column.name, arrow_type(column.type), metadata=marks)


def kind_of(field: pa.Field) -> ColumnType:
    """The type of the column that a field is for; of what we never wrote, the one that comes nearest."""
    if field.metadata and field.metadata.get(MARK.encode()) == JSON.encode():
        return ColumnType.JSON
    return next((kind for fits, kind in _FIRST if fits(field.type)), ColumnType.STRING)


def require_types(shape: StoredTable, schema: pa.Schema) -> None:
    """Raise LoadError when a column of a shape has another type than the table's."""
    for column in shape.columns:
        known = schema.field(column.name).type
        if known != arrow_type(column.type):
            raise LoadError(
                f"The column {column.name} of {shape.name} holds {known}, but is to hold {arrow_type(column.type)}.",
                "Drop the table, or choose another --dataset.",
            )
