"""MySQL and MariaDB: the dataset is a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError
from cio_replicate.base.text import Secret
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import StoredTable
from cio_replicate.sinks.sql.sql_backend import Connection, Cursor, DbapiBackend, Dialect, Statement, create

NEEDS = "MySQL needs the extra: pip install 'cio-replicate[mysql]'."
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
#: By the type and the comment.
_KINDS = {
    "longtext ": ColumnType.STRING,
    "bigint ": ColumnType.INTEGER,
    "double ": ColumnType.NUMBER,
    "tinyint ": ColumnType.BOOLEAN,
    "datetime ": ColumnType.TIMESTAMP,
    "longtext json": ColumnType.JSON,
}
_COLUMNS = (
    "SELECT column_name, concat(lower(data_type), ' ', column_comment) FROM information_schema.columns "
    "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"
)
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
    kinds=_KINDS,
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


class MysqlBackend(DbapiBackend):
    """A database on a MySQL or MariaDB server.

    MySQL commits a change of a table by itself, and at once, with all that was written before in the transaction.
    """

    dialect = DIALECT
    together = 10_000

    def __init__(self, login: Login, dataset: str, described: str) -> None:
        super().__init__(dataset, described)
        self._login = login
        self._collation = ""

    def _connect(self) -> None:
        names = ", ".join(f"'{name}'" for name in COLLATIONS)
        with self._reading() as cursor:
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

    def _column_query(self, table: str) -> Statement:
        return Statement(_COLUMNS, (self.dataset, table))

    def _has_dataset(self, cursor: Cursor) -> bool:
        cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", (self.dataset,))
        return cursor.fetchone() is not None

    def _made(self, cursor: Cursor, shape: StoredTable) -> Iterator[str]:
        if not self._has_dataset(cursor):
            yield f"CREATE DATABASE {_quoted(self.dataset)}"
        part = f"({INDEXED})" if shape.column(shape.key).type is ColumnType.STRING else ""
        index = f"KEY ({_quoted(shape.key)}{part})"
        options = f"ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = {self._collation}"
        yield f"{create(self.dialect, self.target(shape.name), shape.columns, index)} {options}"

    def _reading_cursor(self, connection: Connection) -> Cursor:
        from pymysql.cursors import SSCursor  # noqa: PLC0415 - an extra

        return connection.cursor(SSCursor)

    def _connected(self, *, writing: bool) -> Connection:
        try:
            import pymysql  # noqa: PLC0415 - an extra
            from pymysql.constants import FIELD_TYPE  # noqa: PLC0415
            from pymysql.converters import conversions  # noqa: PLC0415
        except ImportError:
            raise DestinationUnavailableError(NEEDS) from None
        moments = (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
        connection = pymysql.connect(
            host=self._login.host,
            port=self._login.port,
            user=self._login.user,
            password=self._login.password.reveal(),
            database=self._login.database,
            connect_timeout=self._login.connect_timeout,
            charset="utf8mb4",
            autocommit=not writing,
            init_command=SESSION,
            conv={kind: how for kind, how in conversions.items() if kind not in moments},  # they come as their text
        )
        if writing:
            connection.query(ISOLATION)
        return connection

    @staticmethod
    def _let_go(connection: Connection | None) -> None:
        if connection is not None and connection.open:
            connection._force_close()  # noqa: SLF001 - `close` waits for the rest of an answer

    def _ours(self, error: Exception, table: str | None) -> CioReplicateError | None:
        from pymysql.err import MySQLError  # noqa: PLC0415 - an extra

        if not isinstance(error, MySQLError):
            return None
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number in _UNAVAILABLE:
            what, fix = _UNAVAILABLE[number]
            return DestinationUnavailableError(f"{self.described} {what} (error {number}).", fix)
        if table is None:
            return DestinationUnavailableError(
                f"{self.described} could not be asked (error {number}).", "Check the address, and the server's log."
            )
        return self._refusal(table, f"error {number}", _REFUSALS.get(number, ""))


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
