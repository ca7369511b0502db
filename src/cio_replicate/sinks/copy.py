"""The sink over any table backend: the copy's own tables, and batches as one commit."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import duckdb
import msgspec
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.base.text import quoted
from cio_replicate.config.table_options import RESERVED, as_shown
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    COPY_COLUMNS,
    DIGEST,
    ERASURES,
    HISTORY_COLUMNS,
    POSITION_COLUMNS,
    POSITIONS,
    RECORDS,
    SYSTEM_COLUMNS,
    Checkpoint,
    from_text,
    to_text,
)
from cio_replicate.schema.table import Column, Table, schema_for
from cio_replicate.sinks.backend import (
    NOT_DELETED,
    ChangeSet,
    Condition,
    Operator,
    StoredTable,
    TableBackend,
    edit_of,
    moment,
    resolved,
    try_out,
)
from cio_replicate.sinks.merge import table_merge as statements
from cio_replicate.sinks.port import (
    NO_COPY,
    Batch,
    Changes,
    CopyFacts,
    CopyIdentity,
    Digests,
    ErasureHits,
    Owner,
    PendingCommit,
    RunRows,
    SinkState,
    found_columns,
)

FORMAT = 1  # of the facts of a new copy
T = TypeVar("T")
People = Mapping[str, Sequence[str]]  # as `Sink.erase` takes them


@dataclass(slots=True)
class CopyRecord:
    """What a copy keeps about itself, in one row."""

    copy_id: str
    created_at: datetime | None
    commits: int
    facts: CopyFacts


class BatchMerge(ABC):
    """What one batch does to its table. `changes` and `after` hold once it is written."""

    writes: bool  # whether the table is to be written
    changes: Changes  # what really changed
    after: Digests  # what must be live afterwards

    @abstractmethod
    def write(self) -> None:
        """Write it, within the caller's commit."""


class Merger(ABC):
    """How the rows of batches get into the tables of one backend, and how people are erased there.

    What only concerns a merger that remembers something beside the backend does nothing here.
    """

    refusal: str  # what is said when a batch fails: `{table}` and `{why}`
    nul_allowed = True  # whether texts may hold the character NUL
    oldest: int  # the oldest format of facts that is understood

    @abstractmethod
    def fit(self, batch: Batch, copy: CopyRecord, save: Callable[[], None]) -> None:
        """Bring the table, if it is there, into the layout of the batch's mode, and note that in the facts."""

    @abstractmethod
    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """Return the keys of the live rows of a table."""

    @abstractmethod
    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """Return the keys of the rows that meet all conditions, read back from the table."""

    @abstractmethod
    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> BatchMerge:
        """Work out what a batch does; `aside` are columns that the table cannot have, `before` is what was live."""

    @abstractmethod
    def erase(self, table: Table, people: People, copy: CopyRecord, commits: int) -> dict[str, ErasureHits]:
        """Erase people as a sink does, within the caller's commit; `commits` is the number of the one before."""

    def together(self) -> AbstractContextManager[None]:
        """What is remembered within is remembered together, or not at all."""
        return nullcontext()

    def settle(self, pending: PendingCommit, copy: CopyRecord) -> None:  # noqa: B027 - nothing to do
        """Find out what became of a commit that was broken off, and note in the facts what is live."""

    def forget(self, table: str) -> None:  # noqa: B027
        """What is remembered of a table holds no more."""

    def advance(self, copy_id: str, before: int, after: int) -> None:  # noqa: B027
        """What is remembered for one commit holds for a later one."""

    def erasures_changed(self) -> None:  # noqa: B027
        """The record of erasures was written."""

    def makes_room(self, error: duckdb.Error) -> bool:
        """Whether a step that failed is worth another try, since there is more memory now."""
        _ = error
        return False

    def close(self) -> None:  # noqa: B027
        """Let go of what is held open."""


# The tables of a copy as they stand in a backend: pure functions of the table and what is known of the copy.


COPY_SHAPE = StoredTable(COPY, COPY_COLUMNS, "copy_id")
POSITION_SHAPE = StoredTable(POSITIONS, POSITION_COLUMNS, "table_name")


def left_in(store: TableBackend, table: Table, columns: Sequence[Column], facts: CopyFacts) -> list[Column]:
    """Of the columns that a table in a store has, those of the workspace that are not among `columns`: copied no more.

    Only as far as they are known to be ours: somebody may have added more.
    """
    ours = {column.name: column.type for column in found_columns(table, facts.found)}
    if table.hidden:
        there = store.columns(table.target)
        hidden = {table.naming.column(one.name): one.type for one in table.hidden}
        ours |= {name: kind for name, kind in hidden.items() if there.get(name) is kind}
    known = {column.name.casefold() for column in columns}
    return [
        Column(name, kind, "No longer copied.")
        for name, kind in ours.items()
        if name.casefold() not in known and not name.casefold().startswith(RESERVED)
    ]


def main_shape(table: Table, columns: Sequence[Column], *, versions: bool) -> StoredTable:
    """The table itself; with `versions` a row per version."""
    every = (*columns, *SYSTEM_COLUMNS, DIGEST, *(HISTORY_COLUMNS if versions else ()))
    return StoredTable(table.target, every, "_cio_version" if versions else "_cio_key", table.partitioned_by)


def changes_shape(table: Table, columns: Sequence[Column]) -> StoredTable:
    """The table of its changes."""
    every = (*CHANGE_COLUMNS, *columns, *SYSTEM_COLUMNS, DIGEST)
    return StoredTable(table.target + CHANGES_SUFFIX, every, "_cio_sequence", "_cio_changed_at")


class CopySink:
    """A dataset in a store. `merger` is how rows get into its tables; `elsewhere` is what names another place.

    Noted changes, rows, the checkpoint and the copy's own row are one commit. Where the store has no transactions, they
    are written in an order in which a kill at any moment is noticed by the next run, on any machine: the copy's own row
    first says what is about to change, then come the noted changes, the rows, the checkpoint, and the row again.
    """

    def __init__(
        self, store: TableBackend, merger: Merger, dataset: str, shown: str, *, elsewhere: str = "‹dataset›"
    ) -> None:
        self._store = store
        self._merger = merger
        self._dataset = dataset
        self._shown = shown
        self._elsewhere = f"Choose another {elsewhere}."
        self.batch_rows = store.rows_at_once
        self._opened = False
        self._copy: CopyRecord | None = None
        self._checkpoints: dict[str, Checkpoint] = {}

    @property
    def state(self) -> SinkState:
        """The state of the copy, as far as this sink has opened and written it."""
        if self._copy is None:
            return NO_COPY
        facts = self._copy.facts
        return SinkState(self._identity, dict(self._checkpoints), dict(facts.expected), dict(facts.found))

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Return the state of the copy. With an owner, make the copy if there is none, and settle a broken commit."""
        if owner is None or not self._opened:
            self._store.open()
            self._opened = True
        if not self._read_row():
            if owner is None:
                return None
            self._make(owner.now)
        self._checkpoints = self._read_checkpoints()
        if owner is not None:
            self._settle()
        for table in owner.recount if owner is not None else ():
            self._recount(table)
        return self.state

    def read(
        self, table: Table | StoredTable, columns: Sequence[str], where: Sequence[Condition] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the named columns of the rows that meet all conditions."""
        shape = self._shape(table) if isinstance(table, Table) else table
        conditions = self._resolved(shape, where)
        if conditions is None:
            return []
        known = {column.name for column in shape.columns}
        asked = [name for name in dict.fromkeys(columns) if name in known] or [shape.key]
        rows = self._store.read(shape, asked, conditions).read_all()
        given = {name: self._given(name, rows[name].to_pylist()) for name in asked}
        nothing = [None] * len(rows)
        return list(zip(*(given.get(name, nothing) for name in columns), strict=True))

    def digests(self, table: Table, where: Sequence[Condition] = (NOT_DELETED,), *, keys: bool = True) -> Digests:
        """Return the number of rows that meet all conditions and the sum of their keys, read back from the table.

        Where the keys of all live rows are not those that were loaded, what is remembered of the table is forgotten.
        """
        shape = self._shape(table)
        conditions = self._resolved(shape, where)
        if conditions is None:
            return Digests()
        if not keys:
            return Digests(self._store.count(shape, conditions))
        held = self._merger.digests(shape, conditions)
        if list(where) == [NOT_DELETED] and held != self._held.facts.expected.get(table.name, held):
            self._merger.forget(table.name)
        return held

    def write(self, batch: Batch | RunRows) -> Changes:
        """Merge the rows, apply deletions, move the checkpoint: all or nothing."""
        if isinstance(batch, RunRows):
            if batch.shape.name == ERASURES.name:
                self._merger.erasures_changed()
            self._store.write(edit_of(batch.shape, batch.rows))
            return Changes()
        self._require_own()
        if batch.as_it_is:
            if batch.table.name not in self._held.facts.expected:
                return Changes()
            noted = bool(self._store.columns(batch.table.target + CHANGES_SUFFIX))
            versions = batch.table.name in self._held.facts.versions
            batch = replace(batch, treatment=as_shown(versions=versions, noted=noted))
        try:
            return self._with_room(lambda result: self._write(batch, result))
        except duckdb.Error as error:
            why = quoted(str(error).splitlines()[0], 300)
            raise LoadError(
                self._merger.refusal.format(table=batch.table.name, why=why),
                "They stay landed; mend the cause and run again.",
            ) from None

    def probe(self) -> None:
        """Make, write, read back and drop a small table. Raises DestinationUnavailableError when that fails."""
        try:
            try_out(self._store, self._shown)
        except LoadError as error:
            raise DestinationUnavailableError(error.cause, "Check what the user may do there.") from None
        finally:
            self.close()

    def erase(self, table: Table, people: People) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people, versions and noted changes among them."""
        self._require_own()
        self._settle()
        try:
            return self._with_room(lambda result: self._erase(table, people, result))
        except duckdb.Error as error:
            why = quoted(str(error).splitlines()[0], 300)
            raise LoadError(self._merger.refusal.format(table=table.name, why=why), "Run again.") from None

    def drop(self, table: Table | None) -> None:
        """Remove a table with its changes, and forget its checkpoint; with None, the tables about the copy.

        The checkpoint goes first, and with the next commit all that is remembered: after a kill the table, there or
        not, is read whole. What is known of its layout goes last.
        """
        if table is None:
            for one in (*(record.name for record in RECORDS), POSITIONS, COPY):
                self._store.drop(one)
            self._copy, self._checkpoints = None, {}
            return
        name, before = table.name, self._held.commits
        self._merger.forget(name)
        with self._commit(name):
            nothing = schema_for(POSITION_SHAPE.columns).empty_table().to_reader()
            self._store.write(ChangeSet(POSITION_SHAPE, nothing, 0, pa.array([name], pa.string())))
            facts = self._held.facts
            facts.expected.pop(name, None)
            self._write_row(before + 1)
            for one in (table.target + CHANGES_SUFFIX, table.target):
                self._store.drop(one)
            facts.found.pop(name, None)
            facts.versions = [one for one in facts.versions if one != name]
            facts.turning = [one for one in facts.turning if one != name]
            self._write_row(before + 1)
        self._checkpoints.pop(name, None)
        self._merger.advance(self._held.copy_id, before, before + 1)

    def close(self) -> None:
        """Let go of it."""
        self._merger.close()
        self._store.close()
        self._opened = False

    def _write(self, batch: Batch, result: list[Changes]) -> None:
        """Write a batch; what changed is in `result` before its commit."""
        name, copy, merger = batch.table.name, self._settle(), self._merger
        declared = {column.name for column in batch.table.columns}
        found = [column for column in batch.columns if column.name not in declared]
        aside = [column for column in found if not self._store.accepts_name(column.name)]
        batch = replace(batch, columns=[column for column in batch.columns if column not in aside])
        merger.fit(batch, copy, lambda: self._write_row(copy.commits))
        before = copy.facts.expected.get(name) or merger.live(batch.table, copy)
        commit = copy.commits + 1
        with merger.together():
            merge = merger.merge(batch, aside, before, copy)
            writes = merge.writes or name not in copy.facts.expected  # a table without rows is there too
            if not writes and batch.close is None:
                result.append(Changes())
                return
            copy.facts.note_found(name, [column for column in found if column not in aside])
            if writes and not self._store.transactional:
                copy.facts.pending = PendingCommit(name, batch.table.target, merge.after)
                self._write_row(copy.commits)
            with self._commit(name):
                if writes:
                    merge.write()
                if batch.close is not None:
                    row = {
                        "table_name": name,
                        "position": to_text(batch.close.position),
                        "run_id": batch.run_id,
                        "moved_at": moment(batch.close.at),
                    }
                    self._store.write(edit_of(POSITION_SHAPE, [row]))
                copy.facts.expected[name], copy.facts.pending = merge.after, None
                self._write_row(commit)
                result.append(merge.changes)
            merger.advance(copy.copy_id, commit - 1, commit)
        if batch.close is not None:
            self._checkpoints[name] = batch.close.position

    def _erase(self, table: Table, people: People, result: list[dict[str, ErasureHits]]) -> None:
        copy = self._held
        before = copy.commits
        with self._merger.together():
            with self._commit(table.target):
                self._write_row(before + 1)  # first: what is remembered of the rows holds for no other commit
                result.append(self._merger.erase(table, people, copy, before))
            self._merger.advance(copy.copy_id, before, before + 1)

    def _with_room(self, step: Callable[[list[T]], None]) -> T:
        """Do a step that is one commit, and do it again where it failed for want of memory and there is more now.

        It leaves its result in a list before it commits.
        """
        before, result = self._held.commits, list[T]()
        try:
            step(result)
        except duckdb.Error as error:
            if not self._merger.makes_room(error):
                raise
            self._read_row()
            if result and self._held.commits > before:  # it was only too much to tidy up after the commit
                self._checkpoints = self._read_checkpoints()
                return result[0]
            return self._with_room(step)
        return result[0]

    @contextmanager
    def _commit(self, table: str) -> Iterator[None]:
        """One commit, where the store has transactions; after an error the record is what it was."""
        copy = self._held
        commits, keys = copy.commits, dict(copy.facts.expected)
        try:
            with self._store.transaction(table):
                yield
        except BaseException:
            copy.commits, copy.facts.expected = commits, keys
            raise

    @property
    def _held(self) -> CopyRecord:
        assert self._copy is not None, "`open` came first"  # noqa: S101 - a programmer's error
        return self._copy

    @property
    def _identity(self) -> CopyIdentity:
        return CopyIdentity(self._held.copy_id, self._held.commits)

    def _make(self, now: int) -> None:
        copy = CopyRecord(uuid.uuid4().hex, moment(now), 0, CopyFacts(format=FORMAT))
        with self._store.transaction(COPY):
            if self._store.transactional:  # before a first commit, which then makes no table of the copy's own
                self._store.write(edit_of(POSITION_SHAPE, []))
            self._store.write(edit_of(COPY_SHAPE, [_row(copy, 0)]))
        self._copy = copy

    def _settle(self) -> CopyRecord:
        """Find out what became of a commit that was broken off, and go on with the number after it."""
        copy = self._held
        if copy.facts.pending is not None:
            self._merger.settle(copy.facts.pending, copy)
            copy.facts.pending = None
            self._count_commit()
        return copy

    def _recount(self, table: Table) -> None:
        """Take what a table holds now for what was loaded into it, also where another program has changed it."""
        copy = self._held
        self._merger.forget(table.name)
        if table.name in copy.facts.expected:
            copy.facts.expected[table.name] = self._merger.live(table, copy)
            self._count_commit()

    def _count_commit(self) -> None:
        """Count a commit in which no row changed."""
        before = self._held.commits
        self._write_row(before + 1)
        self._merger.advance(self._held.copy_id, before, before + 1)

    def _require_own(self) -> None:
        """Refuse to write what somebody else has written since: two runs must not write the same copy."""
        mine, copy = self._identity, self._copy
        self._read_row()
        if self._identity != mine:
            self._copy = copy
            raise DestinationUnavailableError(
                f"Another run has written the dataset {self._dataset} of {self._shown} meanwhile.",
                "Let one run end before the next begins.",
            )

    def _read_row(self) -> bool:
        if not self._store.columns(COPY):
            self._copy = None
            return False
        rows = self._store.read(COPY_SHAPE, [column.name for column in COPY_SHAPE.columns]).read_all().to_pylist()
        if len(rows) != 1 or rows[0]["commits"] is None:
            raise DestinationUnavailableError(
                f"The copy in {self._shown} has lost its record of itself ({self._dataset}.{COPY}).", self._elsewhere
            )
        (row,) = rows
        facts = msgspec.json.decode(row["facts"], type=CopyFacts) if row["facts"] else CopyFacts()
        if facts.format < self._merger.oldest:
            raise DestinationUnavailableError(
                f"The copy in {self._shown}, dataset {self._dataset}, was made by an earlier version of cio-replicate.",
                self._elsewhere,
            )
        self._copy = CopyRecord(row["copy_id"], row["created_at"], row["commits"], facts)
        return True

    def _read_checkpoints(self) -> dict[str, Checkpoint]:
        if self._store.transactional and self._held.commits and not self._store.columns(POSITIONS):
            raise DestinationUnavailableError(
                f"The copy in {self._shown} has lost its positions ({self._dataset}.{POSITIONS}).", self._elsewhere
            )
        rows = self._store.read(POSITION_SHAPE, ["table_name", "position"]).read_all().to_pylist()
        try:
            return {row["table_name"]: from_text(row["position"]) for row in rows}
        except ValueError:
            raise DestinationUnavailableError(
                f"The positions of the copy in {self._shown} cannot be read.", self._elsewhere
            ) from None

    def _write_row(self, commits: int) -> None:
        self._store.write(edit_of(COPY_SHAPE, [_row(self._held, commits)]))
        self._held.commits = commits

    def _shape(self, table: Table) -> StoredTable:
        facts = self._held.facts if self._copy is not None else CopyFacts()
        columns = (*table.columns, *found_columns(table, facts.found))
        return main_shape(table, columns, versions=table.name in facts.versions)

    def _resolved(self, shape: StoredTable, where: Sequence[Condition]) -> list[Condition] | None:
        """Return the conditions with keys as the store writes them, or None when no row can meet all of them."""
        if not self._merger.nul_allowed:
            where = [
                replace(one, value=[statements.stored_key(str(key)) for key in one.value])
                if one.column == statements.KEY and one.comparison is Operator.IN and isinstance(one.value, Sequence)
                else one
                for one in where
            ]
        return resolved(where, {column.name for column in shape.columns})

    def _given(self, name: str, values: list[Any]) -> list[Any]:  # Any: values of a column
        if name == statements.KEY and not self._merger.nul_allowed:
            return [None if key is None else statements.given_key(key) for key in values]
        return values


def _row(copy: CopyRecord, commits: int) -> dict[str, object]:
    """The copy's own row."""
    facts = msgspec.json.encode(copy.facts).decode()
    return {"copy_id": copy.copy_id, "created_at": copy.created_at, "commits": commits, "facts": facts}
