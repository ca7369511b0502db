"""Between Arrow and drivers that take and give rows as Python tuples; moments travel as text in UTC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from cio_replicate.sinks.sql.sql_backend import Value

ROWS_OF_AN_ANSWER = 500
NAIVE = pa.timestamp("us")


class DriverRows(Protocol):
    """What a driver gives an answer by."""

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:  # Any: what a driver makes of a value
        """The next rows, at most so many."""
        ...


def as_tuples(rows: pa.Table) -> list[tuple[Any, ...]]:  # Any: any value that a column can hold
    """The rows as tuples of what drivers take."""
    columns = [
        column.cast(NAIVE).cast(pa.string()).to_pylist()  # a hundred times as fast as datetimes
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for column in rows.columns
    ]
    return list(zip(*columns, strict=True))


def as_batches(rows: DriverRows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of an answer in batches of this schema."""
    while some := rows.fetchmany(ROWS_OF_AN_ANSWER):
        columns = [_array(values, field.type) for values, field in zip(zip(*some, strict=True), schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def as_texts(values: Sequence[Value]) -> list[Any]:  # Any: what a driver takes for a value
    """Values of a statement as drivers take them."""
    return [moment(value) if isinstance(value, datetime) else value for value in values]


def moment(value: datetime) -> str:
    """A moment as text, of a length and an order in which later is greater; without a zone it is in UTC."""
    utc = value if value.tzinfo is None else value.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(" ", "microseconds")


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:  # Any: as a driver gave them
    if pa.types.is_timestamp(kind):
        moments = [moment(value) if isinstance(value, datetime) else value for value in values]
        return pa.array(moments, pa.string()).cast(NAIVE).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in values], kind)
    return pa.array(values, kind)
