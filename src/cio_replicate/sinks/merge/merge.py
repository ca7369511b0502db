"""A merge in DuckDB: landed rows go into a table, in any change mode, within a transaction of the caller's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb

from cio_replicate.config.table_options import WriteMode, WriteOptions
from cio_replicate.schema.system_tables import DIGEST, SYSTEM_COLUMNS
from cio_replicate.schema.table import Column
from cio_replicate.sinks.expected import Digests
from cio_replicate.sinks.merge import sql_modes
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.statements import AS_IT_IS, Run, StagedColumns
from cio_replicate.sinks.port import Changes

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
        self._noted = goal.commit * sql_modes.ROOM
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
        self._do(sql.keys(paths, self._staging))
        rows, different = self._row(sql.COUNT_KEYS)
        if rows:
            repeats = rows > different
            if repeats:
                self._do(sql.stale(paths, self._staging))
            live = sql.live_rows(["_cio_is_current"] if versions else [])
            self._do(sql.different_keys(repeats=repeats))
            found, alive, coming = self._row(sql.found(goal.table, live, versions=versions))
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
        count, total = self._row(sql.COUNT_GONE)
        self.went += Digests(count, total)
        self.deleted += count
        if count and goal.treatment.mode is WriteMode.CHANGES:
            note = sql_modes.note_deletes(goal.table, goal.changes, self._told)
            self._noted += self._count(note, [self._noted, at, goal.run_id, at])
        if goal.treatment.removes:
            self._do(sql.remove_gone(goal.table))
        elif count and goal.treatment.versions:
            self._do(sql_modes.end_gone(goal.table), [at, at])
        elif count:
            self._do(sql.mark_gone(goal.table), [at])
        self._do("DROP TABLE gone")

    def _stage(self, paths: Sequence[str], *, repeats: bool) -> None:
        present = self._present(paths)  # of these pages: others may have columns that these lack
        self._do(sql.stage(self._columns, present, paths, repeats=repeats, staging=self._staging))

    def _change(self) -> None:
        """Bring the staged rows in that the table has otherwise."""
        goal, versions = self._goal, self._goal.treatment.versions
        changed = sql.changed(goal.table, self._columns, digest_too=self._staging.digest, current_only=versions)
        self._do(changed)
        if goal.treatment.mode is WriteMode.CHANGES:
            note = sql_modes.note_updates(goal.table, goal.changes, goal.columns, self._told)
            self._noted += self._count(note, [self._noted, goal.run_id])
        if versions:
            self.updated += self._count(sql_modes.end_versions(goal.table))
            self._do(sql_modes.begin_versions(goal.table, self._names, "changed"), [goal.commit])
        else:
            self.updated += self._count(sql.update(goal.table, self._names))
        self._do("DROP TABLE changed")

    def _insert(self, *, some_found: bool, back: int) -> None:
        """Bring the staged rows in that the table lacks; `back` of them it had once, where it has versions."""
        goal = self._goal
        if goal.treatment.versions:
            begun = self._count(sql_modes.begin_versions(goal.table, self._names, "staged"), [goal.commit])
            self.inserted += begun - back
            self.updated += back
            return
        if goal.treatment.mode is WriteMode.CHANGES:
            note = sql_modes.note_inserts(goal.table, goal.changes, self._told, some_found=some_found)
            self._noted += self._count(note, [self._noted, goal.run_id])
        self.inserted += self._count(sql.insert(goal.table, self._names, some_found=some_found))

    def _present(self, paths: Sequence[str]) -> frozenset[str]:
        rows = self._do(f"DESCRIBE SELECT * FROM {sql.files(paths)}").fetchall()
        return frozenset(row[0] for row in rows)

    def _do(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._run(statement, values)

    def _row(self, statement: str) -> tuple[int, ...]:
        (row,) = self._do(statement).fetchall()
        return tuple(int(value) for value in row)

    def _count(self, statement: str, values: Sequence[object] = ()) -> int:
        row = self._do(statement, values).fetchone()
        return int(row[0]) if row else 0


def keys_seen(run: Run, paths: Sequence[str], key: str = sql.KEY) -> Digests | None:
    """The keys of all rows in the pages of a complete read: what must be live after it, whatever was before.

    None when some keys were only seen: whether the table ever had their rows does not show in the pages.
    """
    ((rows, total, only),) = run(sql.all_seen(paths, key), ()).fetchall()
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
