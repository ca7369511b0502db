"""SQL databases: dialects, statements, the port of one database, and the table backend over it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Protocol

import pyarrow as pa

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.table import Column, ColumnType, arrow_type
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
    parts = [declared(dialect, column) for column in columns]
    return f"CREATE TABLE {target} ({', '.join([*parts, *more])})"


def add(dialect: Dialect, target: str, column: Column) -> str:
    """Give a table one more column."""
    return f"ALTER TABLE {target} ADD COLUMN {declared(dialect, column)}"


def declared(dialect: Dialect, column: Column) -> str:
    """A column with its type, as it is declared."""
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


# What a place is: one dataset in one database, with what a store needs of it and what differs between databases.


#: The columns that a table has, by name; None for a type that is none of ours.
Columns = Mapping[str, ColumnType | None]


class SqlBackend(Protocol):
    """One dataset in one database. What its driver raises leaves as DestinationUnavailableError or LoadError."""

    dialect: Dialect
    rows_at_once: int
    whole_edits: bool  # as the store's, and `transactional`
    transactional: bool
    described: str  # what messages call it, without any secret

    def connect(self) -> None:
        """Find out that the dataset can be looked at. Changes nothing."""
        ...

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        ...

    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""
        ...

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        ...

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """As the store's; `there` are the columns that the table has; those of the shape have its types."""
        ...

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        ...

    def transaction(self, table: str) -> AbstractContextManager[None]:
        """As the store's."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


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


# The store that keeps tables in SQL databases and warehouses, whichever way their rows travel.


COUNTED = pa.schema([pa.field("count", pa.int64())])


class WarehouseBackend:
    """A `Store` in a SQL database. Nothing is connected before `open`, or before the first use after it."""

    def __init__(self, place: SqlBackend) -> None:
        self.place = place
        self.rows_at_once = place.rows_at_once
        self.whole_edits = place.whole_edits
        self.transactional = place.transactional
        self.nul_allowed = place.dialect.nul_allowed
        self._known: dict[str, Columns] = {}

    def accepts_name(self, name: str) -> bool:
        """Whether a table or a column can have this name, to the letter."""
        return self.place.dialect.fits(name)

    def open(self) -> None:
        """Connect, and make sure that tables can be looked at. Changes nothing."""
        self._known.clear()
        self.place.connect()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        return {name: kind or ColumnType.STRING for name, kind in self._look(table).items()}

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, in the Arrow types of the shape's columns."""
        schema = pa.schema([pa.field(name, arrow_type(shape.column(name).type)) for name in columns])
        there = self._there(shape.name)
        chosen = list(dict.fromkeys(name for name in columns if name in there))
        return pa.RecordBatchReader.from_batches(schema, self._rows(shape, schema, chosen, conditions, there))

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        there = self._there(shape.name)
        total = 0
        for query in self._queries(shape, (), conditions, there):
            total += sum(batch.column(0)[0].as_py() for batch in self.place.select(query, COUNTED) if len(batch))
        return total

    def write(self, edit: ChangeSet) -> None:
        """Put the rows in the place of those with the same key, or add them; remove those that are gone."""
        shape = edit.shape
        for name in (shape.name, *(column.name for column in shape.columns)):
            if not self.accepts_name(name):
                raise LoadError(
                    f"{self.place.dialect.title} takes no table or column called {name[:80]!r} ({shape.name}).",
                    "Leave it out with --columns, or rename it there.",
                )
        there = self._there(shape.name)
        self._require_same(shape, there)
        if edit.count == 0 and not len(edit.gone) and all(column.name in there for column in shape.columns):
            return
        self._known.pop(shape.name, None)  # what is known of it is true again when the write has come to its end
        self.place.write(edit, there)
        self._known[shape.name] = {**there, **{column.name: column.type for column in shape.columns}}

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        self._known.pop(table, None)
        self.place.drop(table)

    @contextmanager
    def transaction(self, table: str) -> Iterator[None]:
        """All that is written inside becomes one commit, where the database has transactions."""
        try:
            with self.place.transaction(table):
                yield
        except BaseException:
            self._known.clear()
            raise

    def close(self) -> None:
        """Let go of it. No error when it was never open."""
        self._known.clear()
        self.place.close()

    def _there(self, table: str) -> Columns:
        """The columns of a table, asked for once: nobody else may change the tables while a copy is written."""
        return self._known.get(table) or self._look(table)

    def _look(self, table: str) -> Columns:
        self._known[table] = self.place.columns(table)
        return self._known[table]

    def _queries(
        self, shape: StoredTable, chosen: Sequence[str], conditions: Sequence[Condition], there: Columns
    ) -> Iterator[Statement]:
        if not there:
            return iter(())
        return queries(self.place.dialect, self.place.target(shape.name), shape, chosen, conditions, there)

    def _rows(
        self,
        shape: StoredTable,
        schema: pa.Schema,
        chosen: Sequence[str],
        conditions: Sequence[Condition],
        there: Columns,
    ) -> Iterator[pa.RecordBatch]:
        asked = list(chosen) or [shape.key]  # a row is a row even when all that is wanted of it is null
        selected = pa.schema([pa.field(name, arrow_type(shape.column(name).type)) for name in asked])
        for query in self._queries(shape, asked, conditions, there):
            for batch in self.place.select(query, selected):
                arrays = [
                    batch.column(name) if name in chosen else pa.nulls(len(batch), schema.field(place).type)
                    for place, name in enumerate(schema.names)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _require_same(self, shape: StoredTable, there: Columns) -> None:
        """The table is one of ours, and its columns are of the shape's types: bytes are never taken for other bytes."""
        if there and shape.key not in there:
            raise LoadError(
                f"The table {shape.name} in {self.place.described} was not made by cio-replicate.",
                "Choose another --dataset, or move that table away.",
            )
        for column in shape.columns:
            found = there.get(column.name, column.type)
            if found is not column.type:
                raise LoadError(
                    f"The column {column.name!r} of {shape.name} in {self.place.described} is to hold {column.type}, "
                    f"but is of {found or 'another type'}.",
                    "Change the column's type there, or move the table away.",
                )
