"""Compute what a batch changes: merge in DuckDB, compare digests, and lay out stored tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from cio_replicate.config.table_options import RESERVED, WriteMode, WriteOptions
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    COPY_COLUMNS,
    DIGEST,
    HISTORY_COLUMNS,
    POSITION_COLUMNS,
    POSITIONS,
    SYSTEM_COLUMNS,
    Record,
)
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.merge import statements
from cio_replicate.sinks.merge.digest_index import DigestIndex
from cio_replicate.sinks.merge.statements import AS_IT_IS, KEY, ErasedColumns, Run, StagedColumns
from cio_replicate.sinks.port import Batch, Changes, CopyFacts, Digests, found_columns

# A merge in DuckDB: landed rows go into a table, in any change mode, within a transaction of the caller's.


#: Bytes of landed pages of which the rows are compared together: a whole batch of them would wait for the disk, since
#: it needs more memory than there is (measured).
COMPARED_AT_ONCE = 8_000_000


@dataclass(frozen=True, slots=True)
class MergeTarget:
    """Where rows go: the table and the one for its changes, by their full quoted names, and who brings them."""

    table: str
    changes: str
    columns: Sequence[Column]  # without the system's
    left: Sequence[Column]  # those that the table has, though they are copied no more: rows that come hold null there
    treatment: WriteOptions
    run_id: str
    commit: int


class Merge:
    """One batch of one table. Counts what it changed, and by how much the keys of live rows changed."""

    def __init__(self, run: Run, goal: MergeTarget, staging: StagedColumns = AS_IT_IS) -> None:
        self._run = run
        self._goal = goal
        self._staging = staging
        own = (*SYSTEM_COLUMNS, *((DIGEST,) if staging.digest else ()))
        self._columns = (*goal.columns, *goal.left)
        self._names = [column.name for column in (*self._columns, *own)]
        self._told = [column.name for column in (*goal.columns, *own)]  # in notes
        self._noted = goal.commit * statements.ROOM
        self.inserted = self.updated = self.deleted = 0
        self.came, self.went = Digests(), Digests()

    @property
    def changes(self) -> Changes:
        """What really changed."""
        return Changes(self.inserted, self.updated, self.deleted)

    def add(self, paths: Sequence[str]) -> None:
        """Take in the rows of landed pages, in landing order.

        Only what these rows need is done: those of a first sync are compared with nothing, and where nothing is new,
        nothing is inserted.
        """
        goal, versions = self._goal, self._goal.treatment.versions
        self._do(statements.keys(paths, self._staging))
        rows, different = self._row(statements.COUNT_KEYS)
        if rows:
            repeats = rows > different
            if repeats:
                self._do(statements.stale(paths, self._staging))
            live = statements.live_rows(["_cio_is_current"] if versions else [])
            self._do(statements.different_keys(repeats=repeats))
            found, alive, coming = self._row(statements.found(goal.table, live, versions=versions))
            self._do("DROP VIEW different")
            self.came += Digests(different - alive, coming)
            for some in _together(paths) if found else ():
                self._stage(some, repeats=repeats)
                self._change()
            if alive < different if versions else found < different:
                self._stage(paths, repeats=repeats)
                self._insert(some_found=found > 0, back=found - alive)
            self._do("DROP VIEW staged")
            self._do("DROP TABLE IF EXISTS stale")
        self._do("DROP TABLE staged_keys")

    def remove_gone(self, at: int) -> None:
        """Take away, mark or end the rows of the keys in the table `gone`, at a moment (unix seconds)."""
        goal = self._goal
        count, total = self._row(statements.COUNT_GONE)
        self.went += Digests(count, total)
        self.deleted += count
        if count and goal.treatment.mode is WriteMode.CHANGES:
            note = statements.note_deletes(goal.table, goal.changes, self._told)
            self._noted += self._count(note, [self._noted, at, goal.run_id, at])
        if goal.treatment.removes:
            self._do(statements.remove_gone(goal.table))
        elif count and goal.treatment.versions:
            self._do(statements.end_gone(goal.table), [at, at])
        elif count:
            self._do(statements.mark_gone(goal.table), [at])
        self._do("DROP TABLE gone")

    def _stage(self, paths: Sequence[str], *, repeats: bool) -> None:
        present = self._present(paths)  # of these pages: others may have columns that these lack
        self._do(statements.stage(self._columns, present, paths, repeats=repeats, staging=self._staging))

    def _change(self) -> None:
        """Bring the staged rows in that the table has otherwise."""
        goal, versions = self._goal, self._goal.treatment.versions
        changed = statements.changed(goal.table, self._columns, digest_too=self._staging.digest, current_only=versions)
        self._do(changed)
        if goal.treatment.mode is WriteMode.CHANGES:
            note = statements.note_updates(goal.table, goal.changes, goal.columns, self._told)
            self._noted += self._count(note, [self._noted, goal.run_id])
        if versions:
            self.updated += self._count(statements.end_versions(goal.table))
            self._do(statements.begin_versions(goal.table, self._names, "changed"), [goal.commit])
        else:
            self.updated += self._count(statements.update(goal.table, self._names))
        self._do("DROP TABLE changed")

    def _insert(self, *, some_found: bool, back: int) -> None:
        """Bring the staged rows in that the table lacks; `back` of them it had once, where it has versions."""
        goal = self._goal
        if goal.treatment.versions:
            begun = self._count(statements.begin_versions(goal.table, self._names, "staged"), [goal.commit])
            self.inserted += begun - back
            self.updated += back
            return
        if goal.treatment.mode is WriteMode.CHANGES:
            note = statements.note_inserts(goal.table, goal.changes, self._told, some_found=some_found)
            self._noted += self._count(note, [self._noted, goal.run_id])
        self.inserted += self._count(statements.insert(goal.table, self._names, some_found=some_found))

    def _present(self, paths: Sequence[str]) -> frozenset[str]:
        rows = self._do(f"DESCRIBE SELECT * FROM {statements.files(paths)}").fetchall()
        return frozenset(row[0] for row in rows)

    def _do(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._run(statement, values)

    def _row(self, statement: str) -> tuple[int, ...]:
        (row,) = self._do(statement).fetchall()
        return tuple(int(value) for value in row)

    def _count(self, statement: str, values: Sequence[object] = ()) -> int:
        row = self._do(statement, values).fetchone()
        return int(row[0]) if row else 0


def keys_seen(run: Run, paths: Sequence[str], key: str = statements.KEY) -> Digests | None:
    """The keys of all rows in the pages of a complete read: what must be live after it, whatever was before.

    None when some keys were only seen: whether the table ever had their rows does not show in the pages.
    """
    ((rows, total, only),) = run(statements.all_seen(paths, key), ()).fetchall()
    return None if only else Digests() + Digests(int(rows), int(total))


def _together(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """The pages in their order, so many at a time as may be compared at once, and at least one."""
    some: list[str] = []
    size = 0
    for path in paths:
        weight = os.stat(path).st_size  # noqa: PTH116 - a plain text is what DuckDB is given
        if some and size + weight > COMPARED_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(path)
        size += weight
    yield some


MAIN, CHANGES = "merged", "noted"  # temporary tables


@dataclass(frozen=True, slots=True)
class StoredTables:
    """A table and the one for its changes, as they stand in the store; `left` are columns that are copied no more."""

    main: StoredTable
    changes: StoredTable
    left: Sequence[Column]


class ChangeComputation:
    """A batch beside the ledger `keys` of its table. Call the methods in their order, within one transaction."""

    def __init__(
        self,
        batch: Batch,
        ledger: DigestIndex,
        keys: str,
        shapes: StoredTables,
        *,
        nul_allowed: bool,
        aside: Sequence[Column] = (),
        blanked: ErasedColumns | None = None,
    ) -> None:
        self._batch = batch
        self._ledger = ledger
        self._keys = keys
        self._shapes = shapes
        self._staging = StagedColumns(digest=True, without_nul=not nul_allowed, aside=tuple(aside), blanked=blanked)
        self.changes = Changes()
        self.came, self.went = Digests(), Digests()
        self._seen: Digests | None = None

    def after(self, before: Digests) -> Digests:
        """What must be live then, if this was live before."""
        return before + self.came - self.went if self._seen is None else self._seen

    def find(self) -> None:
        """Set down, as `wanted`, the keys of rows that the store lacks or has otherwise, and as `gone` those to go."""
        run = self._ledger.run
        run(f"CREATE OR REPLACE TEMP TABLE wanted ({KEY} VARCHAR, digest BLOB)")
        paths = [str(path) for path in self._batch.files]
        if paths:
            self._stage(paths, self._staging)
            run(
                f"INSERT INTO wanted SELECT s.{KEY}, unhex(s._cio_digest) FROM staged AS s LEFT JOIN {self._keys} AS k "
                f"ON k.{KEY} = s.{KEY} WHERE k.digest IS DISTINCT FROM unhex(s._cio_digest) OR NOT k.live"
            )
            run("DROP VIEW staged")
            run("DROP TABLE IF EXISTS stale")
        close, live = self._batch.close, f"SELECT {KEY} FROM {self._keys} WHERE live"
        if close is not None and close.seen is not None:
            seen, key = [str(path) for path in close.seen], statements.key_of(self._staging)
            run(statements.gone(live, seen, key))
            self._seen = keys_seen(run, seen, key)
        else:
            run(statements.known_gone(live), [list(self._batch.gone or ())])
        self._count()

    def work_out(self, store: TableBackend, commit: int) -> None:
        """Merge the wanted rows with what the mode needs of the store's, and mark what is gone."""
        run, batch, treatment = self._ledger.run, self._batch, self._batch.treatment
        for name, shape in ((MAIN, self._shapes.main), (CHANGES, self._shapes.changes)):
            run(statements.create(name, shape.columns, temporary=True)[0])
        if treatment.mode in (WriteMode.CHANGES, WriteMode.HISTORY):
            self._fetch(store, f"SELECT {KEY} FROM wanted SEMI JOIN {self._keys} USING ({KEY})")
        if not treatment.removes or treatment.mode is WriteMode.CHANGES:
            self._fetch(store, f"SELECT {KEY} FROM gone")
        goal = MergeTarget(MAIN, CHANGES, batch.columns, self._shapes.left, treatment, batch.run_id, commit)
        merge = Merge(run, goal, replace(self._staging, wanted_only=True))
        if self.changes.inserted or self.changes.updated:
            merge.add([str(path) for path in batch.files])
        run("CREATE OR REPLACE TEMP TABLE leaving AS SELECT * FROM gone")
        whole = batch.close is not None and batch.close.seen is not None
        merge.remove_gone(batch.close.at if batch.close is not None and whole else batch.gone_at)

    @property
    def writes(self) -> bool:
        """Whether the table is to be written; rows that an earlier mode has left marked as deleted may have to go."""
        if self.changes != Changes():
            return True
        return self._removes_all and self._number(f"SELECT count(*) FROM {self._keys} WHERE NOT live") > 0

    @property
    def _removes_all(self) -> bool:
        """Whether rows that are gone leave the table, and those that were marked before with them."""
        close = self._batch.close
        told = self._batch.gone is not None or (close is not None and close.seen is not None)
        return self._batch.treatment.removes and told

    @property
    def notes(self) -> bool:
        """Whether there are changes to note."""
        return self._batch.treatment.mode is WriteMode.CHANGES and self._number(f"SELECT count(*) FROM {CHANGES}") > 0

    def noted(self) -> ChangeSet:
        """What is to be added to the table of changes."""
        return self._ledger.edit(CHANGES, self._shapes.changes, pa.array([], pa.int64()))

    def merged(self) -> ChangeSet:
        """What is to become of the table."""
        gone = self._ledger.column(self._leaving()) if self._removes_all else pa.array([], pa.string())
        return self._ledger.edit(MAIN, self._shapes.main, gone)

    def enter(self) -> None:
        """Note in the ledger what the store holds now."""
        run, keys = self._ledger.run, self._keys
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

    def _stage(self, paths: Sequence[str], staging: StagedColumns) -> None:
        run = self._ledger.run
        run(statements.keys(paths, staging))
        repeats = self._number(f"SELECT count(*) - count(DISTINCT {KEY}) FROM staged_keys") > 0
        run("DROP TABLE staged_keys")
        if repeats:
            run(statements.stale(paths, staging))
        described = run(f"DESCRIBE SELECT * FROM {statements.files(paths)}").fetchall()
        present = frozenset(row[0] for row in described)
        run(statements.stage(self._batch.columns, present, paths, repeats=repeats, staging=staging))

    def _count(self) -> None:
        live = f"EXISTS (SELECT 1 FROM {self._keys} AS k WHERE k.{KEY} = wanted.{KEY} AND k.live)"
        there = self._number(f"SELECT count(*) FROM wanted SEMI JOIN {self._keys} USING ({KEY})")
        every = self._number("SELECT count(*) FROM wanted")
        ((rows, total),) = self._ledger.run(
            f"SELECT count(*), {statements.key_sum()} FROM wanted WHERE NOT {live}"
        ).fetchall()
        ((gone, less),) = self._ledger.run(statements.COUNT_GONE).fetchall()
        self.came, self.went = Digests(int(rows), int(total)), Digests(int(gone), int(less))
        self.changes = Changes(every - there, there, int(gone))

    def _fetch(self, store: TableBackend, keys: str) -> None:
        """Bring in the store's rows of the keys of a query: whole ones, and of versions the current one.

        No more are asked for at once than the store takes, since any number can be gone at once.
        """
        shape, step = self._shapes.main, store.rows_at_once
        current = [Condition("_cio_is_current", Operator.TRUE)] if self._batch.treatment.versions else []
        self._ledger.run(
            f"CREATE OR REPLACE TEMP TABLE fetched AS SELECT *, row_number() OVER () AS place FROM ({keys})"
        )
        for last in range(0, self._number("SELECT count(*) FROM fetched"), step):
            some = self._ledger.column(f"SELECT {KEY} FROM fetched WHERE place > {last} AND place <= {last + step}")
            conditions = [Condition(KEY, Operator.IN, some.to_pylist()), *current]
            self._ledger.take(MAIN, store.read(shape, [column.name for column in shape.columns], conditions))

    def _number(self, query: str) -> int:
        ((number,),) = self._ledger.run(query).fetchall()
        return int(number)


# The shapes of a copy's tables as they stand in a store: pure functions of the table and what is known of the copy.


COPY_SHAPE = StoredTable(COPY, COPY_COLUMNS, "copy_id")
POSITION_SHAPE = StoredTable(POSITIONS, POSITION_COLUMNS, "table_name")


def left_columns(columns: Sequence[Column], there: Mapping[str, ColumnType]) -> list[Column]:
    """Of the columns that a table has, those of the workspace that are not among `columns`: ones no longer copied."""
    known = {column.name.casefold() for column in columns}
    return [
        Column(name, kind, "No longer copied.")
        for name, kind in there.items()
        if name.casefold() not in known and not name.casefold().startswith(RESERVED)
    ]


def left_in(store: TableBackend, table: Table, columns: Sequence[Column], facts: CopyFacts) -> list[Column]:
    """As `left_columns`, of a table in a store, as far as they are known to be ours: somebody may have added more."""
    ours = {column.name: column.type for column in found_columns(table, facts.found)}
    if table.hidden:
        there = store.columns(table.target)
        hidden = {table.naming.column(one.name): one.type for one in table.hidden}
        ours |= {name: kind for name, kind in hidden.items() if there.get(name) is kind}
    return left_columns(columns, ours)


def main_shape(table: Table, columns: Sequence[Column], *, versions: bool) -> StoredTable:
    """The table itself; with `versions` a row per version."""
    every = (*columns, *SYSTEM_COLUMNS, DIGEST, *(HISTORY_COLUMNS if versions else ()))
    return StoredTable(table.target, every, "_cio_version" if versions else "_cio_key", table.partitioned_by)


def record_shape(record: Record) -> StoredTable:
    """A table about runs."""
    return StoredTable(record.name, record.columns, record.key)


def key_shape(name: str) -> StoredTable:
    """A table as far as its rows are told apart, and whether they hold."""
    return StoredTable(name, (*SYSTEM_COLUMNS, DIGEST, *HISTORY_COLUMNS), "_cio_key")


def changes_shape(table: Table, columns: Sequence[Column]) -> StoredTable:
    """The table of its changes."""
    every = (*CHANGE_COLUMNS, *columns, *SYSTEM_COLUMNS, DIGEST)
    return StoredTable(table.target + CHANGES_SUFFIX, every, "_cio_sequence", "_cio_changed_at")
