"""The words in which one database is spoken to: names, types, places for values, and the statements made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import Condition, Operator, StoredTable

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
