"""The sink over any table backend: layout of tables, recovery of interrupted commits, and writing of batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LandingError, LoadError
from cio_replicate.base.text import quoted
from cio_replicate.config.table_options import as_shown
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    DIGEST,
    ERASURES,
    POSITIONS,
    RECORDS,
    Checkpoint,
    from_text,
    to_text,
)
from cio_replicate.schema.system_tables import KEY as KEY_COLUMN
from cio_replicate.schema.table import Column, Table, schema_for
from cio_replicate.sinks import port as expected
from cio_replicate.sinks.backend import (
    ChangeSet,
    Condition,
    Operator,
    StoredTable,
    TableBackend,
    moment,
    not_deleted,
    resolved,
    try_out,
)
from cio_replicate.sinks.erasure import TableErasure, stays_blank
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge import statements as sql_modes
from cio_replicate.sinks.merge.change_sets import (
    COPY_SHAPE,
    POSITION_SHAPE,
    ChangeComputation,
    StoredTables,
    changes_shape,
    found_columns,
    key_shape,
    left_in,
    main_shape,
    record_shape,
)
from cio_replicate.sinks.merge.digest_index import DigestIndex, keys_in
from cio_replicate.sinks.merge.statements import KEY, ErasedColumns
from cio_replicate.sinks.port import Batch, Changes, CopyFacts, CopyIdentity, Digests, ErasureHits, PendingCommit

# Brings a store's table into the layout that a mode needs: with a row per key, or a row per version.


def as_it_is(batch: Batch, store: TableBackend, facts: CopyFacts) -> Batch:
    """The batch in the mode that its table, which is there, shows."""
    noted = bool(store.columns(batch.table.target + CHANGES_SUFFIX))
    return replace(batch, treatment=as_shown(versions=batch.table.name in facts.versions, noted=noted))


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
        statement = sql_modes.first_versions("turned") if versions else sql_modes.no_versions("turned")
        store.write(_turned(store, ledger, shape, statement))
        ledger.run("DROP TABLE turned")
    facts.turning = [one for one in facts.turning if one != name]
    facts.versions = [one for one in facts.versions if one != name] + [name] * versions
    ledger.forget(name)
    save()


def _require_ours(store: TableBackend, name: str) -> None:
    there = store.columns(name)
    if there and sql.KEY not in there:
        raise LoadError(
            f"There is a table {name} in the dataset that was not made by cio-replicate.",
            "Choose another --dataset, or move that table away.",
        )


def _turned(store: TableBackend, ledger: DigestIndex, shape: StoredTable, statement: str) -> ChangeSet:
    """Every row of a table that has one per key, after a statement on the table `turned`."""
    ledger.run(sql.create("turned", shape.columns, temporary=True)[0])
    ledger.take("turned", store.read(shape, [column.name for column in shape.columns]))
    ledger.run(statement)
    return ledger.edit("turned", replace(shape, key=sql.KEY), pa.array([], pa.string()))


def _refuse_to_lose(store: TableBackend, ledger: DigestIndex, shape: StoredTable, batch: Batch) -> None:
    ledger.run(f"CREATE OR REPLACE TEMP TABLE every_version ({sql.KEY} VARCHAR)")
    ledger.take("every_version", store.read(shape, [sql.KEY]))
    ended = ledger.run(sql_modes.count_ended("every_version")).fetchall()[0][0]
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
    first = (commits + 1) * sql_modes.ROOM
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


class CopySink:
    """A dataset in a store. `ledger` is the file, in a folder of this task, that remembers what the store holds.

    A commit is written in an order in which a kill at any moment is noticed by the next run, on any machine: the copy's
    own row first says what is about to change, then come the noted changes, the rows, the position, and the row again.
    """

    def __init__(
        self, store: TableBackend, ledger: Path, dataset: str, shown: str, *, nul_allowed: bool = True
    ) -> None:
        self._store = store
        self._file = ledger
        self._dataset = dataset
        self._shown = shown
        self._nul_allowed = nul_allowed
        self.batch_rows = store.rows_at_once
        self._ledger: DigestIndex | None = None
        self._row: dict[str, Any] = {}
        self._facts = CopyFacts()
        self._erased: list[dict[str, Any]] | None = None  # people, as far as it was asked

    def look(self) -> CopyIdentity | None:
        """Open what is there without changing it; None when there is no copy yet. Fails when one cannot be made."""
        self._store.open()
        return self.identity() if self._read_row() else None

    def prepare(self, now: int) -> CopyIdentity:
        """Make the copy if there is none; settle a commit that was broken off."""
        if not self._read_row():
            self._row = {"copy_id": uuid.uuid4().hex, "created_at": moment(now), "commits": 0, "facts": None}
            self._write_row(self._row["commits"])
        if self._facts.pending is not None:
            self._settle(self._facts.pending)
        return self.identity()

    def identity(self) -> CopyIdentity:
        """As `look`, of a copy that is there."""
        return CopyIdentity(self._row["copy_id"], self._row["commits"])

    def positions(self) -> Mapping[str, Checkpoint]:
        """How far each table has been read."""
        rows = self._store.read(POSITION_SHAPE, ["table_name", "position"]).read_all().to_pylist()
        try:
            return {row["table_name"]: from_text(row["position"]) for row in rows}
        except ValueError:
            raise DestinationUnavailableError(
                f"The positions of the copy in {self._shown} cannot be read.", "Choose another --dataset."
            ) from None

    def discovered(self, table: Table) -> Sequence[Column]:
        """The columns of a table that its declaration does not have, but the API once sent."""
        return found_columns(table, self._facts)

    def read(self, table: Table, columns: Sequence[str], where: Sequence[Condition] = ()) -> list[tuple[Any, ...]]:
        """Return the named columns of the rows that meet all conditions."""
        shape = self._shape(table)
        conditions = self._resolved(shape, where)
        if conditions is None:
            return []
        known = {column.name for column in shape.columns}
        asked = [name for name in dict.fromkeys(columns) if name in known] or [sql.KEY]
        rows = self._store.read(shape, asked, conditions).read_all().to_pylist()
        return [tuple(self._given(name, row.get(name)) for name in columns) for row in rows]

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """Return how many rows `read` would give."""
        shape = self._shape(table)
        conditions = self._resolved(shape, where)
        return 0 if conditions is None else self._store.count(shape, conditions)

    def held(self, table: Table) -> Digests:
        """The keys of the live rows of a table, read back from it.

        Where they are not those that were loaded, the ledger of the table is read anew before the next write.
        """
        shape = self._shape(table)
        held = keys_in(self._store.read(shape, [sql.KEY], [not_deleted([column.name for column in shape.columns])]))
        if held != self._facts.expected.get(table.name, held):
            self._held_ledger().forget(table.name)
        return held

    def expected(self, table: Table) -> Digests | None:
        """The keys that the live rows must have by what was loaded; None when that was not counted from the start."""
        return self._facts.expected.get(table.name)

    def write(self, batch: Batch) -> Changes:
        """Merge the rows, apply deletions, move the position: all or nothing."""
        self._require_own()
        if batch.as_it_is:
            if batch.table.name not in self._facts.expected:
                return Changes()
            batch = as_it_is(batch, self._store, self._facts)
        try:
            return self._write(batch)
        except duckdb.Error as error:
            raise LoadError(
                f"The changes of {batch.table.name} could not be worked out ({quoted(str(error).splitlines()[0])}).",
                "They stay landed; mend the cause and run again.",
            ) from None

    def try_out(self) -> None:
        """Make, write, read back and drop a small table. Raises DestinationUnavailableError when that fails."""
        try:
            try_out(self._store, self._shown)
        except LoadError as error:
            raise DestinationUnavailableError(error.cause, "Check what the user may do there.") from None

    def record(self, shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
        """Put rows about runs into a table beside the copy, in the place of those with the same key."""
        if shape.name == ERASURES.name:
            self._erased = None
        self._store.write(edit_of(shape, rows))

    def recorded(self, shape: StoredTable) -> list[dict[str, Any]]:
        """All rows of a table that `record` has written; none when it is not there."""
        rows: list[dict[str, Any]] = self._store.read(shape, [one.name for one in shape.columns]).read_all().to_pylist()
        return rows

    def blank(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people, versions and noted changes among them."""
        self._require_own()
        ledger, before = self._held_ledger(), self._row["commits"]
        if self._facts.pending is not None:
            self._settle(self._facts.pending)
            before = self._row["commits"]
        with ledger.transaction():
            self._write_row(before + 1)  # first: what this machine remembers of the rows holds for no other commit
            keys = ledger.keys_of(table.name, self._row["copy_id"], before)
            counts = TableErasure(self._store, ledger, table, self._facts, self.batch_rows).blank(people, keys)
            ledger.advance(self._row["copy_id"], before, before + 1)
        return counts

    def recount(self, table: Table) -> None:
        """Take what a table holds now for what was loaded into it, whoever has changed it meanwhile."""
        ledger, before = self._held_ledger(), self._row["commits"]
        ledger.forget(table.name)
        if table.name in self._facts.expected:
            self._facts.expected[table.name] = ledger.live(self._keys(table))
            self._write_row(before + 1)
            ledger.advance(self._row["copy_id"], before, before + 1)

    def end(self) -> None:
        """Remove the tables about the copy and its runs: it is no copy any more."""
        for name in (*(record.name for record in RECORDS), POSITIONS, COPY):
            self._store.drop(name)

    def drop(self, table: Table) -> None:
        """Remove a table with its changes, and forget how far it was read.

        The position goes first, and with the next commit every ledger: after a kill the table, there or not, is read
        whole. What is known of its layout goes last.
        """
        name = table.name
        nothing = schema_for(POSITION_SHAPE.columns).empty_table().to_reader()
        self._store.write(ChangeSet(POSITION_SHAPE, nothing, 0, pa.array([name], pa.string())))
        self._held_ledger().forget(name)
        self._facts.expected.pop(name, None)
        before = self._row["commits"]
        self._write_row(before + 1)
        self._held_ledger().advance(self._row["copy_id"], before, before + 1)
        for one in (table.target + CHANGES_SUFFIX, table.target):
            self._store.drop(one)
        self._facts.found.pop(name, None)
        self._facts.versions = [one for one in self._facts.versions if one != name]
        self._facts.turning = [one for one in self._facts.turning if one != name]
        self._write_row(before + 1)

    def close(self) -> None:
        """Let go of it."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        self._store.close()

    def _write(self, batch: Batch) -> Changes:
        ledger, name = self._held_ledger(), batch.table.name
        if self._facts.pending is not None:  # one that failed, of this run or another
            self._settle(self._facts.pending)
        aside = [column for column in self._found(batch) if not self._store.accepts_name(column.name)]
        batch = replace(batch, columns=[column for column in batch.columns if column not in aside])
        fitted(batch, self._store, ledger, self._facts, lambda: self._write_row(self._row["commits"]))
        keys = self._keys(batch.table)
        before = self._facts.expected.get(name) or ledger.live(keys)
        commit = self._row["commits"] + 1
        versions = batch.treatment.versions
        left = left_in(self._store, batch.table, batch.columns, self._facts)
        shapes = StoredTables(
            main_shape(batch.table, (*batch.columns, *left), versions=versions),
            changes_shape(batch.table, batch.columns),
            left,
        )
        with ledger.transaction():
            blanked = self._blanks(batch, left)
            found = ChangeComputation(
                batch, ledger, keys, shapes, nul_allowed=self._nul_allowed, aside=aside, blanked=blanked
            )
            found.find()
            after = found.after(before)
            self._facts.note_found(name, self._found(batch))
            if found.writes or name not in self._facts.expected:  # a table without rows is there too
                self._facts.pending = PendingCommit(name, batch.table.target, after)
                self._write_row(commit - 1)
                found.work_out(self._store, commit)
                if found.notes:
                    self._store.write(found.noted())
                self._store.write(found.merged())
                found.enter()
            elif batch.close is None:
                return Changes()
            if batch.close is not None:
                self._move(batch)
            self._facts.expected[name], self._facts.pending = after, None
            self._write_row(commit)
            ledger.advance(self._row["copy_id"], commit - 1, commit)
        return found.changes

    def _blanks(self, batch: Batch, left: Sequence[Column]) -> ErasedColumns | None:
        """What is left out of the rows of a batch, since it is about people who were erased."""
        if self._erased is None:
            self._erased = [one for one in self.recorded(record_shape(ERASURES)) if one["returned_at"] is None]
        return stays_blank(self._held_ledger(), self._erased, batch.table, (*batch.columns, *left))

    def _move(self, batch: Batch) -> None:
        assert batch.close is not None  # noqa: S101 - the caller has looked
        row = {
            "table_name": batch.table.name,
            "position": to_text(batch.close.position),
            "run_id": batch.run_id,
            "moved_at": moment(batch.close.at),
        }
        self._store.write(edit_of(POSITION_SHAPE, [row]))

    def _settle(self, pending: PendingCommit) -> None:
        """Find out what became of a commit that was broken off, and go on with the number after it."""
        ledger, versions = self._held_ledger(), pending.table in self._facts.versions
        ledger.forget(pending.table)
        if versions and not self._store.whole_edits:
            take_back(self._store, ledger, pending, self._row["commits"])
        keys = self._keys_named(pending.table, pending.target, versions=versions)
        settle(self._store, ledger, keys, pending, self._row["commits"])
        live = ledger.live(keys)
        if live == pending.after or not self._store.whole_edits:  # some rows of it may be there, and nobody knows which
            self._facts.expected[pending.table] = live
        self._facts.pending = None
        before = self._row["commits"]
        self._write_row(before + 1)
        ledger.advance(self._row["copy_id"], before, before + 1)

    def _keys(self, table: Table) -> str:
        return self._keys_named(table.name, table.target, versions=table.name in self._facts.versions)

    def _keys_named(self, name: str, target: str, *, versions: bool) -> str:
        """The ledger's table for a table, read anew from the store where what it holds is not of this commit."""
        ledger, copy_id, commits = self._held_ledger(), self._row["copy_id"], self._row["commits"]
        keys = ledger.keys_of(name, copy_id, commits)
        if keys is not None:
            return keys
        with ledger.transaction():
            keys = ledger.begin_anew(name)
            live, holds = "_cio_deleted_at", "_cio_deleted_at IS NULL"
            if versions:
                live, holds = "_cio_is_current", "coalesce(_cio_is_current, false)"
            rows = self._store.read(key_shape(target), [sql.KEY, "_cio_digest", live])
            ledger.take(
                keys,
                rows,
                f"SELECT {sql.KEY}, unhex(coalesce(max(_cio_digest) FILTER (WHERE {holds}), '')) AS digest, "
                f"bool_or({holds}) AS live FROM taken GROUP BY {sql.KEY}",
            )
            ledger.holds(name, copy_id, commits)
        return keys

    def _require_own(self) -> None:
        """Refuse to write what somebody else has written since: two runs must not write the same copy."""
        mine = self.identity()
        row = dict(self._row)
        self._read_row()
        if self.identity() != mine:
            self._row = row
            raise DestinationUnavailableError(
                f"Another run has written the dataset {self._dataset} of {self._shown} meanwhile.",
                "Let one run end before the next begins.",
            )

    def _read_row(self) -> bool:
        there = self._store.columns(COPY)
        if not there:
            return False
        rows = self._store.read(COPY_SHAPE, [column.name for column in COPY_SHAPE.columns]).read_all().to_pylist()
        if len(rows) != 1 or rows[0]["commits"] is None:
            raise DestinationUnavailableError(
                f"The copy in {self._shown} has lost its record of itself ({self._dataset}.{COPY}).",
                "Choose another --dataset.",
            )
        self._row, self._facts = rows[0], expected.from_text(rows[0]["facts"])
        return True

    def _write_row(self, commits: int) -> None:
        row = {**self._row, "commits": commits, "facts": expected.to_text(self._facts)}
        self._store.write(edit_of(COPY_SHAPE, [row]))
        self._row = row

    def _shape(self, table: Table) -> StoredTable:
        columns = (*table.columns, *found_columns(table, self._facts))
        return main_shape(table, columns, versions=table.name in self._facts.versions)

    def _resolved(self, shape: StoredTable, where: Sequence[Condition]) -> list[Condition] | None:
        """Return the conditions with keys as the store writes them, or None when no row can meet all of them."""
        if not self._nul_allowed:
            where = [
                replace(one, value=[sql.stored_key(str(key)) for key in one.value])
                if one.column == sql.KEY and one.comparison is Operator.IN and isinstance(one.value, Sequence)
                else one
                for one in where
            ]
        return resolved(where, {column.name for column in shape.columns})

    @staticmethod
    def _found(batch: Batch) -> list[Column]:
        """The columns that were found in what the API sent."""
        declared = {column.name for column in batch.table.columns}
        return [column for column in batch.columns if column.name not in declared]

    def _given(self, name: str, value: object) -> object:
        if name == sql.KEY and isinstance(value, str) and not self._nul_allowed:
            return sql.given_key(value)
        return value

    def _held_ledger(self) -> DigestIndex:
        if self._ledger is None:
            try:
                self._ledger = DigestIndex(self._file)
            except duckdb.Error as error:
                raise LandingError(
                    f"The ledger {self._file} cannot be written ({quoted(str(error).splitlines()[0])}).",
                    "Make room or choose another --state-dir, then run again.",
                ) from None
        return self._ledger


def edit_of(shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> ChangeSet:
    """An edit that puts a few rows in."""
    table = pa.Table.from_pylist(list(rows), schema=schema_for(shape.columns))
    return ChangeSet(shape, table.to_reader(), len(table), pa.array([], pa.string()))
