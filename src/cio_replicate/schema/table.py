"""Declarations of tables and columns, the known columns of a table, and their Arrow types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import msgspec
import pyarrow as pa

from cio_replicate.base.text import Secret
from cio_replicate.config.column_rules import RedactionKind
from cio_replicate.config.table_options import AS_IS, RESERVED, LetterCase, Naming, SchemaChanges

API_REFERENCE = "https://docs.customer.io/api/app/#operation/"

#: The columns of the program's own that may hold values of others.
BLANKED = frozenset({"_cio_extra", "_cio_before"})


class ColumnType(StrEnum):
    """The types a column can have."""

    STRING = "string"
    INTEGER = "integer"  # 64 bits, signed
    NUMBER = "number"  # double precision
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"  # unix seconds in the API, UTC with microseconds in the copy
    JSON = "json"  # any JSON value, its text as received


class Method(StrEnum):
    """The replication method that the documentation promises for a table."""

    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `path` leads to its value in the API's record; more than one step means a flattened object.

    `personal`: it may hold what tells who a person is, so it is blanked when that person is erased. `identifies`: it
    holds the id or the address of the person whom the row is about, and nothing else.
    """

    name: str
    type: ColumnType
    about: str
    path: tuple[str, ...] = ()
    personal: bool = False
    identifies: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            object.__setattr__(self, "path", tuple(self.name.split("__")))


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """Declares columns of one type."""

    type: ColumnType

    def __call__(
        self, name: str, about: str, path: tuple[str, ...] = (), *, personal: bool = False, identifies: bool = False
    ) -> Column:
        """Declare a column."""
        return Column(name, self.type, about, path, personal, identifies)


string, integer, number = ColumnOf(ColumnType.STRING), ColumnOf(ColumnType.INTEGER), ColumnOf(ColumnType.NUMBER)
boolean, timestamp, json = ColumnOf(ColumnType.BOOLEAN), ColumnOf(ColumnType.TIMESTAMP), ColumnOf(ColumnType.JSON)


@dataclass(frozen=True, slots=True)
class DeclaredPartition:
    """A partition that a table always has: its name, and what it adds to the request."""

    name: str = "all"
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    # a part of this name is redundant when its first page repeats a record of the named part's first page
    covered_by: str | None = None


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is done to each record of a table before it is staged.

    `actions` lead from the path of a value to what is done to it; a path may go on into the objects, and the arrays of
    objects, of a JSON column. `only` are the paths of all values that stay; with None the others stay.
    """

    actions: Mapping[tuple[str, ...], RedactionKind]
    only: frozenset[tuple[str, ...]] | None = None
    salt: Secret | None = None


#: The ways to read a table; each is a module of `source.strategies`.
StrategyName = Literal["list", "offset", "windows", "log", "people", "children"]

#: Turns one item of the list into the record that becomes a row; pure. Gets the item and the part it came from.
Shape = Callable[[msgspec.Raw, DeclaredPartition], bytes]


@dataclass(frozen=True, slots=True)
class Table:
    """One replicated table, whole: everything that reads, lists, documents or loads it derives from this row."""

    name: str
    about: str
    operation: str  # the API's own name of the operation, for the link to its page
    path: str
    columns: tuple[Column, ...]
    records: str = ""  # the key of the answer that holds the list; the table's name unless given
    key: tuple[str, ...] = ("id",)  # fields on top of the record
    http_method: str = "GET"
    body: Mapping[str, Any] | None = None
    strategy: StrategyName = "list"
    parent: Table | None = None  # the table with a record for each place in `path`, for children
    page_size: int | None = None  # None: the list has no `limit` parameter
    slices: tuple[DeclaredPartition, ...] = (DeclaredPartition(),)
    replication_key: str | None = None  # a column; its highest value is the position
    # rows before the start date in this column are not replicated; the replication key unless given
    start_date_column: str | None = None
    absence_deletes: bool = True  # a row missing from a complete read no longer exists at the source
    retention_days: int | None = None  # how long the source is sure to keep a row
    partitioned_by: str | None = None  # the column by which stores split a table that grows with time
    shape: Shape | None = None
    key_holds: tuple[str, ...] = ()  # the columns from whose values the key is joined, where it is
    person: str | None = None  # the column with the `cio_id` of the person a row is about; None: no row is about one
    notes: tuple[str, ...] = ()
    # what the user has settled; `columns` are then those of the copy, by their names there, and `hidden` the others
    hidden: tuple[Column, ...] = ()
    redaction: Redaction | None = None
    naming: Naming = AS_IS
    schema_changes: SchemaChanges = SchemaChanges.EVOLVE
    rules: str = ""  # differs where pages would be staged otherwise: by other rules for columns, names or salt

    def __post_init__(self) -> None:
        object.__setattr__(self, "records", self.records or self.name)
        object.__setattr__(self, "start_date_column", self.start_date_column or self.replication_key)

    @property
    def method(self) -> Method:
        """The replication method, which a replication key makes incremental."""
        return Method.FULL if self.replication_key is None else Method.INCREMENTAL

    @property
    def target(self) -> str:
        """The table's name in the copy; by `name` it is found everywhere else."""
        return self.naming.table(self.name)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The key's columns, by their names in the copy."""
        return tuple(self.name_of(field) for field in self.key)

    @property
    def reference(self) -> str:
        """The address of the API's own page on the operation."""
        return API_REFERENCE + self.operation

    @property
    def objects(self) -> frozenset[tuple[str, ...]]:
        """The paths of the objects that are flattened into columns."""
        return frozenset(column.path[:-1] for column in (*self.columns, *self.hidden) if len(column.path) > 1)

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def name_of(self, *path: str) -> str:
        """What the column for the value at `path` is called in the copy; of one that it has not, what it would be."""
        for column in self.columns:
            if column.path == path:
                return column.name
        return self.naming.column("__".join(path))

    def is_blanked(self, name: str) -> bool:
        """Whether the column of that name is blanked in rows about a person who is erased.

        Only what is known to tell nothing of a person stays: of a column that is not declared nobody knows.
        """
        if name.casefold().startswith(RESERVED):
            return name in BLANKED
        return all(column.name != name or column.personal for column in self.columns)

    def path_of(self, name: str) -> tuple[str, ...]:
        """Where the value of a discovered column stands in a record: inside a flattened object, or on top.

        Where a naming rule has changed the case of the name, it is the likeliest place.
        """
        for inside in self.objects:
            prefix = self.naming.column("__".join(inside) + "__")
            if name.startswith(prefix):
                return (*inside, replace(self.naming, column_prefix="").field(name.removeprefix(prefix)))
        return (self.naming.field(name),)


# The columns of a table as known so far: those declared, and those discovered in what the API sent.


MOST_DISCOVERED = 200  # a source that sends keys without end must not make columns without end
LONGEST_NAME = 100
TAKEN = "file_row_number"  # DuckDB's name for the place of a row in a page


class KnownColumns:
    """Leads from a path in a record to its column. Grows when a field appears that the table does not declare."""

    def __init__(self, table: Table, discovered: Iterable[Column] = ()) -> None:
        self.table = table
        self.discovered: list[Column] = []
        self.changes = 0  # counts up whenever a path leads to another column than before
        self._by_path = {column.path: column for column in table.columns}
        self._names = {TAKEN, *(column.name.casefold() for column in table.columns)}
        self._inside = tuple(table.naming.column("__".join(path) + "__").casefold() for path in table.objects)
        for column in discovered:
            if column.path not in self._by_path and column.name.casefold() not in self._names:
                self._add(column)
        # a destination tells names only, and of names whose case was changed not for sure from which field they are
        self._guessed = {one.name for one in self.discovered} if table.naming.case is not LetterCase.AS_IS else set()

    @property
    def all(self) -> tuple[Column, ...]:
        """Declared columns first, then the discovered ones in the order of their discovery."""
        return (*self.table.columns, *self.discovered)

    def at(self, path: tuple[str, ...]) -> Column | None:
        """The column for the value at `path`, if there is one."""
        return self._by_path.get(path)

    def discover(self, path: tuple[str, ...], kind: ColumnType) -> Column | None:
        """A new column for the value at `path`, or None when no column can have that name.

        Databases fold the case of names, so a name that differs from a known one only by case is none; nor is one on
        top that reads like a field inside of a flattened object. The type is that of the first value seen, for good:
        what does not fit it later is kept in `_cio_extra`.
        """
        name = self.table.naming.column("__".join(path))
        if name in self._guessed:
            return self._known_as(name, path)
        possible = (
            name.isprintable()
            and bool(name.strip())
            and len(name) <= LONGEST_NAME
            and not name.casefold().startswith(RESERVED)
            and name.casefold() not in self._names
            and not (len(path) == 1 and name.casefold().startswith(self._inside))
            and len(self.discovered) < MOST_DISCOVERED
        )
        if not possible:
            return None
        column = Column(name, kind, "Sent by the API though not in its documentation.", path)
        self._add(column)
        return column

    def _known_as(self, name: str, path: tuple[str, ...]) -> Column:
        """The column that a destination has under this name, which from now on is that of the value at `path`."""
        self._guessed.discard(name)
        at = next(number for number, one in enumerate(self.discovered) if one.name == name)
        column = replace(self.discovered[at], path=path)
        del self._by_path[self.discovered[at].path]
        self.discovered[at] = self._by_path[path] = column
        self.changes += 1
        return column

    def _add(self, column: Column) -> None:
        self.discovered.append(column)
        self.changes += 1
        self._by_path[column.path] = column
        self._names.add(column.name.casefold())


# Columns as Arrow fields.


TIMESTAMP = pa.timestamp("us", "UTC")

_TYPES = {
    ColumnType.STRING: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: TIMESTAMP,
    ColumnType.JSON: pa.string(),
}

#: What a row carries besides the table's columns.
ROW_FIELDS = (
    pa.field("_cio_key", pa.string()),
    pa.field("_cio_extra", pa.string()),
    pa.field("_cio_synced_at", TIMESTAMP),
)


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type that holds a column type; JSON travels as its text."""
    return _TYPES[kind]


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """The schema of rows with these columns, as they are decoded."""
    return pa.schema([*(pa.field(column.name, _TYPES[column.type]) for column in columns), *ROW_FIELDS])


def schema_for(columns: Iterable[Column]) -> pa.Schema:
    """The schema of rows with just these columns, as they stand in a destination."""
    return pa.schema([pa.field(column.name, _TYPES[column.type]) for column in columns])
