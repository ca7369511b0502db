"""How the rows of a batch get into a table: computed beside it, by the digest index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import LoadError, StagingFailed
from cio_replicate.base.text import quoted
from cio_replicate.schema.system_tables import CHANGE_COLUMNS, CHANGES_SUFFIX, DIGEST, ERASURES
from cio_replicate.schema.system_tables import KEY as KEY_COLUMN
from cio_replicate.schema.table import Column, Table, schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend, edit_of
from cio_replicate.sinks.erasure import TableErasure, stays_blank
from cio_replicate.sinks.merge import statements
from cio_replicate.sinks.merge.change_sets import (
    ChangeComputation,
    StoredTables,
    changes_shape,
    key_shape,
    left_in,
    main_shape,
    record_shape,
)
from cio_replicate.sinks.merge.digest_index import DigestIndex, keys_in
from cio_replicate.sinks.merge.statements import KEY, ErasedColumns
from cio_replicate.sinks.port import Batch, Changes, CopyFacts, Digests, ErasureHits, PendingCommit


@dataclass(slots=True)
class CopyRecord:
    """What a copy keeps about itself, in one row."""

    copy_id: str
    created_at: datetime | None
    commits: int
    facts: CopyFacts


class TableMerge(Protocol):
    """What one batch does to its table. `changes` and `after`, what must be live then, hold once it is written."""

    @property
    def writes(self) -> bool:
        """Whether the table is to be written."""
        ...

    @property
    def changes(self) -> Changes:
        """What really changed."""
        ...

    @property
    def after(self) -> Digests:
        """What must be live afterwards."""
        ...

    def write(self) -> None:
        """Write it, within the caller's commit."""
        ...


class Merger(Protocol):
    """How the rows of batches get into the tables of one backend, and how people are erased there."""

    refusal: str  # what is said when a batch fails: `{table}` and `{why}`
    nul_allowed: bool  # whether texts may hold the character NUL
    oldest: int  # the oldest format of facts that is understood

    def fit(self, batch: Batch, copy: CopyRecord, save: Callable[[], None]) -> None:
        """Bring the table, if it is there, into the layout of the batch's mode, and note that in the facts."""
        ...

    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """The keys of the live rows of a table."""
        ...

    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """The keys of the rows that meet all conditions, read back from the table."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """What is remembered within is remembered together, or not at all."""
        ...

    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> TableMerge:
        """Work out what a batch does; `aside` are columns that the table cannot have, `before` is what was live."""
        ...

    def erase(
        self, table: Table, people: Mapping[str, Sequence[str]], copy: CopyRecord, commits: int
    ) -> dict[str, ErasureHits]:
        """Erase people as a sink does, within the caller's commit; `commits` is the number of the one before."""
        ...

    def settle(self, pending: PendingCommit, copy: CopyRecord) -> None:
        """Find out what became of a commit that was broken off, and note in the facts what is live."""
        ...

    def forget(self, table: str) -> None:
        """What is remembered of a table holds no more."""
        ...

    def advance(self, copy_id: str, before: int, after: int) -> None:
        """What is remembered for one commit holds for a later one."""
        ...

    def erasures_changed(self) -> None:
        """The record of erasures was written."""
        ...

    def makes_room(self, error: duckdb.Error) -> bool:
        """Whether a step that failed is worth another try, since there is more memory now."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


# The layout that a mode needs: a row per key, or a row per version.


def fitted(batch: Batch, store: TableBackend, ledger: DigestIndex, facts: CopyFacts, save: Callable[[], None]) -> None:
    """See to it that the table, if it is there, has the layout of the batch's mode, and that the facts say so.

    Raises LoadError, saying why, where the table is not ours or versions would be lost.
    """
    name, versions = batch.table.name, batch.treatment.versions
    if (name in facts.versions) == versions and name not in facts.turning:
        if name not in facts.expected:
            _require_ours(store, batch.table.target)
        return
    if store.columns(batch.table.target):
        _require_ours(store, batch.table.target)
        columns = (*batch.columns, *left_in(store, batch.table, batch.columns, facts))
        shape = main_shape(batch.table, columns, versions=True)
        if name in facts.versions:
            _refuse_to_lose(store, ledger, shape, batch)
            facts.versions.remove(name)
        facts.turning.append(name)
        save()  # while the rows are rewritten they count as such that have no versions: each is the only one of its key
        statement = statements.first_versions("turned") if versions else statements.no_versions("turned")
        store.write(_turned(store, ledger, shape, statement))
        ledger.run("DROP TABLE turned")
    facts.turning = [one for one in facts.turning if one != name]
    facts.versions = [one for one in facts.versions if one != name] + [name] * versions
    ledger.forget(name)
    save()


def _require_ours(store: TableBackend, name: str) -> None:
    there = store.columns(name)
    if there and statements.KEY not in there:
        raise LoadError(
            f"There is a table {name} in the dataset that was not made by cio-replicate.",
            "Choose another --dataset, or move that table away.",
        )


def _turned(store: TableBackend, ledger: DigestIndex, shape: StoredTable, statement: str) -> ChangeSet:
    """Every row of a table that has one per key, after a statement on the table `turned`."""
    ledger.run(statements.create("turned", shape.columns, temporary=True)[0])
    ledger.take("turned", store.read(shape, [column.name for column in shape.columns]))
    ledger.run(statement)
    return ledger.edit("turned", replace(shape, key=statements.KEY), pa.array([], pa.string()))


def _refuse_to_lose(store: TableBackend, ledger: DigestIndex, shape: StoredTable, batch: Batch) -> None:
    ledger.run(f"CREATE OR REPLACE TEMP TABLE every_version ({statements.KEY} VARCHAR)")
    ledger.take("every_version", store.read(shape, [statements.KEY]))
    ended = ledger.run(statements.count_ended("every_version")).fetchall()[0][0]
    ledger.run("DROP TABLE every_version")
    if ended:
        name = batch.table.name
        raise LoadError(
            f"{name} holds {ended} ended versions of its rows, which the mode {batch.treatment.mode} would lose.",
            f"Keep --mode {name}=history, choose another --dataset, or drop the table first.",
        )


# What became of a commit that was broken off: which of its changes came true, in the table and in what was noted.


READ = ("_cio_sequence", "_cio_operation", KEY, "_cio_digest")


def settle(store: TableBackend, ledger: DigestIndex, keys: str, pending: PendingCommit, commits: int) -> None:
    """Remove the noted changes of the commit after `commits` that the table does not show; `keys` is what it holds.

    A change was noted before its row was written, so a note without its row is of a commit that did not happen.
    """
    shape = StoredTable(
        pending.target + CHANGES_SUFFIX, (*CHANGE_COLUMNS, KEY_COLUMN, DIGEST), "_cio_sequence", "_cio_changed_at"
    )
    first = (commits + 1) * statements.ROOM
    rows = store.read(shape, READ, [Condition("_cio_sequence", Operator.AT_LEAST, first)])
    with ledger.transaction():
        ledger.run(
            "CREATE OR REPLACE TEMP TABLE noted_last (_cio_sequence BIGINT, _cio_operation VARCHAR, "
            f"{KEY} VARCHAR, _cio_digest VARCHAR)"
        )
        ledger.take("noted_last", rows)
        untrue = ledger.column(
            f"SELECT _cio_sequence FROM noted_last AS n LEFT JOIN {keys} AS k USING ({KEY}) WHERE NOT "
            "CASE WHEN n._cio_operation = 'delete' THEN coalesce(NOT k.live, true) "
            "ELSE coalesce(k.live AND k.digest = unhex(n._cio_digest), false) END"
        )
    _remove(store, shape, untrue)


def take_back(store: TableBackend, ledger: DigestIndex, pending: PendingCommit, commits: int) -> None:
    """Remove the versions of the commit after `commits` whose key still has the current version that was before.

    For stores where an edit is not one commit: there a version may have begun though the one before has not ended.
    """
    shape = replace(key_shape(pending.target), key="_cio_version")
    rows = store.read(shape, [KEY, shape.key], [Condition("_cio_is_current", Operator.TRUE)])
    with ledger.transaction():
        ledger.run(f"CREATE OR REPLACE TEMP TABLE holding ({KEY} VARCHAR, _cio_version VARCHAR)")
        ledger.take("holding", rows)
        twice = f"SELECT {KEY} FROM holding GROUP BY {KEY} HAVING count(*) > 1"
        untrue = ledger.column(
            f"SELECT _cio_version FROM holding WHERE _cio_version = {KEY} || '@{commits + 1}' AND {KEY} IN ({twice})"
        )
    _remove(store, shape, untrue)


def _remove(store: TableBackend, shape: StoredTable, keys: pa.Array) -> None:
    if len(keys):
        store.write(ChangeSet(shape, schema_for(shape.columns).empty_table().to_reader(), 0, keys))


class IndexMerger:
    """Works out changes beside the store, by the digest index in `file`, in a folder of this task."""

    refusal = "The changes of {table} could not be worked out ({why})."
    oldest = 0

    def __init__(self, store: TableBackend, file: Path, *, nul_allowed: bool = True) -> None:
        self.nul_allowed = nul_allowed
        self._store = store
        self._file = file
        self._index: DigestIndex | None = None
        self._erased: list[dict[str, Any]] | None = None  # people, as far as it was asked

    def fit(self, batch: Batch, copy: CopyRecord, save: Callable[[], None]) -> None:
        """Bring the table, if it is there, into the layout of the batch's mode, and note that in the facts."""
        fitted(batch, self._store, self._held(), copy.facts, save)
        self._keys(batch.table, copy)  # which reads them anew where they are not of this commit

    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """The keys of the live rows of a table."""
        return self._held().live(self._keys(table, copy))

    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """The keys of the rows that meet all conditions, read back from the table."""
        return keys_in(self._store.read(shape, [KEY], where))

    def together(self) -> AbstractContextManager[None]:
        """What the index holds is changed together, or not at all."""
        return self._held().transaction()

    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> TableMerge:
        """Work out what a batch does to its table."""
        left = left_in(self._store, batch.table, batch.columns, copy.facts)
        shapes = StoredTables(
            main_shape(batch.table, (*batch.columns, *left), versions=batch.treatment.versions),
            changes_shape(batch.table, batch.columns),
            left,
        )
        blanked = self._blanks(batch, left)
        found = ChangeComputation(
            batch,
            self._held(),
            self._keys(batch.table, copy),
            shapes,
            nul_allowed=self.nul_allowed,
            aside=aside,
            blanked=blanked,
        )
        found.find()
        merge = IndexedMerge(self._store, found, shapes, found.after(before))
        if merge.writes or batch.table.name not in copy.facts.expected:  # a table without rows is there too
            found.work_out(self._store, copy.commits + 1)
        return merge

    def erase(
        self, table: Table, people: Mapping[str, Sequence[str]], copy: CopyRecord, commits: int
    ) -> dict[str, ErasureHits]:
        """Erase people, and note what their rows are like now."""
        index = self._held()
        keys = index.keys_of(table.name, copy.copy_id, commits)
        return TableErasure(self._store, index, table, copy.facts, self._store.rows_at_once).blank(people, keys)

    def settle(self, pending: PendingCommit, copy: CopyRecord) -> None:
        """Find out what became of a commit that was broken off, and note in the facts what is live."""
        index, facts, versions = self._held(), copy.facts, pending.table in copy.facts.versions
        index.forget(pending.table)
        if versions and not self._store.whole_edits:
            take_back(self._store, index, pending, copy.commits)
        keys = self._keys_named(pending.table, pending.target, copy)
        settle(self._store, index, keys, pending, copy.commits)
        live = index.live(keys)
        if live == pending.after or not self._store.whole_edits:  # some rows of it may be there, and nobody knows which
            facts.expected[pending.table] = live

    def forget(self, table: str) -> None:
        """What the index holds of a table holds no more."""
        self._held().forget(table)

    def advance(self, copy_id: str, before: int, after: int) -> None:
        """What the index holds for one commit holds for a later one."""
        self._held().advance(copy_id, before, after)

    def erasures_changed(self) -> None:
        """Ask for the record of erasures anew."""
        self._erased = None

    def makes_room(self, error: duckdb.Error) -> bool:
        """Return False: what does not fit goes to disk beside the index."""
        _ = error
        return False

    def close(self) -> None:
        """Let go of the index."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def _blanks(self, batch: Batch, left: Sequence[Column]) -> ErasedColumns | None:
        """What is left out of the rows of a batch, since it is about people who were erased."""
        if self._erased is None:
            shape = record_shape(ERASURES)
            rows = self._store.read(shape, [column.name for column in shape.columns]).read_all().to_pylist()
            self._erased = [one for one in rows if one["returned_at"] is None]
        if not self._erased:
            return None
        names = ("cio_id", "named_otherwise", "returned_at")
        chosen = ", ".join(f"unnest(?::VARCHAR[]) AS {name}" for name in names)
        values = [[row[name] for row in self._erased] for name in names]
        self._held().run(f"CREATE OR REPLACE TEMP TABLE erased AS SELECT {chosen}", values)
        return stays_blank(batch.table, (*batch.columns, *left), "erased")

    def _keys(self, table: Table, copy: CopyRecord) -> str:
        return self._keys_named(table.name, table.target, copy)

    def _keys_named(self, name: str, target: str, copy: CopyRecord) -> str:
        """The index's table for a table, read anew from the store where what it holds is not of this commit."""
        index = self._held()
        keys = index.keys_of(name, copy.copy_id, copy.commits)
        if keys is not None:
            return keys
        with index.transaction():
            keys = index.begin_anew(name)
            live, holds = "_cio_deleted_at", "_cio_deleted_at IS NULL"
            if name in copy.facts.versions:
                live, holds = "_cio_is_current", "coalesce(_cio_is_current, false)"
            rows = self._store.read(key_shape(target), [statements.KEY, "_cio_digest", live])
            index.take(
                keys,
                rows,
                f"SELECT {statements.KEY}, unhex(coalesce(max(_cio_digest) FILTER (WHERE {holds}), '')) AS digest, "
                f"bool_or({holds}) AS live FROM taken GROUP BY {statements.KEY}",
            )
            index.holds(name, copy.copy_id, copy.commits)
        return keys

    def _held(self) -> DigestIndex:
        if self._index is None:
            try:
                self._index = DigestIndex(self._file)
            except duckdb.Error as error:
                raise StagingFailed(
                    f"The ledger {self._file} cannot be written ({quoted(str(error).splitlines()[0])}).",
                    "Make room or choose another --state-dir, then run again.",
                ) from None
        return self._index


@dataclass(frozen=True, slots=True)
class IndexedMerge:
    """Changes that were worked out beside the store."""

    store: TableBackend
    found: ChangeComputation
    shapes: StoredTables
    after: Digests

    @property
    def writes(self) -> bool:
        """Whether the table is to be written."""
        return self.found.writes

    @property
    def changes(self) -> Changes:
        """What changes."""
        return self.found.changes

    def write(self) -> None:
        """Write the noted changes first: of a commit that is broken off they tell what has come true."""
        notes = self.found.notes
        if notes and self.store.transactional:  # tables are changed before rows are written, which that may commit
            for shape in (self.shapes.changes, self.shapes.main):
                self.store.write(edit_of(shape, []))
        if notes:
            self.store.write(self.found.noted())
        self.store.write(self.found.merged())
        self.found.enter()
