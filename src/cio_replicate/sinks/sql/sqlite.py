"""SQLite: the dataset is a file of its own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import StoredTable
from cio_replicate.sinks.sql.sql_backend import (
    Columns,
    Connection,
    Cursor,
    DbapiBackend,
    Dialect,
    Statement,
    create,
    double_quoted,
)

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

DIALECT = Dialect(
    title="SQLite",
    quote=double_quoted,
    types=_TYPES,
    kinds={name: kind for kind, name in _TYPES.items()},
    place=lambda _number: "?",
    nul_allowed=True,
    longest_name=1000,
)


def file_of(file: Path, dataset: str) -> Path:
    """The file of a dataset, beside the one that is named."""
    return file.with_name(f"{file.stem}__{dataset}{file.suffix}")


class SqliteBackend(DbapiBackend):
    """A file with the tables of one dataset.

    It is kept in WAL mode, so that whoever reads it neither waits for a write nor makes one wait.
    """

    dialect = DIALECT

    def __init__(self, file: Path, *, patience: float = PATIENCE) -> None:
        super().__init__("", f"the SQLite file {file}")
        self.file = file
        self._patience = patience

    def _connect(self) -> None:
        if not self._is_there():
            folder = self.file.parent
            if not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):  # noqa: PTH112 - never raises
                raise DestinationUnavailableError(
                    f"The SQLite file {self.file} cannot be made: there is no folder {folder} that you may write to.",
                    "Make it, or choose another file.",
                )
            return
        with self._reading() as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_master").fetchall()

    def target(self, table: str) -> str:
        """The name of a table, quoted."""
        return double_quoted(table)

    def _columns(self, table: str) -> Columns:
        return super()._columns(table) if self._is_there() else {}

    def _column_query(self, table: str) -> Statement:
        return Statement("SELECT name, type FROM pragma_table_info(?)", (table,))

    def _drop(self, table: str) -> None:
        if self._is_there():
            super()._drop(table)

    def _is_there(self) -> bool:
        return os.path.exists(self.file)  # noqa: PTH110 - Path.exists raises where one may not look

    def _made(self, cursor: Cursor, shape: StoredTable) -> Iterator[str]:
        _ = cursor
        target = self.target(shape.name)
        yield create(self.dialect, target, shape.columns)
        index = double_quoted(f"{shape.name} by {shape.key}")
        yield f"CREATE INDEX {index} ON {target} ({double_quoted(shape.key)})"

    def _begin(self, cursor: Cursor) -> None:
        cursor.execute("BEGIN IMMEDIATE")

    def _connected(self, *, writing: bool) -> Connection:
        # one thread at a time uses it, but not always the same
        connection = sqlite3.connect(self.file, timeout=self._patience, isolation_level=None, check_same_thread=False)
        if writing:
            connection.execute("PRAGMA journal_mode = WAL")
        return connection

    def _ours(self, error: Exception, table: str | None) -> CioReplicateError | None:
        if not isinstance(error, sqlite3.Error):
            return None
        name = getattr(error, "sqlite_errorname", "")
        for begin, (what, fix) in _UNAVAILABLE.items():
            if name.startswith(begin):
                return DestinationUnavailableError(f"{self.described[0].upper()}{self.described[1:]} {what}.", fix)
        return self._refusal(table, name or "SQLITE_ERROR")


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
