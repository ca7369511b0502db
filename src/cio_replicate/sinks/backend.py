"""The port of a table backend, conditions on rows, and the trial of a destination.

A backend replaces whole rows by key, removes rows and reads them; what a batch changes is computed elsewhere. DuckDB
needs no backend, since it compares and merges by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.schema.system_tables import Record
from cio_replicate.schema.table import Column, ColumnType, schema_for


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A table as it stands in a store: its name, its columns in order, and the column that identifies a row.

    `key` names one of the columns; it is text, or an integer, never null, and no two rows have the same.
    `split_by` names a column that tells when a row came about, for stores that keep large tables in several files:
    the value never changes for a key, or hardly ever. None: the table is small.
    """

    name: str
    columns: tuple[Column, ...]
    key: str
    split_by: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


def record_shape(record: Record) -> StoredTable:
    """A table about runs."""
    return StoredTable(record.name, record.columns, record.key)


class Operator(StrEnum):
    """How a condition compares a column."""

    IN = "in"  # the value is a sequence of texts or of integers
    AT_LEAST = ">="
    AT_MOST = "<="
    NULL = "null"  # the value is not looked at
    TRUE = "true"  # the value is not looked at; the column is a boolean


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a row. Moments are datetimes in UTC."""

    column: str
    comparison: Operator
    value: str | int | datetime | Sequence[str] | Sequence[int] | None = None


#: The rows that are not deleted. In a table with a row per version, a sink reads only current versions instead.
NOT_DELETED = Condition("_cio_deleted_at", Operator.NULL)
_CURRENT = Condition("_cio_is_current", Operator.TRUE)


def one_of(column: str, values: Iterable[str]) -> Condition:
    """The condition that a column holds one of these texts."""
    return Condition(column, Operator.IN, sorted({*values}))


def at_least(column: str, seconds: int) -> Condition:
    """The condition that a column holds this moment (unix seconds) or a later one."""
    return Condition(column, Operator.AT_LEAST, moment(seconds))


def moment(seconds: int) -> datetime:
    """Return unix seconds as a datetime in UTC, as conditions and rows hold it."""
    return datetime.fromtimestamp(seconds, UTC)


def resolved(where: Sequence[Condition], there: Collection[str]) -> list[Condition] | None:
    """Return the conditions for a table with these columns, or None when no row can meet all of them."""
    if any(one.column not in there or (one.comparison is Operator.IN and not one.value) for one in where):
        return None
    return [not_deleted(there) if one == NOT_DELETED else one for one in where]


def not_deleted(there: Collection[str]) -> Condition:
    """Return the condition for rows that are not deleted in a table with these columns."""
    return _CURRENT if _CURRENT.column in there else NOT_DELETED


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """What is to become of one table.

    `rows` are whole rows in the shape's columns and their Arrow types (`tables.arrow.schema_for`), at most one per
    key, in batches that each fit into memory; it can be read once. `count` is how many they are. `gone` are the keys
    whose rows are to be removed: none of them is among `rows`, and removing a row that is not there is no error.
    """

    shape: StoredTable
    rows: pa.RecordBatchReader
    count: int
    gone: pa.Array


def edit_of(shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> ChangeSet:
    """Return a change set that puts a few rows in; without rows it only makes the table, and its columns."""
    table = pa.Table.from_pylist(list(rows), schema=schema_for(shape.columns))
    return ChangeSet(shape, table.to_reader(), len(table), pa.array([], schema_for([shape.column(shape.key)])[0].type))


class TableBackend(Protocol):
    """The tables of one dataset in one place. One thread at a time.

    Raises DestinationUnavailableError when the place cannot be reached or used, LoadError when it refuses rows. Both
    say the cause and the fix, and never hold a credential or a value of a row.
    """

    rows_at_once: int  # how many rows an edit should have at most, so that memory stays flat
    whole_edits: bool  # whether an edit is one commit
    transactional: bool  # whether several edits can be one commit

    def accepts_name(self, name: str) -> bool:
        """Whether a column can have this name, to the letter."""
        ...

    def open(self) -> None:
        """Connect, and make sure that tables can be looked at. Changes nothing."""
        ...

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        ...

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, in the Arrow types of the shape's columns.

        A table that is not there has no rows; a column that it lacks holds nulls, and a condition on it (other than
        `NULL`) holds for no row. With `IN`, rows are looked for piece by piece, however many values there are.
        """
        ...

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        ...

    def write(self, edit: ChangeSet) -> None:
        """Put the rows in the place of those with the same key, or add them; remove those that are gone.

        The table is made when it is not there, and gets the columns that it lacks; columns that the shape does not
        have stay, with nulls in the rows that are written. One commit: after a kill at any moment the table holds the
        edit or holds nothing of it, and readers see no other state either. Without `whole_edits` it may hold some of
        the edit's rows. Writing an edit twice changes nothing.
        """
        ...

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        ...

    def transaction(self, table: str) -> AbstractContextManager[None]:
        """All that is written inside becomes one commit where the backend is transactional, else nothing happens.

        `table` is what errors name. Reads inside do not see what was written there. A change set that makes a table or
        adds columns may commit what was written before it.
        """
        ...

    def close(self) -> None:
        """Let go of it. No error when it was never open."""
        ...


class SeparateCommits:
    """What a table backend without transactions has of them."""

    transactional = False

    def transaction(self, table: str) -> AbstractContextManager[None]:
        """Do nothing: each edit is a commit of its own."""
        _ = table
        return nullcontext()


# A trial of a place: a small table of its own that is made, written, read back and dropped.


COLUMNS = (
    Column("name", ColumnType.STRING, "A text in several scripts."),
    Column("number", ColumnType.INTEGER, "The largest number."),
    Column("moment", ColumnType.TIMESTAMP, "A moment in UTC."),
    Column("anything", ColumnType.JSON, "A JSON text, which must stay as it is."),
)
ROWS: tuple[dict[str, object], ...] = (
    {
        "name": "first ✓ ünï",
        "number": 2**63 - 1,
        "moment": datetime(2024, 1, 31, 12, 0, 0, 1, UTC),
        "anything": '{"b":1.0,"a":2}',
    },
    {"name": "second", "number": None, "moment": None, "anything": None},
)


def try_out(store: TableBackend, shown: str) -> None:
    """Make, write, read back and drop a small table. Raises DestinationUnavailableError when that does not go well."""
    shape = StoredTable(f"_cio_check_{uuid.uuid4().hex[:12]}", COLUMNS, "name")
    store.open()
    try:
        store.write(edit_of(shape, ROWS))
        back = store.read(shape, [column.name for column in COLUMNS]).read_all().to_pylist()
        if sorted(back, key=lambda row: str(row["name"])) != list(ROWS):
            raise DestinationUnavailableError(
                f"{shown} does not give back what is written to it.",
                "Report this with the kind and version of the destination: a copy there could not be trusted.",
            )
    finally:
        store.drop(shape.name)
