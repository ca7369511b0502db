"""A trial of a place: a small table of its own that is made, written, read back and dropped."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.schema.arrow import schema_for
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import ChangeSet, StoredTable, TableBackend

COLUMNS = (
    Column("name", ColumnType.STRING, "A text in several scripts."),
    Column("number", ColumnType.INTEGER, "The largest number."),
    Column("moment", ColumnType.TIMESTAMP, "A moment in UTC."),
    Column("anything", ColumnType.JSON, "A JSON text, which must stay as it is."),
)
ROWS: tuple[dict[str, object], ...] = (
    {
        "name": "first ✓ ünï",
        "number": 2**63 - 1,
        "moment": datetime(2024, 1, 31, 12, 0, 0, 1, UTC),
        "anything": '{"b":1.0,"a":2}',
    },
    {"name": "second", "number": None, "moment": None, "anything": None},
)


def trial_name() -> str:
    """A name that no table has."""
    return f"_cio_check_{uuid.uuid4().hex[:12]}"


def try_out(store: TableBackend, shown: str) -> None:
    """Make, write, read back and drop a small table. Raises DestinationUnavailableError when that does not go well."""
    shape = StoredTable(trial_name(), COLUMNS, "name")
    rows = pa.Table.from_pylist(list(ROWS), schema=schema_for(COLUMNS))
    store.open()
    try:
        store.write(ChangeSet(shape, rows.to_reader(), len(rows), pa.array([], pa.string())))
        back = store.read(shape, [column.name for column in COLUMNS]).read_all()
        require_same(back.to_pylist(), shown)
    finally:
        store.drop(shape.name)


def require_same(rows: Sequence[Mapping[str, object]], shown: str) -> None:
    """Raise DestinationUnavailableError when what was read back is not what was written."""
    key = COLUMNS[0].name
    if sorted(rows, key=lambda row: str(row[key])) != sorted(ROWS, key=lambda row: str(row[key])):
        raise DestinationUnavailableError(
            f"{shown} does not give back what is written to it.",
            "Report this with the kind and version of the destination: a copy there could not be trusted.",
        )
