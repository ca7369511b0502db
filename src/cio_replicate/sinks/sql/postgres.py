"""PostgreSQL as a place: Arrow through ADBC, one transaction per write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.base.text import Secret
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.sql.sql_backend import (
    Columns,
    Dialect,
    Statement,
    add,
    create,
    delete,
    double_quoted,
    gathered,
    keys_in_parts,
)

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection, Cursor

NEEDS = "PostgreSQL needs the extra: pip install 'cio-replicate[postgres]'."
#: Rows whose keys are looked for and which are then written together, and bytes of an answer that come together.
TOGETHER = 20_000
ANSWERED_AT_ONCE = 4_000_000

_KINDS = {
    "character varying": ColumnType.STRING,
    "text": ColumnType.STRING,
    "bigint": ColumnType.INTEGER,
    "double precision": ColumnType.NUMBER,
    "boolean": ColumnType.BOOLEAN,
    "timestamp with time zone": ColumnType.TIMESTAMP,
    "json": ColumnType.JSON,
}
_COLUMNS = (
    "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute AS a "
    "JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
    "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
_PAIRS = pa.schema([pa.field("name", pa.string()), pa.field("type", pa.string())])


def literal(value: str | int | datetime) -> str:
    """A value as it stands in a statement. Texts are plain ones, in which a backslash is only a backslash."""
    if isinstance(value, datetime):
        return f"'{value.astimezone(UTC).isoformat(' ')}'::timestamptz"
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


#: Columns that every table has already.
SYSTEM = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})

DIALECT = Dialect(
    title="PostgreSQL",
    quote=double_quoted,
    types={
        ColumnType.STRING: "text",
        ColumnType.INTEGER: "bigint",
        ColumnType.NUMBER: "double precision",
        ColumnType.BOOLEAN: "boolean",
        ColumnType.TIMESTAMP: "timestamp with time zone",
        ColumnType.JSON: "json",  # keeps the text; `jsonb` would order keys, drop doubled ones and refuse `\u0000`
    },
    place=lambda number: f"${number}",
    as_text="{}::text",
    in_order='{} COLLATE "C"',
    true="{} IS TRUE",
    any_of="{} IN (SELECT unnest({}))",  # not `= ANY`, which older servers look through one by one
    written=literal,
    at_once=10_000,
    longest_name=63,
    name_bytes=True,
    name_refused=SYSTEM.__contains__,
)


class PostgresBackend:
    """A schema of a PostgreSQL database.

    Reads have connections of their own, so that an answer that is still coming does not stand in the way of a write.
    """

    dialect = DIALECT
    rows_at_once = 100_000
    whole_edits = True

    def __init__(self, uri: Secret, dataset: str, described: str) -> None:
        self.dataset = dataset
        self.described = described
        self._uri = uri
        self._writing: Connection | None = None
        self._idle: list[Connection] = []

    def connect(self) -> None:
        """Find out that the dataset can be looked at. Changes nothing."""
        self.close()
        with self._reading() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
            version, encoding = cursor.fetchone() or (0, "")
        if version < 120_000 or encoding != "UTF8":
            raise DestinationUnavailableError(
                f"{self.described} is PostgreSQL {version // 10_000} with the encoding {encoding}.",
                "Use version 12 or later, and a database whose encoding is UTF8.",
            )

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        return f"{double_quoted(self.dataset)}.{double_quoted(table)}"

    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""
        query = Statement(_COLUMNS.format(literal(self.dataset), literal(table)), ())
        rows = [row for batch in self.select(query, _PAIRS) for row in batch.to_pylist()]
        return {row["name"]: _KINDS.get(row["type"]) for row in rows}

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        with self._reading() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(ANSWERED_AT_ONCE)})
            cursor.execute(query.text, parameters=_parameters(query) if query.values else None)
            for batch in cursor.fetch_record_batch():
                columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """Put rows in the place of others and remove what is gone, the table's new columns included: one commit."""
        shape, target = edit.shape, self.target(edit.shape.name)
        with self._transaction(shape.name) as cursor:
            self._fit(cursor, shape, there)
            if there:
                for rows in gathered(edit.rows, TOGETHER):
                    self._delete(cursor, target, shape.key, rows.column(shape.key))
                    self._add(cursor, shape.name, rows)
            else:
                self._add(cursor, shape.name, edit.rows)
            self._delete(cursor, target, shape.key, edit.gone)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        with self._transaction(table) as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {self.target(table)}")

    def close(self) -> None:
        """Let go of all connections."""
        for connection in (self._writing, *self._idle):
            _let_go(connection)
        self._writing = None
        self._idle.clear()

    def _fit(self, cursor: Cursor, shape: StoredTable, there: Columns) -> None:
        """Make the table, or add the columns that it lacks."""
        target = self.target(shape.name)
        for column in shape.columns if there else ():
            if column.name not in there:
                cursor.execute(add(self.dialect, target, column))
        if there:
            return
        cursor.execute(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(self.dataset)}")
        if cursor.fetchone() is None:  # `IF NOT EXISTS` asks for the right to make it even where it exists
            cursor.execute(f"CREATE SCHEMA {double_quoted(self.dataset)}")
        cursor.execute(create(self.dialect, target, shape.columns))
        # a hash, since a key can be longer than what a tree takes, and nothing asks for their order
        cursor.execute(f"CREATE INDEX ON {target} USING hash ({double_quoted(shape.key)})")

    def _add(self, cursor: Cursor, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
        cursor.adbc_ingest(table, rows, mode="append", db_schema_name=self.dataset)

    def _delete(self, cursor: Cursor, target: str, key: str, keys: pa.Array | pa.ChunkedArray) -> None:
        for part in keys_in_parts(keys, TOGETHER):
            query = delete(self.dialect, target, key, part)
            cursor.execute(query.text, parameters=_parameters(query))

    @contextmanager
    def _transaction(self, table: str) -> Iterator[Cursor]:
        """All that is executed inside becomes one commit, or nothing; after an error the connection is made anew."""
        with self._translated(table):
            if self._writing is None:
                self._writing = self._connected(autocommit=False)
            connection = self._writing
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '5min'")  # somebody's open transaction is not for ever
                    yield cursor
                connection.commit()
            except BaseException:
                self._writing = None
                _let_go(connection)  # which rolls back
                raise

    @contextmanager
    def _reading(self) -> Iterator[Cursor]:
        with self._translated():
            connection = self._idle.pop() if self._idle else self._connected(autocommit=True)
            try:
                with connection.cursor() as cursor:
                    yield cursor
            except BaseException:
                _let_go(connection)
                raise
            self._idle.append(connection)

    def _connected(self, *, autocommit: bool) -> Connection:
        try:
            from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an extra
        except ImportError:
            raise DestinationUnavailableError(NEEDS) from None
        connection: Connection = dbapi.connect(self._uri.reveal(), autocommit=autocommit)
        return connection

    @contextmanager
    def _translated(self, table: str | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            from adbc_driver_manager import Error  # noqa: PLC0415 - an extra

            if not isinstance(error, Error):
                raise
            raise _ours(str(error), error.sqlstate, self.described, table) from None


def _parameters(query: Statement) -> pa.RecordBatch:
    """The values of a query, each of which is a list, as the one row of a batch."""
    arrays = []
    for values in query.values:
        kind = pa.string() if isinstance(values, Sequence) and isinstance(values[0], str) else pa.int64()
        arrays.append(pa.array([values], pa.list_(kind)))
    return pa.record_batch(arrays, names=[str(number) for number in range(len(arrays))])


def _let_go(connection: Connection | None) -> None:
    if connection is not None:
        with suppress(Exception):  # it may be broken, which is why it is let go
            connection.close()


#: What a server says when it cannot be used, and how we say it. Its own words can quote values and are not passed on.
_UNAVAILABLE = (
    ("password authentication failed", "does not take this user's password", "Check the user and the password."),
    ("no password supplied", "wants a password", "Give one: ?password=env:NAME, or set PGPASSWORD."),
    ("no pg_hba.conf entry", "lets nobody in from here like that", "Check the server's pg_hba.conf, and sslmode."),
    ("role ", "does not know this user", "Check the user."),
    ("connection refused", "is not running, or does not listen there", "Check host and port."),
    ("no such file", "is not running, or does not listen there", "Check host and port."),
    ("translate host name", "has a host name that cannot be found", "Check the host."),
    ("timeout expired", "does not answer", "Check host, port and firewall."),
    ("ssl", "and this machine do not agree on encryption", "Check sslmode and sslrootcert."),
    ("certificate", "has a certificate that cannot be trusted", "Check sslmode and sslrootcert."),
    ("too many", "has no connection left", "Close some, or try again later."),
    ("starting up", "is just starting", "Try again in a moment."),
    ("shutting down", "is shutting down", "Try again when it runs."),
)
_STATES = {
    "28P01": "password authentication failed",
    "28000": "no pg_hba.conf entry",
    "53300": "too many",
    "57P01": "shutting down",
    "57P03": "starting up",
}
_REFUSALS = {
    "22021": "a text holds a character that it cannot hold",
    "22P05": "a text holds a character that it cannot hold",
    "22P02": "a JSON text is not one for it",
    "22P03": "a column there has another type",
    "22": "a value does not fit its column",
    "23": "a rule of the table there forbids it",
    "53": "it has no room left",
    "54": "it is more than the server takes",
    "55P03": "somebody else holds the table",
    "40": "it collided with somebody else's transaction",
    "42804": "a column there has another type",
    "42P01": "the table is gone",
    "42703": "a column is gone",
}


def _ours(said: str, state: str | None, described: str, table: str | None) -> CioReplicateError:
    """What a driver's error means, in words of our own."""
    state, low = state or "", said.lower()
    if state in {"42501", "25006"} or "permission denied for database" in low:
        return DestinationUnavailableError(
            f"The user has no right to do this in {described} (SQLSTATE {state or '42501'}).",
            "Grant CREATE on the database, or on the schema if that is there.",
        )
    if state == "3D000" or ("database" in low and "does not exist" in low and not table):
        return DestinationUnavailableError(f"{described} has no such database.", "Make it, or check the address.")
    reason = next((why for code, why in _REFUSALS.items() if state.startswith(code)), None)
    if reason is not None:
        return LoadError(
            f"{described} did not accept rows of {table or 'a table'}: {reason} (SQLSTATE {state}).",
            "They stay landed; mend the cause and run again.",
        )
    low = _STATES.get(state, low)
    for sign, what, fix in _UNAVAILABLE:
        if sign in low:
            return DestinationUnavailableError(f"{described} {what}.", fix)
    if table and state and not state.startswith(("08", "57")):
        return LoadError(
            f"{described} did not accept rows of {table} (SQLSTATE {state}).",
            "They stay landed; look into the server's log, and run again.",
        )
    return DestinationUnavailableError(
        f"The connection to {described} failed{f' (SQLSTATE {state})' if state else ''}.",
        "Check that the server runs and can be reached.",
    )
