"""The digest index: a digest per key of each table a sink holds, in a DuckDB file of the state folder.

It is valid only for the copy and commit it names. Otherwise it is read from the backend again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import StagingFailed
from cio_replicate.schema.table import Column, ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.merge import statements
from cio_replicate.sinks.port import Digests

# What DuckDB writes beside a file when memory does not do: it goes with the process, unless that is killed.


def folder_of(file: Path) -> Path:
    """Where that is, for a database file."""
    return file.with_name(f"{file.name}.tmp")


def remove_left(file: Path) -> None:
    """Remove what a killed process has left of it. Only who has the file open for writing may: then nobody else has."""
    with suppress(OSError):
        for left in folder_of(file).glob("duckdb_temp_*"):
            left.unlink()
        folder_of(file).rmdir()


#: Enough for the changes of a batch; what does not fit goes to disk beside the file.
MEMORY = "400MB"
ROWS_IN_A_PIECE = 20_000


class DigestIndex:
    """An open ledger, which is also where the changes of a batch are worked out, in temporary tables.

    Raises StagingFailed when the disk does not let it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._given: pa.RecordBatchReader | None = None  # the rows of the newest edit
        try:
            self._connection = self._opened()
        except duckdb.Error:  # one that a kill or another version of DuckDB has left unreadable is worth nothing
            for one in (file, file.with_name(f"{file.name}.wal")):
                one.unlink(missing_ok=True)
            self._connection = self._opened()
        self.run(
            "CREATE TABLE IF NOT EXISTS known (table_name VARCHAR, number BIGINT, copy_id VARCHAR, commits BIGINT)"
        )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def run(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Execute a statement."""
        return self._connection.execute(statement, list(values))

    def column(self, query: str) -> pa.Array:
        """The values of a query of one column."""
        return self._connection.sql(query).to_arrow_table().column(0).combine_chunks()

    def take(self, table: str, rows: pa.RecordBatchReader, query: str = "SELECT * FROM taken") -> None:
        """Add rows to a table, by the names of their columns; `query` may make others of them, which it calls taken."""
        self._connection.register("taken", rows)
        try:
            self.run(f"INSERT INTO {table} BY NAME {query}")
        finally:
            self._connection.unregister("taken")

    def edit(self, table: str, shape: StoredTable, gone: pa.Array) -> ChangeSet:
        """An edit that puts the rows of a table in; nothing else may run here until it is written."""
        schema = schema_for(shape.columns)
        (count,) = self.run(f"SELECT count(*) FROM {table}").fetchall()[0]
        rows = self._connection.sql(f"SELECT {', '.join(map(_plain, shape.columns))} FROM {table}")
        self._given = rows.to_arrow_reader(ROWS_IN_A_PIECE)
        pieces = (_cast(piece, schema) for piece in self._given)
        return ChangeSet(shape, pa.RecordBatchReader.from_batches(schema, pieces), int(count), gone)

    def keys_of(self, table: str, copy_id: str, commits: int) -> str | None:
        """The name of the ledger's table for a table, if it holds for that commit of that copy."""
        row = self.run(
            "SELECT number FROM known WHERE table_name = ? AND copy_id = ? AND commits = ?", [table, copy_id, commits]
        ).fetchone()
        return None if row is None else f"keys_{row[0]}"

    def begin_anew(self, table: str) -> str:
        """An empty ledger of a table; the name of its table."""
        row = self.run("SELECT number FROM known WHERE table_name = ?", [table]).fetchone()
        last = self.run("SELECT coalesce(max(number), 0) FROM known").fetchone()
        number = row[0] if row else (last[0] if last else 0) + 1
        self.run("DELETE FROM known WHERE table_name = ?", [table])
        self.run(f"CREATE OR REPLACE TABLE keys_{number} ({statements.KEY} VARCHAR, digest BLOB, live BOOLEAN)")
        self.run("INSERT INTO known VALUES (?, ?, '', 0)", [table, number])
        return f"keys_{number}"

    def holds(self, table: str, copy_id: str, commits: int) -> None:
        """What stands in the ledger of a table holds for this commit."""
        self.run("UPDATE known SET copy_id = ?, commits = ? WHERE table_name = ?", [copy_id, commits, table])

    def advance(self, copy_id: str, before: int, after: int) -> None:
        """What held for one commit of a copy holds for a later one, in which these tables did not change."""
        self.run("UPDATE known SET commits = ? WHERE copy_id = ? AND commits = ?", [after, copy_id, before])

    def forget(self, table: str) -> None:
        """What stands in the ledger of a table holds no more."""
        self.run("UPDATE known SET copy_id = '' WHERE table_name = ?", [table])

    def live(self, keys: str) -> Digests:
        """The keys of the live rows in a table of the ledger."""
        ((rows, total),) = self.run(f"SELECT count(*), {statements.key_sum()} FROM {keys} WHERE live").fetchall()
        return Digests() + Digests(int(rows), int(total))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done within is done together, or not at all."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):
                if self._given is not None:
                    self._given.close()  # of rows that a store has not taken to their end; nothing may run before
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    def _opened(self) -> duckdb.DuckDBPyConnection:
        try:
            os.close(os.open(self._file.parent, os.O_RDONLY))
            connection = duckdb.connect(
                str(self._file),
                config={
                    "memory_limit": MEMORY,
                    "threads": 1,
                    "temp_directory": str(folder_of(self._file)),
                    "preserve_insertion_order": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
            )
        except OSError as error:
            raise StagingFailed(
                f"The state folder {self._file.parent} cannot be read ({error.strerror or error}).",
                "Mend its permissions or choose another --state-dir, then run again.",
            ) from None
        self._file.chmod(0o600)
        remove_left(self._file)
        connection.execute("SET TimeZone = 'UTC'")
        return connection


def keys_in(rows: pa.RecordBatchReader) -> Digests:
    """The keys of all these rows."""
    with duckdb.connect() as counting:
        counting.register("rows_read", rows)
        ((count, total),) = counting.execute(f"SELECT count(*), {statements.key_sum()} FROM rows_read").fetchall()
    return Digests() + Digests(int(count), int(total))


def _plain(column: Column) -> str:
    name = statements.quoted(column.name)
    return f"{name}::VARCHAR AS {name}" if column.type is ColumnType.JSON else name


def _cast(piece: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [array.cast(field.type) for array, field in zip(piece.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
