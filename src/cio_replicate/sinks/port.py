"""The port of a destination, the batches it takes, and the digests a copy is expected to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cio_replicate.config.table_options import USUAL, WriteOptions
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, StoredTable

# What a copy must hold by what was loaded into it: per table how many live rows, and a sum over their keys.
#
# Both are counted from staged pages, commit by commit, and stored with the copy; to count the copy itself must give the
# same.


_WRAP = 2**64


class Digests(msgspec.Struct, frozen=True):
    """Live rows: how many, and the sum of the first 64 bits of the MD5 of their keys, modulo 2**64."""

    rows: int = 0
    total: int = 0

    def __add__(self, other: Digests) -> Digests:
        return Digests(self.rows + other.rows, (self.total + other.total) % _WRAP)

    def __sub__(self, other: Digests) -> Digests:
        return Digests(self.rows - other.rows, (self.total - other.total) % _WRAP)

    @property
    def digest(self) -> str:
        """The sum as 16 hexadecimal digits."""
        return f"{self.total % _WRAP:016x}"


class DiscoveredColumn(msgspec.Struct, frozen=True):
    """A column that was found in what the API sent."""

    name: str
    type: ColumnType
    path: tuple[str, ...]


def found_columns(table: Table, found: Mapping[str, Sequence[DiscoveredColumn]]) -> list[Column]:
    """Return the columns of a table that its declaration does not have, of those that were found by table."""
    known = {column.name for column in table.columns}
    return [
        Column(one.name, one.type, "Sent by the API though not in its documentation.", one.path)
        for one in found.get(table.name, [])
        if one.name not in known
    ]


class PendingCommit(msgspec.Struct, frozen=True):
    """A commit that has begun: the table it writes, its name in the store, and what it must hold afterwards."""

    table: str
    target: str
    after: Digests


class CopyFacts(msgspec.Struct):
    """What a copy knows of itself, stored in it as JSON. `versions` are the tables that have a row per version.

    `format` is 1 in copies in which `found` and `versions` tell all, also in a DuckDB file.
    """

    expected: dict[str, Digests] = msgspec.field(default_factory=dict)
    found: dict[str, list[DiscoveredColumn]] = msgspec.field(default_factory=dict)
    versions: list[str] = msgspec.field(default_factory=list)
    turning: list[str] = msgspec.field(
        default_factory=list
    )  # those that are being brought from one layout to the other
    pending: PendingCommit | None = None
    format: int = 0

    def note_found(self, table: str, columns: list[Column]) -> None:
        """Remember the columns of a table that were found; those that were found before are in its rows, and stay."""
        now = {column.name: DiscoveredColumn(column.name, column.type, column.path) for column in columns}
        every = {one.name: one for one in self.found.get(table, [])} | now
        if every:
            self.found[table] = list(every.values())


@dataclass(frozen=True, slots=True)
class Close:
    """What ends a read: the position it brings and, when absence means deletion, all pages that it staged."""

    position: Checkpoint
    seen: Sequence[Path] | None
    at: int  # unix seconds; becomes `_cio_deleted_at` of the rows that are gone


@dataclass(frozen=True, slots=True)
class Batch:
    """Staged pages of one table, in their order, that go in together; with `close` when they are the last.

    `gone` are keys of rows that are known to be gone though no whole read has shown it; none of them is in the pages,
    and where a whole read tells, they say nothing. As at its end, rows that were marked before leave a table from which
    deleted rows are removed. With `as_it_is` there is nothing but `gone`, and the mode is the one that the table shows,
    whatever `treatment` says of it.
    """

    table: Table
    columns: Sequence[Column]
    files: Sequence[Path]
    run_id: str
    close: Close | None = None
    treatment: WriteOptions = USUAL
    gone: Sequence[str] | None = None
    gone_at: int = 0  # unix seconds; becomes `_cio_deleted_at` of those rows
    as_it_is: bool = False


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch really changed: rows whose content was already there count nowhere."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class ErasureHits:
    """The rows of one table that are about people, by `cio_id`: how many, and the keys of those that do not name it."""

    rows: dict[str, int] = field(default_factory=dict)
    otherwise: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CopyIdentity:
    """Which copy this is and how many commits it has seen, so that a replaced or restored copy is recognised."""

    copy_id: str
    commits: int


@dataclass(frozen=True, slots=True)
class SinkState:
    """What a copy knows of itself: its identity and, by table, checkpoints, expected digests and discovered columns.

    A table is in `expected` when its rows were counted from the start.
    """

    identity: CopyIdentity
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    expected: Mapping[str, Digests] = field(default_factory=dict)
    found: Mapping[str, Sequence[DiscoveredColumn]] = field(default_factory=dict)

    def discovered(self, table: Table) -> list[Column]:
        """Return the columns of a table that its declaration does not have, but the API once sent."""
        return found_columns(table, self.found)


#: The state of a sink in which there is no copy.
NO_COPY = SinkState(CopyIdentity("", 0))


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is to write the copy, from `now` (unix seconds).

    Of the tables in `recount`, what they hold now is taken for what was loaded, even if another program has changed it.
    """

    now: int
    recount: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class RunRows:
    """Rows about runs, for a table beside the copy. They replace those with the same key."""

    shape: StoredTable
    rows: Sequence[Mapping[str, object]]


class Sink(Protocol):
    """One dataset in one place. One thread at a time. Raises DestinationUnavailableError and LoadError.

    `write` is one commit: after a kill at any moment either all of a batch is there, its checkpoint included, or none.
    Writing a batch a second time changes nothing. `batch_rows` is how many rows a batch should have at most, so that
    memory stays flat.
    """

    batch_rows: int

    @property
    def state(self) -> SinkState:
        """The state of the copy, as far as this sink has opened and written it; `NO_COPY` when there is none."""
        ...

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Return the state of the copy. With an owner, make the copy if there is none, and settle a broken commit.

        Without one nothing is changed, and None says that there is no copy yet. Fails when one cannot be made.
        """
        ...

    def read(
        self, table: Table | StoredTable, columns: Sequence[str], where: Sequence[Condition] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the named columns of the rows that meet all conditions, system columns among them, in any order.

        A column that the table lacks holds None, and a condition on such a column holds for no row. A table that does
        not exist has no rows. A `StoredTable` is one about runs.
        """
        ...

    def digests(self, table: Table, where: Sequence[Condition] = (NOT_DELETED,), *, keys: bool = True) -> Digests:
        """Return the number of rows that meet all conditions and the sum of their keys, read back from the table.

        Without `keys` the sum is 0, and the rows are only counted.
        """
        ...

    def write(self, batch: Batch | RunRows) -> Changes:
        """Merge the rows, apply deletions, move the checkpoint: all or nothing. Rows about runs count no commit."""
        ...

    def probe(self) -> None:
        """Make, write, read back and drop a small table. Raises DestinationUnavailableError when that fails."""
        ...

    def erase(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people, versions and noted changes among them.

        `people` leads from each `cio_id` to the ids and addresses by which rows name the person that lack it, or that
        have it wrong. Returns what was found, by the table's name in the copy; done a second time it changes nothing.
        As long as the record `_cio_erasures` names a person without a return, `write` leaves these columns empty in
        rows that name the person or have one of the keys in it, but for the table of people: a person who is listed
        is there again.
        """
        ...

    def drop(self, table: Table | None) -> None:
        """Remove a table with its changes, and forget its checkpoint.

        With None, remove the tables about the copy and its runs: it is no copy any more.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def count_rows(sink: Sink, table: Table, where: Sequence[Condition] = (NOT_DELETED,)) -> int:
    """Return how many rows of a table meet all conditions."""
    return sink.digests(table, where, keys=False).rows


def run_rows(sink: Sink, shape: StoredTable) -> list[dict[str, Any]]:
    """Return all rows of a table about runs; none when it is not there."""
    names = [column.name for column in shape.columns]
    return [dict(zip(names, row, strict=True)) for row in sink.read(shape, names)]
