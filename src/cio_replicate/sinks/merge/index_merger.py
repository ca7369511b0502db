"""Merge batches into a backend that only replaces whole rows: what changes is computed beside it, by a digest index."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import StagingFailed
from cio_replicate.base.text import quoted
from cio_replicate.config.table_options import WriteMode
from cio_replicate.schema.system_tables import ERASURES
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks.backend import (
    Condition,
    Operator,
    StoredTable,
    TableBackend,
    edit_of,
    record_shape,
)
from cio_replicate.sinks.copy import BatchMerge, CopyRecord, Merger, People, changes_shape, left_in, main_shape
from cio_replicate.sinks.erasure import TableErasure, stays_blank
from cio_replicate.sinks.merge import table_merge as statements
from cio_replicate.sinks.merge.recovery import fitted, key_shape, settle, take_back
from cio_replicate.sinks.merge.table_merge import (
    KEY,
    ErasedColumns,
    Merge,
    Scratch,
    StagedColumns,
    connected,
    key_sum,
    keys_seen,
    remove_spilled,
    spill_folder,
)
from cio_replicate.sinks.port import Batch, Changes, Digests, ErasureHits, PendingCommit

# The digest index: a digest per key of each table that a backend holds, in a DuckDB file of the state folder. It is
# valid only for the copy and the commit that it names; otherwise it is read from the backend again.


#: Enough for the changes of a batch; what does not fit goes to disk beside the file.
MEMORY = "400MB"


class DigestIndex(Scratch):
    """An open digest index, which is also where the changes of a batch are worked out, in temporary tables.

    Raises StagingFailed when the disk does not let it.
    """

    def __init__(self, file: Path) -> None:
        try:
            super().__init__(_opened(file))
        except duckdb.Error:  # one that a kill or another version of DuckDB has left unreadable is worth nothing
            for one in (file, file.with_name(f"{file.name}.wal")):
                one.unlink(missing_ok=True)
            super().__init__(_opened(file))
        self.run(
            "CREATE TABLE IF NOT EXISTS known (table_name VARCHAR, number BIGINT, copy_id VARCHAR, commits BIGINT)"
        )

    def keys_of(self, table: str, copy_id: str, commits: int) -> str | None:
        """The name of the index's table for a table, if it holds for that commit of that copy."""
        row = self.run(
            "SELECT number FROM known WHERE table_name = ? AND copy_id = ? AND commits = ?", [table, copy_id, commits]
        ).fetchone()
        return None if row is None else f"keys_{row[0]}"

    def begin(self, table: str) -> str:
        """An empty index of a table; the name of its table."""
        row = self.run("SELECT number FROM known WHERE table_name = ?", [table]).fetchone()
        last = self.run("SELECT coalesce(max(number), 0) FROM known").fetchone()
        number = row[0] if row else (last[0] if last else 0) + 1
        self.run("DELETE FROM known WHERE table_name = ?", [table])
        self.run(f"CREATE OR REPLACE TABLE keys_{number} ({KEY} VARCHAR, digest BLOB, live BOOLEAN)")
        self.run("INSERT INTO known VALUES (?, ?, '', 0)", [table, number])
        return f"keys_{number}"

    def holds(self, table: str, copy_id: str, commits: int) -> None:
        """What stands in the index of a table holds for this commit."""
        self.run("UPDATE known SET copy_id = ?, commits = ? WHERE table_name = ?", [copy_id, commits, table])

    def advance(self, copy_id: str, before: int, after: int) -> None:
        """What held for one commit of a copy holds for a later one, in which these tables did not change."""
        self.run("UPDATE known SET commits = ? WHERE copy_id = ? AND commits = ?", [after, copy_id, before])

    def forget(self, table: str) -> None:
        """What stands in the index of a table holds no more."""
        self.run("UPDATE known SET copy_id = '' WHERE table_name = ?", [table])

    def live(self, keys: str) -> Digests:
        """The keys of the live rows in a table of the index."""
        ((rows, total),) = self.run(f"SELECT count(*), {key_sum()} FROM {keys} WHERE live").fetchall()
        return Digests() + Digests(int(rows), int(total))


def _opened(file: Path) -> duckdb.DuckDBPyConnection:
    try:
        os.close(os.open(file.parent, os.O_RDONLY))
        connection = connected(file, threads=1, memory_limit=MEMORY, temp_directory=str(spill_folder(file)))
    except OSError as error:
        raise StagingFailed(
            f"The state folder {file.parent} cannot be read ({error.strerror or error}).",
            "Mend its permissions or choose another ‹state_dir›, then run again.",
        ) from None
    file.chmod(0o600)
    remove_spilled(file)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _keys_in(rows: pa.RecordBatchReader) -> Digests:
    """The keys of all these rows."""
    with duckdb.connect() as counting:
        counting.register("rows_read", rows)
        ((count, total),) = counting.execute(f"SELECT count(*), {key_sum()} FROM rows_read").fetchall()
    return Digests() + Digests(int(count), int(total))


MAIN, CHANGES = "merged", "noted"  # temporary tables


class IndexedMerge(BatchMerge):
    """The changes of a batch, worked out by the table `keys` of the index, within one transaction of it.

    First, as `wanted`, the keys of rows that the backend lacks or has otherwise, and as `gone` those to go. `left` are
    columns that are copied no more.
    """

    def __init__(
        self,
        store: TableBackend,
        index: DigestIndex,
        keys: str,
        batch: Batch,
        left: Sequence[Column],
        staging: StagedColumns,
        before: Digests,
    ) -> None:
        self._store = store
        self._index = index
        self._keys = keys
        self._batch = batch
        self._left = left
        self._main = main_shape(batch.table, (*batch.columns, *left), versions=batch.treatment.versions)
        self._noted = changes_shape(batch.table, batch.columns)
        self._staging = staging
        run = index.run
        run(f"CREATE OR REPLACE TEMP TABLE wanted ({KEY} VARCHAR, digest BLOB)")
        paths = [str(path) for path in batch.files]
        if paths:
            self._stage(paths)
            run(
                f"INSERT INTO wanted SELECT s.{KEY}, unhex(s._cio_digest) FROM staged AS s LEFT JOIN {keys} AS k "
                f"ON k.{KEY} = s.{KEY} WHERE k.digest IS DISTINCT FROM unhex(s._cio_digest) OR NOT k.live"
            )
            run("DROP VIEW staged")
            run("DROP TABLE IF EXISTS stale")
        close, live, seen = batch.close, f"SELECT {KEY} FROM {keys} WHERE live", None
        if close is not None and close.seen is not None:
            listed, key = [str(path) for path in close.seen], statements.key_of(staging)
            run(statements.gone(live, listed, key))
            seen = keys_seen(run, listed, key)
        else:
            run(statements.known_gone(live), [list(batch.gone or ())])
        came, went = self._count()
        self.after = before + came - went if seen is None else seen
        # rows that are gone leave the table, and those that an earlier mode has left marked as deleted with them
        complete = batch.gone is not None or (close is not None and close.seen is not None)
        self._removes_all = batch.treatment.removes and complete
        self.writes = self.changes != Changes() or (
            self._removes_all and self._number(f"SELECT count(*) FROM {keys} WHERE NOT live") > 0
        )

    def work_out(self, commit: int) -> None:
        """Merge the wanted rows with what the mode needs of the backend's, and mark what is gone."""
        run, batch, treatment = self._index.run, self._batch, self._batch.treatment
        for name, shape in ((MAIN, self._main), (CHANGES, self._noted)):
            run(statements.create(name, shape.columns, temporary=True))
        if treatment.mode in (WriteMode.CHANGES, WriteMode.HISTORY):
            self._fetch(f"SELECT {KEY} FROM wanted SEMI JOIN {self._keys} USING ({KEY})")
        if not treatment.removes or treatment.mode is WriteMode.CHANGES:
            self._fetch(f"SELECT {KEY} FROM gone")
        staging = replace(self._staging, wanted_only=True)
        merge = Merge(run, batch, commit, staging, table=MAIN, changes=CHANGES, left=self._left)
        if self.changes.inserted or self.changes.updated:
            merge.add([str(path) for path in batch.files])
        run("CREATE OR REPLACE TEMP TABLE leaving AS SELECT * FROM gone")
        whole = batch.close is not None and batch.close.seen is not None
        merge.remove_gone(batch.close.at if batch.close is not None and whole else batch.gone_at)

    def write(self) -> None:
        """Write the noted changes first: of a commit that is broken off they tell what has come true."""
        store, index = self._store, self._index
        if self._batch.treatment.mode is WriteMode.CHANGES and self._number(f"SELECT count(*) FROM {CHANGES}"):
            if store.transactional:  # tables are changed before rows are written, which that may commit
                for shape in (self._noted, self._main):
                    store.write(edit_of(shape, []))
            store.write(index.edit(CHANGES, self._noted, pa.array([], pa.int64())))
        gone = index.column(self._leaving()) if self._removes_all else pa.array([], pa.string())
        store.write(index.edit(MAIN, self._main, gone))
        run, keys = index.run, self._keys  # which hold now what the backend holds
        if self._removes_all:
            run(f"DELETE FROM {keys} WHERE {KEY} IN ({self._leaving()})")
        else:
            run(f"UPDATE {keys} SET live = false WHERE {KEY} IN (SELECT {KEY} FROM leaving)")
        run(f"DELETE FROM {keys} WHERE {KEY} IN (SELECT {KEY} FROM wanted)")
        run(f"INSERT INTO {keys} SELECT {KEY}, digest, true FROM wanted")

    def _leaving(self) -> str:
        """The keys whose rows are to be removed, those among them that an earlier mode has left marked as deleted."""
        return (
            f"SELECT {KEY} FROM leaving UNION SELECT {KEY} FROM {self._keys} WHERE NOT live "
            f"AND {KEY} NOT IN (SELECT {KEY} FROM wanted)"
        )

    def _stage(self, paths: Sequence[str]) -> None:
        run = self._index.run
        run(statements.keys(paths, self._staging))
        repeats = self._number(f"SELECT count(*) - count(DISTINCT {KEY}) FROM staged_keys") > 0
        run("DROP TABLE staged_keys")
        if repeats:
            run(statements.stale(paths, self._staging))
        statements.stage(run, self._batch.columns, paths, self._staging, repeats=repeats)

    def _count(self) -> tuple[Digests, Digests]:
        """Count what changes; returns the keys that come, and those that go."""
        live = f"EXISTS (SELECT 1 FROM {self._keys} AS k WHERE k.{KEY} = wanted.{KEY} AND k.live)"
        there = self._number(f"SELECT count(*) FROM wanted SEMI JOIN {self._keys} USING ({KEY})")
        every = self._number("SELECT count(*) FROM wanted")
        ((rows, total),) = self._index.run(f"SELECT count(*), {key_sum()} FROM wanted WHERE NOT {live}").fetchall()
        ((gone, less),) = self._index.run(statements.COUNT_GONE).fetchall()
        self.changes = Changes(every - there, there, int(gone))
        return Digests(int(rows), int(total)), Digests(int(gone), int(less))

    def _fetch(self, keys: str) -> None:
        """Bring in the store's rows of the keys of a query: whole ones, and of versions the current one.

        No more are asked for at once than the store takes, since any number can be gone at once.
        """
        shape, step = self._main, self._store.rows_at_once
        current = [Condition("_cio_is_current", Operator.TRUE)] if self._batch.treatment.versions else []
        self._index.run(
            f"CREATE OR REPLACE TEMP TABLE fetched AS SELECT *, row_number() OVER () AS place FROM ({keys})"
        )
        for last in range(0, self._number("SELECT count(*) FROM fetched"), step):
            some = self._index.column(f"SELECT {KEY} FROM fetched WHERE place > {last} AND place <= {last + step}")
            conditions = [Condition(KEY, Operator.IN, some.to_pylist()), *current]
            self._index.take(MAIN, self._store.read(shape, [column.name for column in shape.columns], conditions))

    def _number(self, query: str) -> int:
        ((number,),) = self._index.run(query).fetchall()
        return int(number)


class IndexMerger(Merger):
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

        def save_changed() -> None:
            self.forget(batch.table.name)
            save()

        fitted(batch, self._store, self._held(), copy.facts, save_changed)
        self._keys(batch.table.name, batch.table.target, copy)  # read again where they are not of this commit

    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """The keys of the live rows of a table."""
        return self._held().live(self._keys(table.name, table.target, copy))

    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """The keys of the rows that meet all conditions, read back from the table."""
        return _keys_in(self._store.read(shape, [KEY], where))

    def together(self) -> AbstractContextManager[None]:
        """What the index holds is changed together, or not at all."""
        return self._held().transaction()

    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> BatchMerge:
        """Work out what a batch does to its table."""
        left = left_in(self._store, batch.table, batch.columns, copy.facts)
        staging = StagedColumns(
            digest=True, without_nul=not self.nul_allowed, aside=tuple(aside), blanked=self._blanks(batch, left)
        )
        keys = self._keys(batch.table.name, batch.table.target, copy)
        merge = IndexedMerge(self._store, self._held(), keys, batch, left, staging, before)
        if merge.writes or batch.table.name not in copy.facts.expected:  # a table without rows is there too
            merge.work_out(copy.commits + 1)
        return merge

    def erase(self, table: Table, people: People, copy: CopyRecord, commits: int) -> dict[str, ErasureHits]:
        """Erase people, and note what their rows are like now."""
        index = self._held()
        keys = index.keys_of(table.name, copy.copy_id, commits)
        return TableErasure(self._store, index, table, copy.facts).blank(people, keys)

    def settle(self, pending: PendingCommit, copy: CopyRecord) -> None:
        """Find out what became of a commit that was broken off, and note in the facts what is live."""
        index, facts, versions = self._held(), copy.facts, pending.table in copy.facts.versions
        index.forget(pending.table)
        if versions and not self._store.whole_edits:
            take_back(self._store, index, pending, copy.commits)
        keys = self._keys(pending.table, pending.target, copy)
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
        """Ask for the record of erasures again."""
        self._erased = None

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

    def _keys(self, name: str, target: str, copy: CopyRecord) -> str:
        """The index's table for a table, read again from the store where what it holds is not of this commit."""
        index = self._held()
        keys = index.keys_of(name, copy.copy_id, copy.commits)
        if keys is not None:
            return keys
        with index.transaction():
            keys = index.begin(name)
            live, holds = "_cio_deleted_at", "_cio_deleted_at IS NULL"
            if name in copy.facts.versions:
                live, holds = "_cio_is_current", "coalesce(_cio_is_current, false)"
            rows = self._store.read(key_shape(target), [KEY, "_cio_digest", live])
            index.take(
                keys,
                rows,
                f"SELECT {KEY}, unhex(coalesce(max(_cio_digest) FILTER (WHERE {holds}), '')) AS digest, "
                f"bool_or({holds}) AS live FROM taken GROUP BY {KEY}",
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
                    "Make room or choose another ‹state_dir›, then run again.",
                ) from None
        return self._index
