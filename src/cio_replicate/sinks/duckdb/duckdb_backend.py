"""The DuckDB destination: one transaction merges rows, marks deletions and moves the position."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.base.quoting import quoted
from cio_replicate.config.table_options import WriteMode, as_shown
from cio_replicate.schema.arrow import schema_for
from cio_replicate.schema.position import to_text
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    ERASURES,
    HISTORY_COLUMNS,
    POSITIONS,
    RECORDS,
    SYSTEM_COLUMNS,
)
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.sinks import erase, expected, trial
from cio_replicate.sinks.backend import StoredTable
from cio_replicate.sinks.duckdb.duckdb_file import MEMORY, MORE_MEMORY, DuckDBFile, file_at
from cio_replicate.sinks.expected import CopyFacts, Digests
from cio_replicate.sinks.merge import sql_modes
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.merge import Merge, MergeTarget, keys_seen
from cio_replicate.sinks.merge.shapes import left_columns
from cio_replicate.sinks.merge.statements import AS_IT_IS, StagedColumns
from cio_replicate.sinks.port import Batch, Changes, CopyIdentity, ErasureHits

T = TypeVar("T")

#: DuckDB writes groups of 122,880 rows straight into the file when one commit brings that many; smaller ones go through
#: its log, and are written again with each checkpoint until their group is full. Just under two groups costs a third
#: of what 50,000 rows a commit cost, and leaves groups so full that no checkpoint joins them (measured).
BATCH_ROWS = 240_000


class DuckDBBackend(DuckDBFile):
    """A dataset (schema) in a DuckDB file."""

    batch_rows = BATCH_ROWS

    def prepare(self, now: int) -> CopyIdentity:
        """Make the file, the schema and the tables of our own if they are missing."""
        if self._connection is None:
            self._open()
        there = self._columns(COPY)
        if there and "facts" not in there:  # a copy of an earlier version
            with self._usable():
                self._reshape(f"ALTER TABLE {self._name(COPY)} ADD COLUMN facts JSON")
        if not there:
            with self._usable(), self._transaction():
                self._run(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
                self._reshape(
                    f"CREATE TABLE {self._name(COPY)} "
                    "(copy_id VARCHAR, created_at TIMESTAMPTZ, commits BIGINT, facts JSON)"
                )
                self._reshape(
                    f"CREATE TABLE {self._name(POSITIONS)} "
                    "(table_name VARCHAR, position JSON, run_id VARCHAR, moved_at TIMESTAMPTZ)"
                )
                self._run(
                    f"INSERT INTO {self._name(COPY)} VALUES (?, to_timestamp(?), 0, NULL)", [uuid.uuid4().hex, now]
                )
        return self.identity()

    def discovered(self, table: Table) -> Sequence[Column]:
        """The columns of a table that its declaration does not have, but the API once sent."""
        known = {column.name for column in (*table.columns, *SYSTEM_COLUMNS, *HISTORY_COLUMNS)}
        return [
            Column(name, sql.KINDS[kind], "Sent by the API though not in its documentation.", table.path_of(name))
            for name, kind in self._columns(table.target).items()
            if name not in known and kind in sql.KINDS
        ]

    def expected(self, table: Table) -> Digests | None:
        """The keys that the live rows must have by what was loaded; None when that was not counted from the start."""
        if "facts" not in self._columns(COPY):  # a copy of an earlier version, before `prepare`
            return None
        with self._usable():
            return self._facts().expected.get(table.name)

    def write(self, batch: Batch) -> Changes:
        """Merge the rows, apply deletions, move the position: all or nothing."""
        if batch.as_it_is:
            there = self._columns(batch.table.target)
            if sql.KEY not in there:
                return Changes()
            noted = self._exists(batch.table.target + CHANGES_SUFFIX)
            batch = replace(batch, treatment=as_shown(versions="_cio_is_current" in there, noted=noted))
        try:
            changes: Changes = self._with_room(lambda result: self._written(batch, result))
        except duckdb.Error as error:
            raise LoadError(
                f"DuckDB did not accept rows of {batch.table.name} ({quoted(str(error).splitlines()[0], 300)}).",
                "They stay landed; mend the cause and run again.",
            ) from None
        if self._found != file_at(self.file):
            raise DestinationUnavailableError(
                f"The DuckDB file {self.file} was removed or replaced while it was written.",
                "Leave it alone while a sync runs, and run again: the next run finds out what is there.",
            )
        return changes

    def try_out(self) -> None:
        """Make, write, read back and drop a small table; neither file nor schema stays if it was not there."""
        found = self.look() is not None or self._connection is not None
        if not found:
            self._open()
        try:
            with self._usable():
                self._try_out()
        finally:
            self.close()
            if not found:
                self.file.unlink(missing_ok=True)

    def _try_out(self) -> None:
        target, names = self._name(trial.trial_name()), [column.name for column in trial.COLUMNS]
        self._run("BEGIN")
        self._run(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
        self._reshape(sql.create(target, trial.COLUMNS)[0])
        for row in trial.ROWS:
            self._run(f"INSERT INTO {target} VALUES (?, ?, ?, ?)", list(row.values()))
        rows = self._run(f"SELECT {', '.join(names)} FROM {target}").fetchall()
        trial.require_same([dict(zip(names, row, strict=True)) for row in rows], str(self.file))
        self._run("ROLLBACK")

    def record(self, shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
        """Put rows about runs into a table beside the copy, in the place of those with the same key."""
        names = [column.name for column in shape.columns]
        target, listed = self._name(shape.name), ", ".join(map(sql.quoted, names))
        key = sql.quoted(shape.key)
        given = pa.Table.from_pylist(list(rows), schema=schema_for(shape.columns))
        with self._usable(), self._transaction():
            self._fit_table(shape.name, shape.columns)
            with self._given(given):
                self._run(f"DELETE FROM {target} WHERE {key} IN (SELECT {key} FROM given)")
                self._run(f"INSERT INTO {target} ({listed}) SELECT {listed} FROM given")

    def blank(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people, versions and noted changes among them."""
        with self._usable():
            return self._with_room(lambda result: self._blanked(table, people, result))

    def recount(self, table: Table) -> None:
        """Take what a table holds now for what was loaded into it, whoever has changed it meanwhile."""
        with self._usable(), self._transaction():
            facts = self._facts()
            if table.name in facts.expected:
                facts.expected[table.name] = self.held(table)
                self._run(f"UPDATE {self._name(COPY)} SET commits = commits + 1, facts = ?", [expected.to_text(facts)])

    def end(self) -> None:
        """Remove the tables about the copy and its runs: it is no copy any more."""
        with self._usable(), self._transaction():
            for name in (*(record.name for record in RECORDS), POSITIONS, COPY):
                self._reshape(f"DROP TABLE IF EXISTS {self._name(name)}")

    def drop(self, table: Table) -> None:
        """Remove a table with its changes, and forget how far it was read."""
        with self._usable(), self._transaction():
            for name in (table.target, table.target + CHANGES_SUFFIX):
                self._reshape(f"DROP TABLE IF EXISTS {self._name(name)}")
            self._run(f"DELETE FROM {self._name(POSITIONS)} WHERE table_name = ?", [table.name])
            facts = self._facts()
            facts.expected.pop(table.name, None)
            self._run(f"UPDATE {self._name(COPY)} SET commits = commits + 1, facts = ?", [expected.to_text(facts)])

    def _with_room(self, step: Callable[[list[T]], None]) -> T:
        """Do a step that is one commit; where it needs more memory, open the file anew with more and do it again.

        It leaves its result in a list before it commits.
        """
        before, result = self.identity().commits, list[T]()
        try:
            step(result)
        except duckdb.Error as error:
            if self._memory is None or not _lacks_memory(error) or self._found != file_at(self.file):
                raise
        else:
            return result[0]
        self.close()
        self._memory = MORE_MEMORY if self._memory == MEMORY else None
        self._open()
        if result and self.identity().commits > before:  # it was only too much to tidy up after the commit
            return result[0]
        return self._with_room(step)

    def _written(self, batch: Batch, result: list[Changes]) -> None:
        left = self._fit(batch)
        with self._transaction():
            result.append(self._write(batch, left))

    def _blanked(self, table: Table, people: Mapping[str, Sequence[str]], result: list[dict[str, ErasureHits]]) -> None:
        found = {}
        with self._transaction():
            erase.note_people(self._run, people)
            for name in (table.target, table.target + CHANGES_SUFFIX):
                there = self._columns(name)
                if erase.named_by(table, there):
                    self._run(erase.note_rows(self._name(name), table, there))
                    found[name] = erase.about(self._run, self._name(name))
                    self._run(erase.blank(self._name(name), table, there))
            self._run(f"UPDATE {self._name(COPY)} SET commits = commits + 1")
            result.append(found)

    def _blanks(self, batch: Batch, left: Sequence[Column]) -> StagedColumns:
        """What is left out of the rows of a batch, since it is about people who were erased."""
        if not self._exists(ERASURES.name):
            return AS_IT_IS
        columns, erased = (*batch.columns, *left), self._name(ERASURES.name)
        return StagedColumns(blanked=erase.stays_blank(batch.table, columns, erased))

    def _write(self, batch: Batch, left: Sequence[Column]) -> Changes:
        name, facts = batch.table.name, self._facts()
        commit = self.identity().commits + 1
        goal = MergeTarget(
            self._name(batch.table.target),
            self._name(batch.table.target + CHANGES_SUFFIX),
            batch.columns,
            left,
            batch.treatment,
            batch.run_id,
            commit,
        )
        merge = Merge(self._run, goal, self._blanks(batch, left))
        before = facts.expected.get(name) or self.held(batch.table)
        if batch.files:
            merge.add([str(path) for path in batch.files])
        keys = f"SELECT {sql.KEY} FROM {goal.table} WHERE {sql.live_rows(self._columns(batch.table.target))}"
        after = None
        if batch.close is not None and batch.close.seen is not None:
            seen = [str(path) for path in batch.close.seen]
            self._run(sql.gone(keys, seen))
            merge.remove_gone(batch.close.at)
            after = keys_seen(self._run, seen)
        elif batch.gone is not None:
            self._run(sql.known_gone(keys), [list(batch.gone)])
            merge.remove_gone(batch.gone_at)
        if batch.close is not None:
            self._run(f"DELETE FROM {self._name(POSITIONS)} WHERE table_name = ?", [name])
            self._run(
                f"INSERT INTO {self._name(POSITIONS)} VALUES (?, ?, ?, to_timestamp(?))",
                [name, to_text(batch.close.position), batch.run_id, batch.close.at],
            )
        facts.expected[name] = before + merge.came - merge.went if after is None else after
        self._run(f"UPDATE {self._name(COPY)} SET commits = ?, facts = ?", [commit, expected.to_text(facts)])
        return merge.changes

    def _facts(self) -> CopyFacts:
        row = self._run(f"SELECT facts FROM {self._name(COPY)}").fetchone()
        return expected.from_text(row[0] if row else None)

    def _fit(self, batch: Batch) -> Sequence[Column]:
        """Make the tables of a batch, or bring them into the shape of its mode; the columns that are copied no more."""
        name, treatment = batch.table.target, batch.treatment
        columns = (*batch.columns, *SYSTEM_COLUMNS)
        there = self._columns(name)
        if there and sql.KEY not in there:
            raise LoadError(
                f"{self.dataset}.{name} exists in {self.file} and was not made by cio-replicate.",
                "Choose another --dataset, or move that table away.",
            )
        _require_place(batch, there)
        had_versions = "_cio_is_current" in there
        if had_versions and not treatment.versions:
            ended = self._count(self._run(sql_modes.count_ended(self._name(name))))
            if ended:
                raise LoadError(
                    f"{name} holds {ended} ended versions of its rows, which the mode {treatment.mode} would lose.",
                    f"Keep --mode {name}=history, choose another --dataset, or drop the table first.",
                )
        with self._transaction():
            self._fit_table(name, (*columns, *(HISTORY_COLUMNS if treatment.versions else ())))
            if treatment.mode is WriteMode.CHANGES:
                self._fit_table(name + CHANGES_SUFFIX, (*CHANGE_COLUMNS, *columns))
            if there and treatment.versions and not had_versions:
                self._run(sql_modes.first_versions(self._name(name)))
            for column in HISTORY_COLUMNS if had_versions and not treatment.versions else ():
                self._reshape(f"ALTER TABLE {self._name(name)} DROP COLUMN {sql.quoted(column.name)}")
        return left_columns(batch.columns, {one: sql.KINDS[kind] for one, kind in there.items() if kind in sql.KINDS})

    def _fit_table(self, name: str, columns: Sequence[Column]) -> None:
        """Make a table, or add the columns that it lacks."""
        target, there = self._name(name), self._columns(name)
        for statement in sql.create(target, columns) if not there else ():
            self._reshape(statement)
        for column in columns if there else ():
            if column.name not in there:
                for statement in sql.add(target, column):
                    self._reshape(statement)


def _require_place(batch: Batch, there: Mapping[str, str]) -> None:
    """Raise LoadError when rules for columns want in a table that is there what it cannot take."""
    name, folded = batch.table.name, {one.casefold(): one for one in there}
    fix = f"Give --columns as before, or `cio-replicate drop {name}` and sync it anew."
    for column in batch.columns:
        same = folded.get(column.name.casefold(), column.name)
        if same != column.name:
            raise LoadError(f"The copy of {name} has a column {same}, and cannot have {column.name} beside it.", fix)
        kind = sql.KINDS.get(there.get(column.name, ""), ColumnType.STRING)
        if column.type is ColumnType.STRING and kind not in (ColumnType.STRING, ColumnType.JSON):
            raise LoadError(
                f"The column {column.name} of {name} is to hold text now, and is of the type {kind} in the copy.", fix
            )


def _lacks_memory(error: duckdb.Error) -> bool:
    """Whether it says so: in a commit, and while it tidies up after one, the error is of another kind."""
    return isinstance(error, duckdb.OutOfMemoryException) or " used)" in str(error)
