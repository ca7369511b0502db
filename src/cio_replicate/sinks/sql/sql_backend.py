"""SQL databases as table backends: dialects, statements, and connections of DB-API drivers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, LoadError
from cio_replicate.schema.table import Column, ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable

#: What can stand in the place of a value in a statement. A list stands there whole where the dialect takes lists.
Value = str | int | datetime | Sequence[str] | Sequence[int]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind of database writes what the statements below need."""

    title: str
    quote: Callable[[str], str]
    types: Mapping[ColumnType, str]
    place: Callable[[int], str]  # the place of a value; places are counted from 1
    kinds: Mapping[str, ColumnType] = field(default_factory=dict)  # by the name of a type as the database tells it
    as_text: str = "{}"  # how a JSON column is read, so that its text comes and nothing made of it
    in_order: str = "{}"  # how a text column is compared with `>=`, so that characters count by their number
    true: str = "{} = 1"  # how a boolean column is asked
    any_of: str | None = None  # the condition that a column is one of a list, where a list can be a value
    written: Callable[[str | int | datetime], str] | None = None  # a single value, where it stands in the statement
    nul_allowed: bool = False  # whether a text can hold the character NUL
    at_once: int = 500  # how many values of a list one statement looks for
    longest_name: int = 255
    name_bytes: bool = False  # whether a name is measured in bytes of UTF-8
    name_refused: Callable[[str], bool] = lambda _name: False

    def fits(self, name: str) -> bool:
        """Whether a table or a column can have this name, to the letter."""
        length = len(name.encode()) if self.name_bytes else len(name)
        return 0 < length <= self.longest_name and "\0" not in name and not self.name_refused(name)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and the values for its places."""

    text: str
    values: tuple[Value, ...]


def double_quoted(name: str) -> str:
    """A name as standard SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def queries(
    dialect: Dialect,
    target: str,
    shape: StoredTable,
    chosen: Sequence[str],
    conditions: Sequence[Condition],
    there: Collection[str],
) -> Iterator[Statement]:
    """The statements that together give the columns `chosen`, or with none the number, of the rows that meet them all.

    No row comes twice. `there` are the columns that the table has; all that are chosen are among them.
    """
    if any(condition.column not in there and condition.comparison is not Operator.NULL for condition in conditions):
        return
    conditions = [condition for condition in conditions if condition.column in there]
    lists = [condition for condition in conditions if condition.comparison is Operator.IN]
    fixed = [condition for condition in conditions if condition.comparison is not Operator.IN]
    selected = ", ".join(_selected(dialect, shape, name) for name in chosen) or "count(*)"
    for parts in product(*(list(_parts(condition, dialect.at_once, nul=dialect.nul_allowed)) for condition in lists)):
        values: list[Value] = []
        where = [_condition(dialect, shape, condition, values) for condition in fixed]
        where += [_is_one_of(dialect, one.column, part, values) for one, part in zip(lists, parts, strict=True)]
        text = f"SELECT {selected} FROM {target}" + (f" WHERE {' AND '.join(where)}" if where else "")
        yield Statement(text, tuple(values))


def delete(dialect: Dialect, target: str, key: str, keys: Sequence[str] | Sequence[int]) -> Statement:
    """Remove the rows with these keys, at most `at_once`."""
    values: list[Value] = []
    condition = _is_one_of(dialect, key, keys, values)
    return Statement(f"DELETE FROM {target} WHERE {condition}", tuple(values))


def insert(dialect: Dialect, target: str, columns: Sequence[str]) -> str:
    """Add one row. The places are those of the columns, in order."""
    names = ", ".join(dialect.quote(name) for name in columns)
    places = ", ".join(dialect.place(number) for number in range(1, len(columns) + 1))
    return f"INSERT INTO {target} ({names}) VALUES ({places})"


def create(dialect: Dialect, target: str, columns: Sequence[Column], *more: str) -> str:
    """Make a table. Every column can be null: a rule that a database holds for good is one that drift can break."""
    parts = [_declared(dialect, column) for column in columns]
    return f"CREATE TABLE {target} ({', '.join([*parts, *more])})"


def add(dialect: Dialect, target: str, column: Column) -> str:
    """Give a table one more column."""
    return f"ALTER TABLE {target} ADD COLUMN {_declared(dialect, column)}"


def _declared(dialect: Dialect, column: Column) -> str:
    return f"{dialect.quote(column.name)} {dialect.types[column.type]}"


def _parts(condition: Condition, size: int, *, nul: bool) -> Iterator[list[str] | list[int]]:
    wanted = condition.value
    if isinstance(wanted, str | int | datetime | None):
        raise TypeError(f"`in` needs a list, not {type(wanted).__name__}")
    different = dict.fromkeys(wanted)
    askable = [value for value in different if not isinstance(value, str) or _can_be_there(value, nul=nul)]
    for first in range(0, len(askable), size):
        yield askable[first : first + size]  # type: ignore[misc] # all are texts or all are integers


def _can_be_there(text: str, *, nul: bool) -> bool:
    """Whether a text can be in a table at all; asking for another would be an error, not an empty answer."""
    return (nul or "\0" not in text) and all(not "\ud800" <= letter <= "\udfff" for letter in text)


def _is_one_of(dialect: Dialect, column: str, part: Sequence[str] | Sequence[int], values: list[Value]) -> str:
    name = dialect.quote(column)
    if dialect.any_of is not None:
        values.append(part)
        return dialect.any_of.format(name, dialect.place(len(values)))
    places = []
    for value in part:
        values.append(value)
        places.append(dialect.place(len(values)))
    return f"{name} IN ({', '.join(places)})"


def _condition(dialect: Dialect, shape: StoredTable, condition: Condition, values: list[Value]) -> str:
    name = dialect.quote(condition.column)
    match condition.comparison:
        case Operator.NULL:
            return f"{name} IS NULL"
        case Operator.TRUE:
            return dialect.true.format(name)
        case _:
            if condition.value is None:
                raise TypeError(f"`{condition.comparison}` needs a value")
            if shape.column(condition.column).type is ColumnType.STRING:
                name = dialect.in_order.format(name)
            return f"{name} {condition.comparison} {_value(dialect, condition.value, values)}"


def _value(dialect: Dialect, value: Value, values: list[Value]) -> str:
    if dialect.written is not None and isinstance(value, str | int | datetime):
        return dialect.written(value)
    values.append(value)
    return dialect.place(len(values))


def _selected(dialect: Dialect, shape: StoredTable, name: str) -> str:
    quoted = dialect.quote(name)
    return dialect.as_text.format(quoted) if shape.column(name).type is ColumnType.JSON else quoted


def gathered(rows: pa.RecordBatchReader, most: int, most_bytes: int = 32_000_000) -> Iterator[pa.Table]:
    """The rows in pieces that are worth a statement, as long as that leaves them small."""
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in rows:
        if waiting and (count + len(batch) > most or size + batch.nbytes > most_bytes):
            yield pa.Table.from_batches(waiting)
            waiting, count, size = [], 0, 0
        if len(batch):
            waiting.append(batch)
            count, size = count + len(batch), size + batch.nbytes
    if waiting:
        yield pa.Table.from_batches(waiting)


def keys_in_parts(keys: pa.Array | pa.ChunkedArray, size: int) -> Iterator[Sequence[str] | Sequence[int]]:
    """The keys as Python values, so many at a time."""
    for first in range(0, len(keys), size):
        yield keys.slice(first, size).to_pylist()


#: The columns that a table has, by name; None for a type that is none of ours.
Columns = Mapping[str, ColumnType | None]
_COUNTED = pa.schema([pa.field("count", pa.int64())])


class SqlBackend(ABC):
    """One dataset in one database. Nothing is connected before `open`, or before the first use after it.

    A subclass says how statements and rows get there. What its driver raises leaves it as DestinationUnavailableError
    or LoadError.
    """

    dialect: Dialect
    rows_at_once: int
    whole_edits: bool
    transactional: bool

    def __init__(self, dataset: str, described: str) -> None:
        self.dataset = dataset
        self.described = described  # what messages call the database, without any secret
        self._known: dict[str, Columns] = {}

    @property
    def nul_allowed(self) -> bool:
        """Whether a text can hold the character NUL."""
        return self.dialect.nul_allowed

    def accepts_name(self, name: str) -> bool:
        """Whether a table or a column can have this name, to the letter."""
        return self.dialect.fits(name)

    def open(self) -> None:
        """Connect, and make sure that tables can be looked at. Changes nothing."""
        self.close()
        self._connect()

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        return f"{self.dialect.quote(self.dataset)}.{self.dialect.quote(table)}"

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        return {name: kind or ColumnType.STRING for name, kind in self._look(table).items()}

    def there(self, table: str) -> Columns:
        """The columns of a table, asked for once: nobody else may change the tables while a copy is written."""
        return self._known[table] if table in self._known else self._look(table)

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, in the Arrow types of the shape's columns."""
        schema = schema_for([shape.column(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._rows(shape, schema, conditions, self.there(shape.name)))

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        queries = self._queries(shape, (), conditions, self.there(shape.name))
        answers = (batch for query in queries for batch in self._select(query, _COUNTED))
        return sum(batch.column(0)[0].as_py() for batch in answers if len(batch))

    def write(self, edit: ChangeSet) -> None:
        """Put the rows in the place of those with the same key, or add them; remove those that are gone."""
        shape = edit.shape
        for name in (shape.name, *(column.name for column in shape.columns)):
            if not self.accepts_name(name):
                raise LoadError(
                    f"{self.dialect.title} takes no table or column called {name[:80]!r} ({shape.name}).",
                    "Leave it out with ‹columns›, or rename it there.",
                )
        there = self.there(shape.name)
        self._require_same(shape, there)
        if edit.count == 0 and not len(edit.gone) and all(column.name in there for column in shape.columns):
            return
        self._known.pop(shape.name, None)  # what is known of it is true again when the write has come to its end
        self._write(edit, there)
        self._known[shape.name] = {**there, **{column.name: column.type for column in shape.columns}}

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        self._known.pop(table, None)
        self._drop(table)

    @abstractmethod
    def transaction(self, table: str) -> AbstractContextManager[None]:
        """All that is written inside becomes one commit, where the database has transactions."""

    def close(self) -> None:
        """Let go of all connections. No error when there are none."""
        self._known.clear()

    @abstractmethod
    def _connect(self) -> None:
        """Find out that the dataset can be looked at. Changes nothing."""

    @abstractmethod
    def _columns(self, table: str) -> Columns:
        """Ask for the columns of a table by name, in order; none when the table is not there."""

    @abstractmethod
    def _select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""

    @abstractmethod
    def _write(self, edit: ChangeSet, there: Columns) -> None:
        """Write, where the table has the columns `there`; those of the shape have its types."""

    @abstractmethod
    def _drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""

    def _look(self, table: str) -> Columns:
        self._known[table] = self._columns(table)
        return self._known[table]

    def _queries(
        self, shape: StoredTable, chosen: Sequence[str], conditions: Sequence[Condition], there: Columns
    ) -> Iterator[Statement]:
        if not there:
            return iter(())
        return queries(self.dialect, self.target(shape.name), shape, chosen, conditions, there)

    def _rows(
        self, shape: StoredTable, schema: pa.Schema, conditions: Sequence[Condition], there: Columns
    ) -> Iterator[pa.RecordBatch]:
        chosen = [name for name in dict.fromkeys(schema.names) if name in there]
        asked = chosen or [shape.key]  # a row is a row even when all that is wanted of it is null
        selected = schema_for([shape.column(name) for name in asked])
        for query in self._queries(shape, asked, conditions, there):
            for batch in self._select(query, selected):
                arrays = [
                    batch.column(name) if name in chosen else pa.nulls(len(batch), schema.field(place).type)
                    for place, name in enumerate(schema.names)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _require_same(self, shape: StoredTable, there: Columns) -> None:
        """The table is one of ours, and its columns are of the shape's types: bytes are never taken for other bytes."""
        if there and shape.key not in there:
            raise LoadError(
                f"The table {shape.name} in {self.described} was not made by cio-replicate.",
                "Choose another ‹dataset›, or move that table away.",
            )
        for column in shape.columns:
            found = there.get(column.name, column.type)
            if found is not column.type:
                raise LoadError(
                    f"The column {column.name!r} of {shape.name} in {self.described} is to hold {column.type}, "
                    f"but is of {found or 'another type'}.",
                    "Change the column's type there, or move the table away.",
                )


ROWS_OF_AN_ANSWER = 500
NAIVE = pa.timestamp("us")
_TYPED = pa.schema([pa.field("name", pa.string()), pa.field("type", pa.string())])

Cursor = Any  # of a driver: its types say less than its documentation
Connection = Any


class DbapiBackend(SqlBackend):
    """One dataset in a database with transactions. A subclass says how its driver connects, and what its errors mean.

    Reads have connections of their own, so that an answer that is still coming does not stand in the way of a write.
    After an error a new connection is made. Moments travel as text in UTC.
    """

    rows_at_once = 50_000
    whole_edits = True
    transactional = True
    together = 20_000  # rows whose keys are looked for and which are then written together

    def __init__(self, dataset: str, described: str) -> None:
        super().__init__(dataset, described)
        self._writing: Connection | None = None
        self._idle: list[Connection] = []
        self._within: Cursor | None = None  # of the transaction that is open

    @abstractmethod
    def _column_query(self, table: str) -> Statement:
        """Return the query for the name and the type of each column of a table, in order."""

    @abstractmethod
    def _connected(self, *, writing: bool) -> Connection:
        """Return a new connection; one that reads commits each statement by itself."""

    @abstractmethod
    def _made(self, cursor: Cursor, shape: StoredTable) -> Iterator[str]:
        """Yield the statements that make a table, and before it the dataset if that is missing."""

    @abstractmethod
    def _ours(self, error: Exception, table: str | None) -> CioReplicateError | None:
        """Return what an error means in words of our own; None when it is not the driver's."""

    def _columns(self, table: str) -> Columns:
        rows = [row for batch in self._select(self._column_query(table), _TYPED) for row in batch.to_pylist()]
        return {row["name"]: self.dialect.kinds.get(row["type"]) for row in rows}

    def _select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._reading() as cursor:
            self._run(cursor, query)
            yield from as_batches(cursor, schema)

    def _write(self, edit: ChangeSet, there: Columns) -> None:
        """Write in one commit, or as part of the transaction that is open, the table's new columns included.

        Where a database commits a change of a table by itself, an empty table or an empty column can be there early.
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

    def _drop(self, table: str) -> None:
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
        super().close()
        for connection in (self._writing, *self._idle):
            self._let_go(connection)
        self._writing = None
        self._idle.clear()

    def _refusal(self, table: str | None, code: str, reason: str = "") -> LoadError:
        """Return the error for rows of a table that the database did not accept."""
        return LoadError(
            f"{self.described} did not accept rows of {table or 'a table'}{reason and f': {reason}'} ({code}).",
            "They stay landed; mend the cause and run again.",
        )

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
                self._known.clear()
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
        except CioReplicateError:
            raise
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


def as_batches(rows: Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
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
