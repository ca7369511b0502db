"""MySQL and MariaDB as a place: the dataset is a database, and a write is one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.base.text import Secret
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
    gathered,
    insert,
    keys_in_parts,
)

if TYPE_CHECKING:
    from pymysql import Connection

NEEDS = "MySQL needs the extra: pip install 'cio-replicate[mysql]'."
TOGETHER = 10_000
#: Collations that take no two texts for the same, not even those that differ by spaces at the end.
COLLATIONS = ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
#: JSON is kept as text, which MySQL's own type would not keep as it came; the comment tells it from other texts.
_TYPES = {
    ColumnType.STRING: "LONGTEXT",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "TINYINT(1)",
    ColumnType.TIMESTAMP: "DATETIME(6)",
    ColumnType.JSON: "LONGTEXT COMMENT 'json'",
}
_KINDS = {
    ("longtext", ""): ColumnType.STRING,
    ("bigint", ""): ColumnType.INTEGER,
    ("double", ""): ColumnType.NUMBER,
    ("tinyint", ""): ColumnType.BOOLEAN,
    ("datetime", ""): ColumnType.TIMESTAMP,
    ("longtext", "json"): ColumnType.JSON,
}
#: How much of a text key an index holds, in characters.
INDEXED = 191
SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', lock_wait_timeout = 300"
)
#: Of the connection that writes. The usual level also locks the gaps between rows, so many of them that a server with
#: little memory breaks down (measured).
ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"


def _quoted(name: str) -> str:
    """A name, with the percent sign as the driver wants it."""
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


DIALECT = Dialect(
    title="MySQL",
    quote=_quoted,
    types=_TYPES,
    place=lambda _number: "%s",
    nul_allowed=True,
    longest_name=64,
    name_refused=lambda name: name.endswith(" ") or any(letter > "\uffff" for letter in name),
)


@dataclass(frozen=True, slots=True)
class Login:
    """How the server is reached."""

    host: str
    port: int
    user: str
    password: Secret
    database: str  # where the connection begins; the tables are in the dataset
    connect_timeout: int


class DriverCursor(Protocol):
    """What is used of the driver's cursor."""

    def execute(self, query: str, args: object) -> int:
        """Run a statement. A percent sign in it is doubled."""
        ...

    def executemany(self, query: str, args: list[tuple[Any, ...]]) -> int | None:  # Any: values of columns
        """Run a statement for each row."""
        ...

    def fetchone(self) -> tuple[Any, ...] | None:  # Any: values of columns
        """The next row."""
        ...


class MysqlBackend:
    """A database on a MySQL or MariaDB server."""

    dialect = DIALECT
    rows_at_once = 50_000
    whole_edits = True

    def __init__(self, login: Login, dataset: str, described: str) -> None:
        self.dataset = dataset
        self.described = described
        self._login = login
        self._writing: Connection[Any] | None = None  # Any: the driver's cursors
        self._idle: list[Connection[Any]] = []
        self._collation = ""

    def connect(self) -> None:
        """Find out that the server can be asked, and knows how to keep texts. Changes nothing."""
        self.close()
        names = ", ".join(f"'{name}'" for name in COLLATIONS)
        with self._reading() as connection, connection.cursor() as cursor:
            cursor.execute(
                f"SELECT collation_name FROM information_schema.collations WHERE collation_name IN ({names})"
            )
            found = {row[0] for row in cursor.fetchall()}
        self._collation = next((name for name in COLLATIONS if name in found), "")
        if not self._collation:
            raise DestinationUnavailableError(
                f"The server {self.described} is too old: it takes texts for the same that differ.",
                "Use MySQL 8.0.17 or MariaDB 10.2, or later.",
            )

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        return f"{_quoted(self.dataset)}.{_quoted(table)}"

    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""
        with self._reading() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT column_name, data_type, column_comment FROM information_schema.columns "
                "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                (self.dataset, table),
            )
            return {name: _KINDS.get((kind.lower(), comment)) for name, kind, comment in cursor.fetchall()}

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        from pymysql.cursors import SSCursor  # noqa: PLC0415 - an extra

        with self._reading() as connection:
            cursor = connection.cursor(SSCursor)
            cursor.execute(query.text, tuple(as_texts(query.values)))
            yield from as_batches(cursor, schema)
            cursor.close()

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """Put rows in the place of others and remove what is gone: one commit, after the table has all columns.

        MySQL commits a change of a table by itself, and at once: an empty table or an empty column can be there early.
        """
        shape, target = edit.shape, self.target(edit.shape.name)
        statement = insert(self.dialect, target, [column.name for column in shape.columns])
        with self._transaction(shape.name) as connection, connection.cursor() as cursor:
            self._fit(cursor, shape, there)
            for rows in gathered(edit.rows, TOGETHER):
                if there:
                    self._delete(cursor, shape, rows.column(shape.key))
                cursor.executemany(statement, as_tuples(rows))
            self._delete(cursor, shape, edit.gone)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        with self._transaction(table) as connection, connection.cursor() as cursor:
            if self._has_database(cursor):
                cursor.execute(f"DROP TABLE IF EXISTS {self.target(table)}", ())

    def close(self) -> None:
        """Let go of all connections."""
        for connection in (self._writing, *self._idle):
            _let_go(connection)
        self._writing = None
        self._idle.clear()

    def _has_database(self, cursor: DriverCursor) -> bool:
        cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (self.dataset,))
        return cursor.fetchone() is not None

    def _fit(self, cursor: DriverCursor, shape: StoredTable, there: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        target = self.target(shape.name)
        if there:
            for column in shape.columns:
                if column.name not in there:
                    cursor.execute(add(self.dialect, target, column), ())
            return
        if not self._has_database(cursor):
            cursor.execute(f"CREATE DATABASE {_quoted(self.dataset)}", ())
        part = f"({INDEXED})" if shape.column(shape.key).type is ColumnType.STRING else ""
        index = f"KEY ({_quoted(shape.key)}{part})"
        options = f"ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = {self._collation}"
        cursor.execute(f"{create(self.dialect, target, shape.columns, index)} {options}", ())

    def _delete(self, cursor: DriverCursor, shape: StoredTable, keys: pa.Array | pa.ChunkedArray) -> None:
        for part in keys_in_parts(keys, self.dialect.at_once):
            query = delete(self.dialect, self.target(shape.name), shape.key, part)
            cursor.execute(query.text, query.values)

    @contextmanager
    def _transaction(self, table: str) -> Iterator[Connection[Any]]:  # Any: the driver's cursors
        """All rows that are written inside become one commit, or none; after an error the connection is made anew."""
        with self._translated(table):
            if self._writing is None:
                self._writing = self._connected(autocommit=False)
                self._writing.query(ISOLATION)
            connection = self._writing
            try:
                yield connection
                connection.commit()
            except BaseException:
                self._writing = None
                _let_go(connection)  # which rolls back
                raise

    @contextmanager
    def _reading(self) -> Iterator[Connection[Any]]:  # Any: the driver's cursors
        with self._translated():
            connection = self._idle.pop() if self._idle else self._connected(autocommit=True)
            try:
                yield connection
            except BaseException:
                _let_go(connection)
                raise
            self._idle.append(connection)

    def _connected(self, *, autocommit: bool) -> Connection[Any]:  # Any: the driver's cursors
        try:
            import pymysql  # noqa: PLC0415 - an extra
            from pymysql.constants import FIELD_TYPE  # noqa: PLC0415
            from pymysql.converters import conversions  # noqa: PLC0415
        except ImportError:
            raise DestinationUnavailableError(NEEDS) from None
        moments = (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
        return pymysql.connect(
            host=self._login.host,
            port=self._login.port,
            user=self._login.user,
            password=self._login.password.reveal(),
            database=self._login.database,
            connect_timeout=self._login.connect_timeout,
            charset="utf8mb4",
            autocommit=autocommit,
            init_command=SESSION,
            conv={kind: how for kind, how in conversions.items() if kind not in moments},  # they come as their text
        )

    @contextmanager
    def _translated(self, table: str | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            from pymysql.err import MySQLError  # noqa: PLC0415 - an extra

            if not isinstance(error, MySQLError):
                raise
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            raise _ours(number, self.described, table) from None


def _let_go(connection: Connection[Any] | None) -> None:  # Any: the driver's cursors
    if connection is not None:
        with suppress(Exception):  # it may be broken, which is why it is let go
            connection._force_close() if connection.open else None  # noqa: SLF001


_UNAVAILABLE = {
    1040: ("has no connection left", "Close some, or try again later."),
    1044: ("does not let this user into the database", "Grant the user its rights on the database of the dataset."),
    1045: ("does not take this user's password", "Check the user and the password."),
    1698: ("does not take this user's password", "Check the user and the password."),
    1049: ("has no such database", "Make it, or check the address."),
    1142: ("does not let this user do that", "Grant CREATE, ALTER, INSERT, DELETE, SELECT, INDEX and DROP there."),
    1227: ("does not let this user do that", "Grant CREATE, ALTER, INSERT, DELETE, SELECT, INDEX and DROP there."),
    1130: ("lets nobody in from here", "Check from where the user may connect."),
    2003: ("is not running, or does not listen there", "Check host and port."),
    1053: ("is shutting down", "Try again when it runs."),
    2006: ("closed the connection", "Check that it runs; a row larger than max_allowed_packet does this too."),
    2013: ("closed the connection", "Check that it runs; a row larger than max_allowed_packet does this too."),
}
_REFUSALS = {
    1118: "it has more columns than a row can have there",
    1153: "a row is larger than max_allowed_packet",
    1205: "somebody else holds the table",
    1213: "it collided with somebody else's transaction",
    1264: "a number does not fit its column",
    1292: "a moment does not fit its column",
    1366: "a text does not fit its column",
    1406: "a text does not fit its column",
    1021: "it has no room left",
    1114: "it has no room left",
    3819: "a rule of the table there forbids it",
    4025: "a rule of the table there forbids it",
}


def _ours(number: int, described: str, table: str | None) -> CioReplicateError:
    """What an error of the driver means, in words of our own."""
    if number in _UNAVAILABLE:
        what, fix = _UNAVAILABLE[number]
        return DestinationUnavailableError(f"{described} {what} (error {number}).", fix)
    if table is None:
        return DestinationUnavailableError(
            f"{described} could not be asked (error {number}).", "Check the address, and the server's log."
        )
    reason = f": {_REFUSALS[number]}" if number in _REFUSALS else ""
    return LoadError(
        f"{described} did not accept rows of {table}{reason} (error {number}).",
        "They stay landed; mend the cause and run again.",
    )
