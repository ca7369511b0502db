"""Databases with transactions behind a DB-API driver: connections, statements, and rows between Arrow and tuples.

Moments travel as text in UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.sql.sql_backend import (
    Columns,
    Dialect,
    Statement,
    Value,
    add,
    delete,
    gathered,
    insert,
    keys_in_parts,
)

ROWS_OF_AN_ANSWER = 500
NAIVE = pa.timestamp("us")

Cursor = Any  # of a driver: its types say less than its documentation
Connection = Any


class DriverRows(Protocol):
    """What a driver gives an answer by."""

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:  # Any: what a driver makes of a value
        """The next rows, at most so many."""
        ...


class DbapiBackend(ABC):
    """One dataset in a database with transactions. A subclass says how its driver connects, and what its errors mean.

    Reads have connections of their own, so that an answer that is still coming does not stand in the way of a write.
    After an error a connection is made anew.
    """

    dialect: Dialect
    rows_at_once = 50_000
    whole_edits = True
    transactional = True
    together = 20_000  # rows whose keys are looked for and which are then written together

    def __init__(self, dataset: str, described: str) -> None:
        self.dataset = dataset
        self.described = described
        self._writing: Connection | None = None
        self._idle: list[Connection] = []
        self._within: Cursor | None = None  # of the transaction that is open

    @abstractmethod
    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""

    @abstractmethod
    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""

    @abstractmethod
    def _connected(self, *, writing: bool) -> Connection:
        """Return a new connection; one that reads commits each statement by itself."""

    @abstractmethod
    def _made(self, cursor: Cursor, shape: StoredTable) -> Iterator[str]:
        """Yield the statements that make a table, and before it the dataset if that is missing."""

    @abstractmethod
    def _ours(self, error: Exception, table: str | None) -> CioReplicateError | None:
        """Return what an error means in words of our own; None when it is not the driver's."""

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        with self._reading() as cursor:
            self._run(cursor, query)
            yield from as_batches(cursor, schema)

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """Put rows in the place of others and remove what is gone, the table's new columns included.

        It is one commit, or part of the transaction that is open. Where a database commits a change of a table by
        itself, an empty table or an empty column can be there early.
        """
        shape = edit.shape
        with self._statements(shape.name) as cursor:
            for text in (
                [add(self.dialect, self.target(shape.name), one) for one in shape.columns if one.name not in there]
                if there
                else self._made(cursor, shape)
            ):
                self._run(cursor, Statement(text, ()))
            self._put(cursor, shape, edit.rows, fresh=not there)
            self._remove(cursor, shape, edit.gone)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        with self._statements(table) as cursor:
            if self._has_dataset(cursor):
                self._run(cursor, Statement(f"DROP TABLE IF EXISTS {self.target(table)}", ()))

    @contextmanager
    def transaction(self, table: str) -> Iterator[None]:
        """All that is written inside becomes one commit, or nothing. `table` is what errors name."""
        with self._statements(table):
            yield

    def close(self) -> None:
        """Let go of all connections."""
        for connection in (self._writing, *self._idle):
            self._let_go(connection)
        self._writing = None
        self._idle.clear()

    def _begin(self, cursor: Cursor) -> None:
        """Begin a transaction, where the driver does not by itself."""
        _ = cursor

    def _has_dataset(self, cursor: Cursor) -> bool:
        """Whether the dataset is there."""
        _ = cursor
        return True

    def _run(self, cursor: Cursor, query: Statement) -> None:
        cursor.execute(query.text, tuple(as_texts(query.values)))

    def _put(self, cursor: Cursor, shape: StoredTable, rows: pa.RecordBatchReader, *, fresh: bool) -> None:
        """Put rows in the place of those with the same key; a fresh table has none."""
        for some in gathered(rows, self.together):
            if not fresh:
                self._remove(cursor, shape, some.column(shape.key))
            self._add(cursor, shape, some)

    def _add(self, cursor: Cursor, shape: StoredTable, rows: pa.Table) -> None:
        names = [column.name for column in shape.columns]
        cursor.executemany(insert(self.dialect, self.target(shape.name), names), as_tuples(rows))

    def _remove(self, cursor: Cursor, shape: StoredTable, keys: pa.Array | pa.ChunkedArray) -> None:
        for part in keys_in_parts(keys, self.dialect.at_once):
            self._run(cursor, delete(self.dialect, self.target(shape.name), shape.key, part))

    @contextmanager
    def _statements(self, table: str) -> Iterator[Cursor]:
        """A cursor in the transaction that is open, or in one of its own."""
        with self._translated(table):
            if self._within is not None:
                yield self._within
                return
            if self._writing is None:
                self._writing = self._connected(writing=True)
            connection = self._writing
            try:
                with closing(connection.cursor()) as cursor:
                    self._begin(cursor)
                    self._within = cursor
                    yield cursor
                connection.commit()
            except BaseException:
                self._writing = None
                self._let_go(connection)  # which rolls back
                raise
            finally:
                self._within = None

    @contextmanager
    def _reading(self) -> Iterator[Cursor]:
        with self._translated():
            connection = self._idle.pop() if self._idle else self._connected(writing=False)
            try:
                with closing(self._reading_cursor(connection)) as cursor:
                    yield cursor
            except BaseException:
                self._let_go(connection)
                raise
            self._idle.append(connection)

    def _reading_cursor(self, connection: Connection) -> Cursor:
        return connection.cursor()

    @staticmethod
    def _let_go(connection: Connection | None) -> None:
        if connection is not None:
            with suppress(Exception):  # it may be broken, which is why it is let go
                connection.close()

    @contextmanager
    def _translated(self, table: str | None = None) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            ours = self._ours(error, table)
            if ours is None:
                raise
            raise ours from None


def as_tuples(rows: pa.Table) -> list[tuple[Any, ...]]:  # Any: any value that a column can hold
    """The rows as tuples of what drivers take."""
    columns = [
        column.cast(NAIVE).cast(pa.string()).to_pylist()  # a hundred times as fast as datetimes
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for column in rows.columns
    ]
    return list(zip(*columns, strict=True))


def as_batches(rows: DriverRows, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of an answer in batches of this schema."""
    while some := rows.fetchmany(ROWS_OF_AN_ANSWER):
        columns = [_array(values, field.type) for values, field in zip(zip(*some, strict=True), schema, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def as_texts(values: Sequence[Value]) -> list[Any]:  # Any: what a driver takes for a value
    """Values of a statement as drivers take them."""
    return [moment(value) if isinstance(value, datetime) else value for value in values]


def moment(value: datetime) -> str:
    """A moment as text, of a length and an order in which later is greater; without a zone it is in UTC."""
    utc = value if value.tzinfo is None else value.astimezone(UTC)
    return utc.replace(tzinfo=None).isoformat(" ", "microseconds")


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:  # Any: as a driver gave them
    if pa.types.is_timestamp(kind):
        moments = [moment(value) if isinstance(value, datetime) else value for value in values]
        return pa.array(moments, pa.string()).cast(NAIVE).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in values], kind)
    return pa.array(values, kind)
