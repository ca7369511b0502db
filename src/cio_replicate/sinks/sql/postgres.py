"""PostgreSQL: Arrow through ADBC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.base.text import Secret
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import StoredTable
from cio_replicate.sinks.sql.sql_backend import (
    Connection,
    Cursor,
    DbapiBackend,
    Dialect,
    Statement,
    create,
    double_quoted,
)

NEEDS = "PostgreSQL needs the extra: pip install 'cio-replicate[postgres]'."
#: Bytes of an answer that come together.
ANSWERED_AT_ONCE = 4_000_000

_TYPES = {
    ColumnType.STRING: "text",
    ColumnType.INTEGER: "bigint",
    ColumnType.NUMBER: "double precision",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp with time zone",
    ColumnType.JSON: "json",  # keeps the text; `jsonb` would order keys, drop doubled ones and refuse `\u0000`
}
_COLUMNS = (
    "SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute AS a "
    "JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = {} AND c.relname = {} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
    "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)


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
    types=_TYPES,
    kinds={"character varying": ColumnType.STRING, **{name: kind for kind, name in _TYPES.items()}},
    place=lambda number: f"${number}",
    as_text="{}::text",
    in_order='{} COLLATE "C"',
    true="{} IS TRUE",
    any_of="{} IN (SELECT unnest({}))",  # not `= ANY`, which older servers look through one by one
    written=literal,
    at_once=20_000,
    longest_name=63,
    name_bytes=True,
    name_refused=SYSTEM.__contains__,
)


class PostgresBackend(DbapiBackend):
    """A schema of a PostgreSQL database."""

    dialect = DIALECT
    rows_at_once = 100_000

    def __init__(self, uri: Secret, dataset: str, described: str) -> None:
        super().__init__(dataset, described)
        self._uri = uri

    def _connect(self) -> None:
        with self._reading() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int, current_setting('server_encoding')")
            version, encoding = cursor.fetchone() or (0, "")
        if version < 120_000 or encoding != "UTF8":
            raise DestinationUnavailableError(
                f"{self.described} is PostgreSQL {version // 10_000} with the encoding {encoding}.",
                "Use version 12 or later, and a database whose encoding is UTF8.",
            )

    def _column_query(self, table: str) -> Statement:
        return Statement(_COLUMNS.format(literal(self.dataset), literal(table)), ())

    def _select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._reading() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(ANSWERED_AT_ONCE)})
            self._run(cursor, query)
            for batch in cursor.fetch_record_batch():
                columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=schema)

    def _made(self, cursor: Cursor, shape: StoredTable) -> Iterator[str]:
        target = self.target(shape.name)
        cursor.execute(f"SELECT 1 FROM pg_namespace WHERE nspname = {literal(self.dataset)}")
        if cursor.fetchone() is None:  # `IF NOT EXISTS` asks for the right to make it even where it exists
            yield f"CREATE SCHEMA {double_quoted(self.dataset)}"
        yield create(self.dialect, target, shape.columns)
        # a hash, since a key can be longer than what a tree takes, and nothing asks for their order
        yield f"CREATE INDEX ON {target} USING hash ({double_quoted(shape.key)})"

    def _begin(self, cursor: Cursor) -> None:
        cursor.execute("SET LOCAL lock_timeout = '5min'")  # somebody's open transaction is not for ever

    def _run(self, cursor: Cursor, query: Statement) -> None:
        cursor.execute(query.text, parameters=_parameters(query) if query.values else None)

    def _put(self, cursor: Cursor, shape: StoredTable, rows: pa.RecordBatchReader, *, fresh: bool) -> None:
        if fresh:
            self._add(cursor, shape, rows)
        else:
            super()._put(cursor, shape, rows, fresh=fresh)

    def _add(self, cursor: Cursor, shape: StoredTable, rows: pa.Table | pa.RecordBatchReader) -> None:
        cursor.adbc_ingest(shape.name, rows, mode="append", db_schema_name=self.dataset)

    def _connected(self, *, writing: bool) -> Connection:
        try:
            from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an extra
        except ImportError:
            raise DestinationUnavailableError(NEEDS) from None
        return dbapi.connect(self._uri.reveal(), autocommit=not writing)

    def _ours(self, error: Exception, table: str | None) -> CioReplicateError | None:
        from adbc_driver_manager import Error  # noqa: PLC0415 - an extra

        if not isinstance(error, Error):
            return None
        state, low, described = error.sqlstate or "", str(error).lower(), self.described
        if state in {"42501", "25006"} or "permission denied for database" in low:
            return DestinationUnavailableError(
                f"The user has no right to do this in {described} (SQLSTATE {state or '42501'}).",
                "Grant CREATE on the database, or on the schema if that is there.",
            )
        if state == "3D000" or ("database" in low and "does not exist" in low and not table):
            return DestinationUnavailableError(f"{described} has no such database.", "Make it, or check the address.")
        reason = next((why for code, why in _REFUSALS.items() if state.startswith(code)), None)
        if reason is not None:
            return self._refusal(table, f"SQLSTATE {state}", reason)
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


def _parameters(query: Statement) -> pa.RecordBatch:
    """The values of a query, each of which is a list, as the one row of a batch."""
    arrays = []
    for values in query.values:
        kind = pa.string() if isinstance(values, Sequence) and isinstance(values[0], str) else pa.int64()
        arrays.append(pa.array([values], pa.list_(kind)))
    return pa.record_batch(arrays, names=[str(number) for number in range(len(arrays))])


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
