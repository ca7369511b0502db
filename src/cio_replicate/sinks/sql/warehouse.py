"""The store that keeps tables in SQL databases and warehouses, whichever way their rows travel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.arrow import arrow_type
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet, Condition, StoredTable
from cio_replicate.sinks.sql.place import Columns, SqlBackend
from cio_replicate.sinks.sql.sql_backend import Statement, queries

COUNTED = pa.schema([pa.field("count", pa.int64())])


class WarehouseBackend:
    """A `Store` in a SQL database. Nothing is connected before `open`, or before the first use after it."""

    def __init__(self, place: SqlBackend) -> None:
        self.place = place
        self.rows_at_once = place.rows_at_once
        self.whole_edits = place.whole_edits
        self.nul_allowed = place.dialect.nul_allowed
        self._known: dict[str, Columns] = {}

    def accepts_name(self, name: str) -> bool:
        """Whether a table or a column can have this name, to the letter."""
        return self.place.dialect.fits(name)

    def open(self) -> None:
        """Connect, and make sure that tables can be looked at. Changes nothing."""
        self._known.clear()
        self.place.connect()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        return {name: kind or ColumnType.STRING for name, kind in self._look(table).items()}

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, in the Arrow types of the shape's columns."""
        schema = pa.schema([pa.field(name, arrow_type(shape.column(name).type)) for name in columns])
        there = self._there(shape.name)
        chosen = list(dict.fromkeys(name for name in columns if name in there))
        return pa.RecordBatchReader.from_batches(schema, self._rows(shape, schema, chosen, conditions, there))

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        there = self._there(shape.name)
        total = 0
        for query in self._queries(shape, (), conditions, there):
            total += sum(batch.column(0)[0].as_py() for batch in self.place.select(query, COUNTED) if len(batch))
        return total

    def write(self, edit: ChangeSet) -> None:
        """Put the rows in the place of those with the same key, or add them; remove those that are gone."""
        shape = edit.shape
        for name in (shape.name, *(column.name for column in shape.columns)):
            if not self.accepts_name(name):
                raise LoadError(
                    f"{self.place.dialect.title} takes no table or column called {name[:80]!r} ({shape.name}).",
                    "Leave it out with --columns, or rename it there.",
                )
        there = self._there(shape.name)
        self._require_same(shape, there)
        if edit.count == 0 and not len(edit.gone) and all(column.name in there for column in shape.columns):
            return
        self._known.pop(shape.name, None)  # what is known of it is true again when the write has come to its end
        self.place.write(edit, there)
        self._known[shape.name] = {**there, **{column.name: column.type for column in shape.columns}}

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        self._known.pop(table, None)
        self.place.drop(table)

    def close(self) -> None:
        """Let go of it. No error when it was never open."""
        self._known.clear()
        self.place.close()

    def _there(self, table: str) -> Columns:
        """The columns of a table, asked for once: nobody else may change the tables while a copy is written."""
        return self._known.get(table) or self._look(table)

    def _look(self, table: str) -> Columns:
        self._known[table] = self.place.columns(table)
        return self._known[table]

    def _queries(
        self, shape: StoredTable, chosen: Sequence[str], conditions: Sequence[Condition], there: Columns
    ) -> Iterator[Statement]:
        if not there:
            return iter(())
        return queries(self.place.dialect, self.place.target(shape.name), shape, chosen, conditions, there)

    def _rows(
        self,
        shape: StoredTable,
        schema: pa.Schema,
        chosen: Sequence[str],
        conditions: Sequence[Condition],
        there: Columns,
    ) -> Iterator[pa.RecordBatch]:
        asked = list(chosen) or [shape.key]  # a row is a row even when all that is wanted of it is null
        selected = pa.schema([pa.field(name, arrow_type(shape.column(name).type)) for name in asked])
        for query in self._queries(shape, asked, conditions, there):
            for batch in self.place.select(query, selected):
                arrays = [
                    batch.column(name) if name in chosen else pa.nulls(len(batch), schema.field(place).type)
                    for place, name in enumerate(schema.names)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _require_same(self, shape: StoredTable, there: Columns) -> None:
        """The table is one of ours, and its columns are of the shape's types: bytes are never taken for other bytes."""
        if there and shape.key not in there:
            raise LoadError(
                f"The table {shape.name} in {self.place.described} was not made by cio-replicate.",
                "Choose another --dataset, or move that table away.",
            )
        for column in shape.columns:
            found = there.get(column.name, column.type)
            if found is not column.type:
                raise LoadError(
                    f"The column {column.name!r} of {shape.name} in {self.place.described} is to hold {column.type}, "
                    f"but is of {found or 'another type'}.",
                    "Change the column's type there, or move the table away.",
                )
