"""A store that keeps its tables in a DuckDB file: the twin of the real ones, for tests that need nothing installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from cio_replicate.schema.table import ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, SeparateCommits, StoredTable
from cio_replicate.sinks.merge.table_merge import KINDS, TYPES, quoted
from tests.duckdb_files import attached, detach

TESTS = {
    Operator.AT_LEAST: "{0} >= ?",
    Operator.AT_MOST: "{0} <= ?",
    Operator.NULL: "{0} IS NULL",
    Operator.TRUE: "{0}",
}


class TwinStore(SeparateCommits):
    """Tables in a DuckDB file; `writes` are the names of the tables that were written."""

    rows_at_once = 100_000
    whole_edits = True

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened = False
        self.writes: list[str] = []

    def accepts_name(self, name: str) -> bool:
        """Any name."""
        return bool(name)

    def open(self) -> None:
        """Open the file."""
        if not self._opened:
            self._connection = attached(self._file)
            self._opened = True

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table."""
        try:
            rows = self._connection.execute(f"DESCRIBE {quoted(table)}").fetchall()
        except duckdb.CatalogException:
            return {}
        return {row[0]: KINDS[row[1]] for row in rows}

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """Rows for which all conditions hold."""
        schema = schema_for([shape.column(name) for name in columns])
        there = self.columns(shape.name)
        if not there:
            return schema.empty_table().to_reader()
        chosen = ", ".join(quoted(name) if name in there else f"NULL AS {quoted(name)}" for name in columns)
        where, values = ["true"], []
        for one in conditions:
            name = quoted(one.column) if one.column in there else "NULL"
            if one.comparison is Operator.IN:
                where.append(f"{name} IN (SELECT unnest(?))")
                values.append(one.value)
            else:
                where.append(TESTS[one.comparison].format(name))
                values += [one.value] if one.comparison in (Operator.AT_LEAST, Operator.AT_MOST) else []
        query = f"SELECT {chosen} FROM {quoted(shape.name)} WHERE {' AND '.join(where)}"
        found = self._connection.sql(query, params=values or None).to_arrow_table()
        return found.cast(schema).to_reader()

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows."""
        return len(self.read(shape, [shape.key], conditions).read_all())

    def write(self, edit: ChangeSet) -> None:
        """One transaction."""
        self.writes.append(edit.shape.name)
        rows, name = edit.rows.read_all(), quoted(edit.shape.name)
        assert len(rows) == edit.count
        assert rows.schema == schema_for(edit.shape.columns)
        keys = rows[edit.shape.key].to_pylist()
        assert len(set(keys)) == len(keys), "a key stands twice"
        assert None not in keys
        assert not set(keys) & set(edit.gone.to_pylist())
        there = self.columns(edit.shape.name)
        self._connection.execute("BEGIN")
        body = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in edit.shape.columns)
        if not there:
            self._connection.execute(f"CREATE TABLE {name} ({body})")
        for column in edit.shape.columns if there else ():
            if column.name not in there:
                self._connection.execute(f"ALTER TABLE {name} ADD COLUMN {quoted(column.name)} {TYPES[column.type]}")
        self._connection.register("given", rows)
        self._connection.execute(
            f"DELETE FROM {name} WHERE {quoted(edit.shape.key)} IN (SELECT unnest(?))", [keys + edit.gone.to_pylist()]
        )
        self._connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM given")
        self._connection.execute("COMMIT")
        self._connection.unregister("given")

    def drop(self, table: str) -> None:
        """Remove a table."""
        self._connection.execute(f"DROP TABLE IF EXISTS {quoted(table)}")

    def close(self) -> None:
        """Close the file."""
        if self._opened:
            detach(self._connection, self._file)
            self._opened = False
