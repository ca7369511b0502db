"""What of a batch is new to a store: rows are compared by digest with the ledger, and changes worked out beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from cio_replicate.config.table_options import WriteMode
from cio_replicate.schema.table import Column
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable, TableBackend
from cio_replicate.sinks.expected import Digests
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.digest_index import DigestIndex
from cio_replicate.sinks.merge.merge import Merge, MergeTarget, keys_seen
from cio_replicate.sinks.merge.statements import KEY, ErasedColumns, StagedColumns
from cio_replicate.sinks.port import Batch, Changes

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
            seen, key = [str(path) for path in close.seen], sql.key_of(self._staging)
            run(sql.gone(live, seen, key))
            self._seen = keys_seen(run, seen, key)
        else:
            run(sql.known_gone(live), [list(self._batch.gone or ())])
        self._count()

    def work_out(self, store: TableBackend, commit: int) -> None:
        """Merge the wanted rows with what the mode needs of the store's, and mark what is gone."""
        run, batch, treatment = self._ledger.run, self._batch, self._batch.treatment
        for name, shape in ((MAIN, self._shapes.main), (CHANGES, self._shapes.changes)):
            run(sql.create(name, shape.columns, temporary=True)[0])
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
        run(sql.keys(paths, staging))
        repeats = self._number(f"SELECT count(*) - count(DISTINCT {KEY}) FROM staged_keys") > 0
        run("DROP TABLE staged_keys")
        if repeats:
            run(sql.stale(paths, staging))
        described = run(f"DESCRIBE SELECT * FROM {sql.files(paths)}").fetchall()
        present = frozenset(row[0] for row in described)
        run(sql.stage(self._batch.columns, present, paths, repeats=repeats, staging=staging))

    def _count(self) -> None:
        live = f"EXISTS (SELECT 1 FROM {self._keys} AS k WHERE k.{KEY} = wanted.{KEY} AND k.live)"
        there = self._number(f"SELECT count(*) FROM wanted SEMI JOIN {self._keys} USING ({KEY})")
        every = self._number("SELECT count(*) FROM wanted")
        ((rows, total),) = self._ledger.run(f"SELECT count(*), {sql.key_sum()} FROM wanted WHERE NOT {live}").fetchall()
        ((gone, less),) = self._ledger.run(sql.COUNT_GONE).fetchall()
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
