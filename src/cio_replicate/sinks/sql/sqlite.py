"""SQLite as a place: the dataset is a file of its own, and a write is one transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.sql.dbapi import as_batches, as_texts, as_tuples
from cio_replicate.sinks.sql.sql_backend import (
    Columns,
    Dialect,
    Statement,
    add,
    create,
    delete,
    double_quoted,
    gathered,
    insert,
    keys_in_parts,
)

TOGETHER = 20_000
PATIENCE = 60.0  # seconds that somebody else's transaction is waited for

#: The words matter: SQLite makes a number of a text that looks like one, unless the type has TEXT in its name.
_TYPES = {
    ColumnType.STRING: "TEXT",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "DATETIME",
    ColumnType.JSON: "JSON_TEXT",
}
_KINDS = {name: kind for kind, name in _TYPES.items()}

DIALECT = Dialect(
    title="SQLite",
    quote=double_quoted,
    types=_TYPES,
    place=lambda _number: "?",
    nul_allowed=True,
    longest_name=1000,
)


def file_of(file: Path, dataset: str) -> Path:
    """The file of a dataset, beside the one that is named."""
    return file.with_name(f"{file.stem}__{dataset}{file.suffix}")


class SqliteBackend:
    """A file with the tables of one dataset.

    It is kept in WAL mode, so that whoever reads it neither waits for a write nor makes one wait.
    """

    dialect = DIALECT
    rows_at_once = 50_000
    whole_edits = True

    def __init__(self, file: Path, *, patience: float = PATIENCE) -> None:
        self.file = file
        self._patience = patience
        self.described = f"the SQLite file {file}"
        self._writing: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []

    def connect(self) -> None:
        """Find out that the file can be used, or can be made. Changes nothing."""
        self.close()
        if not self._is_there():
            folder = self.file.parent
            if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):  # noqa: PTH112 - never raises
                raise DestinationUnavailableError(
                    f"The SQLite file {self.file} cannot be made: there is no folder {folder} that you may write to.",
                    "Make it, or choose another file.",
                )
            return
        with self._reading() as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()

    def target(self, table: str) -> str:
        """The name of a table, quoted."""
        return double_quoted(table)

    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""
        if not self._is_there():
            return {}
        with self._reading() as connection:
            rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
        return {name: _KINDS.get(kind) for name, kind in rows}

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        with self._reading() as connection:
            yield from as_batches(connection.execute(query.text, as_texts(query.values)), schema)

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """Put rows in the place of others and remove what is gone, the table's new columns included: one commit."""
        shape, target = edit.shape, self.target(edit.shape.name)
        statement = insert(self.dialect, target, [column.name for column in shape.columns])
        with self._transaction(shape.name) as connection:
            self._fit(connection, shape, there)
            for rows in gathered(edit.rows, TOGETHER):
                if there:
                    self._delete(connection, shape, rows.column(shape.key))
                connection.executemany(statement, as_tuples(rows))
            self._delete(connection, shape, edit.gone)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        if self._is_there():
            with self._transaction(table) as connection:
                connection.execute(f"DROP TABLE IF EXISTS {self.target(table)}")

    def close(self) -> None:
        """Let go of the file."""
        for connection in (self._writing, *self._idle):
            if connection is not None:
                connection.close()
        self._writing = None
        self._idle.clear()

    def _is_there(self) -> bool:
        return os.path.exists(self.file)  # noqa: PTH110 - Path.exists raises where one may not look

    def _fit(self, connection: sqlite3.Connection, shape: StoredTable, there: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        target = self.target(shape.name)
        if not there:
            connection.execute(create(self.dialect, target, shape.columns))
            index = double_quoted(f"{shape.name} by {shape.key}")
            connection.execute(f"CREATE INDEX {index} ON {target} ({double_quoted(shape.key)})")
            return
        for column in shape.columns:
            if column.name not in there:
                connection.execute(add(self.dialect, target, column))

    def _delete(self, connection: sqlite3.Connection, shape: StoredTable, keys: pa.Array | pa.ChunkedArray) -> None:
        for part in keys_in_parts(keys, self.dialect.at_once):
            query = delete(self.dialect, self.target(shape.name), shape.key, part)
            connection.execute(query.text, query.values)

    @contextmanager
    def _transaction(self, table: str) -> Iterator[sqlite3.Connection]:
        """All that is executed inside becomes one commit, or nothing."""
        with self._translated(table):
            if self._writing is None:
                self._writing = self._connected()
                self._writing.execute("PRAGMA journal_mode = WAL")
            connection = self._writing
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self._writing = None
                connection.close()  # which rolls back
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            connection = self._idle.pop() if self._idle else self._connected()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    def _connected(self) -> sqlite3.Connection:
        # one thread at a time uses it, but not always the same
        return sqlite3.connect(self.file, timeout=self._patience, isolation_level=None, check_same_thread=False)

    @contextmanager
    def _translated(self, table: str | None = None) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _ours(getattr(error, "sqlite_errorname", ""), self.described, table) from None


_UNAVAILABLE = {
    "SQLITE_CANTOPEN": ("cannot be opened", "Check --to, and who may read it."),
    "SQLITE_NOTADB": ("is no SQLite file", "Check --to."),
    "SQLITE_CORRUPT": ("is damaged", "Restore it, or choose another file."),
    "SQLITE_READONLY": ("cannot be written", "Check who may write to it and to its folder."),
    "SQLITE_BUSY": ("is locked by another program", "Close it there, and run again."),
    "SQLITE_LOCKED": ("is locked by another program", "Close it there, and run again."),
    "SQLITE_FULL": ("cannot grow: the disk is full", "Make room, and run again."),
    "SQLITE_IOERR": ("cannot be read or written: the disk failed", "Check the disk, and run again."),
    "SQLITE_PERM": ("cannot be opened", "Check who may read it."),
    "SQLITE_AUTH": ("cannot be opened", "Check who may read it."),
}


def _ours(name: str, described: str, table: str | None) -> CioReplicateError:
    """What an error of SQLite means, in words of our own."""
    for begin, (what, fix) in _UNAVAILABLE.items():
        if name.startswith(begin):
            return DestinationUnavailableError(f"{described[0].upper()}{described[1:]} {what}.", fix)
    return LoadError(
        f"SQLite did not accept rows of {table or 'a table'} ({name or 'SQLITE_ERROR'}).",
        "They stay landed; mend the cause and run again.",
    )
