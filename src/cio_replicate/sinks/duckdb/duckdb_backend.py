"""The DuckDB sink: open a file, read it, and write a batch in one transaction."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.base.text import quoted
from cio_replicate.config.table_options import WriteMode, as_shown
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    COPY,
    ERASURES,
    HISTORY_COLUMNS,
    POSITIONS,
    RECORDS,
    SYSTEM_COLUMNS,
    from_text,
    to_text,
)
from cio_replicate.schema.table import Column, ColumnType, Table, schema_for
from cio_replicate.sinks import backend as trial
from cio_replicate.sinks import erase
from cio_replicate.sinks import port as expected
from cio_replicate.sinks.backend import NOT_DELETED, Condition, StoredTable, resolved
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge import statements as sql_modes
from cio_replicate.sinks.merge.change_sets import Merge, MergeTarget, keys_seen, left_columns
from cio_replicate.sinks.merge.digest_index import remove_left
from cio_replicate.sinks.merge.statements import AS_IT_IS, StagedColumns
from cio_replicate.sinks.port import (
    NO_COPY,
    Batch,
    Changes,
    CopyFacts,
    CopyIdentity,
    Digests,
    ErasureHits,
    Owner,
    RunRows,
    SinkState,
)

# A dataset in a DuckDB file: opened, and asked what it holds.


#: A file in this format is also opened by DuckDB 1.x tools; DuckDB 1.5 cannot open the newer one (measured).
STORAGE = "v1.0.0"
#: What DuckDB may hold at first, with everything it remembers of the file: enough unless rows are large, and no slower
#: than more (measured). Then what it may hold where that did not do; and last as much as it takes by itself.
MEMORY, MORE_MEMORY = "90MB", "400MB"
#: More would be a little faster by the clock, but costs more in all, takes more memory, and each thread would leave row
#: groups of its own, which a checkpoint then joins by writing them again (measured).
THREADS = 1


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows that a query gave, and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class DuckDBFile:
    """A dataset (schema) in a DuckDB file. With `read_only` nothing can be changed, and others may read meanwhile.

    Raises DestinationUnavailableError when the file cannot be used now, as while another program writes it.
    """

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY, read_only: bool = False) -> None:
        self.file = file
        self.dataset = dataset
        self._memory: str | None = memory
        self._read_only = read_only
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._schema = sql.quoted(dataset)
        self._found: tuple[int, int] | None = None
        self._seen_columns: dict[str, dict[str, str]] = {}
        self.state = NO_COPY

    def look(self) -> SinkState | None:
        """Open what is there without changing it; None when there is no copy yet. Fails when one cannot be made."""
        self.state = NO_COPY
        if not os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where one may not look
            if not self._read_only:
                self._require_room()
            return None
        self._open()
        return self._refresh() if self._exists(COPY) else None

    def _refresh(self) -> SinkState:
        """Read the state of the copy from the file."""
        with self._usable():
            facts = self._facts() if "facts" in self._columns(COPY) else CopyFacts()
            rows = self._run(f"SELECT table_name, position FROM {self._name(POSITIONS)}").fetchall()
            checkpoints = {name: from_text(text) for name, text in rows}
        self.state = SinkState(self._identity(), checkpoints, facts.expected, facts.found)
        return self.state

    def _identity(self) -> CopyIdentity:
        with self._usable():
            row = self._run(f"SELECT copy_id, commits FROM {self._name(COPY)}").fetchone()
        if row is None:
            raise DestinationUnavailableError(
                f"The copy in {self.file} has lost its record of itself (table {self.dataset}.{COPY} is empty).",
                "Choose another --dataset or file.",
            )
        return CopyIdentity(str(row[0]), int(row[1]))

    def _facts(self) -> CopyFacts:
        row = self._run(f"SELECT facts FROM {self._name(COPY)}").fetchone()
        return expected.from_text(row[0] if row else None)

    def read(
        self, table: Table | StoredTable, columns: Sequence[str], where: Sequence[Condition] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the named columns of the rows that meet all conditions."""
        name, key = (table.target, sql.KEY) if isinstance(table, Table) else (table.name, table.key)
        there = self._columns(name)
        chosen = ", ".join(sql.quoted(one) if one in there else "NULL" for one in columns)
        return self._selected(name, key, chosen, where)

    def digests(self, table: Table, where: Sequence[Condition] = (NOT_DELETED,), *, keys: bool = True) -> Digests:
        """Return the number of rows that meet all conditions and the sum of their keys, read back from the table."""
        chosen = f"count(*), {sql.key_sum() if keys else 0}"
        found = self._selected(table.target, sql.KEY, chosen, where)
        return sum((Digests(int(rows), int(total)) for rows, total in found), Digests())

    def ask(self, query: str) -> QueryResult:
        """The answer to a query of one's own."""
        with self._usable():
            result = self._run(query)
            return QueryResult(tuple(column[0] for column in result.description or ()), result.fetchall())

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _selected(self, name: str, key: str, chosen: str, where: Sequence[Condition]) -> list[tuple[Any, ...]]:
        there = self._columns(name)
        conditions = resolved(where, there)
        if key not in there or conditions is None:
            return []
        values = [one.value for one in conditions if one.value is not None]
        with self._usable():
            return self._run(sql.select(self._name(name), chosen, conditions), values).fetchall()

    def _columns(self, table: str) -> dict[str, str]:
        """The columns of a table with their types; none if it is not there.

        They are remembered, since nobody else can change an open file, and to ask costs more than most statements.
        """
        if table not in self._seen_columns:
            self._seen_columns[table] = self._asked_columns(table)
        return self._seen_columns[table]

    def _asked_columns(self, table: str) -> dict[str, str]:
        rows = self._run(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(schema_name) = lower(?) "
            "AND lower(table_name) = lower(?) AND database_name = current_database() ORDER BY column_index",
            [self.dataset, table],
        ).fetchall()
        return dict(rows)

    def _exists(self, table: str) -> bool:
        return bool(self._columns(table))

    def _name(self, table: str) -> str:
        return f"{self._schema}.{sql.quoted(table)}"

    def _run(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        assert self._connection is not None, "`open` opens the file"  # noqa: S101 - a programmer's error
        return self._connection.execute(statement, list(values))

    def _reshape(self, statement: str) -> None:
        """Execute a statement that makes, changes or removes tables."""
        self._seen_columns.clear()
        self._run(statement)

    @contextmanager
    def _given(self, rows: pa.Table) -> Iterator[None]:
        """Within, statements know these rows as `given`."""
        assert self._connection is not None  # noqa: S101 - as above
        self._connection.register("given", rows)
        try:
            yield
        finally:
            self._connection.unregister("given")

    @staticmethod
    def _count(result: duckdb.DuckDBPyConnection) -> int:
        row = result.fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # what broke the transaction may have broken the connection too
                self._reshape("ROLLBACK")
            raise

    def _open(self) -> None:
        self._seen_columns.clear()
        try:
            self._connection = duckdb.connect(
                str(self.file),
                config={
                    "storage_compatibility_version": STORAGE,
                    **({"memory_limit": self._memory} if self._memory is not None else {}),
                    "threads": THREADS,
                    "preserve_insertion_order": False,
                    # nothing is fetched from elsewhere, not even to open a file that is another program's
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
                read_only=self._read_only,
            )
        except duckdb.Error as error:
            raise self._unavailable(str(error)) from None
        self._found = file_at(self.file)
        if not self._read_only:
            remove_left(self.file)
        # a schema called as the file is, as in customerio.duckdb, is found by its whole name only
        database = self._connection.execute("SELECT current_database()").fetchone()
        self._schema = f"{sql.quoted(str(database[0]))}.{sql.quoted(self.dataset)}" if database else self._schema

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, ValueError) as error:  # the latter from a position that nobody here has written
            raise DestinationUnavailableError(
                f"The dataset {self.dataset} in {self.file} cannot be used ({quoted(str(error).splitlines()[0])}).",
                "Choose another --dataset or file.",
            ) from None

    def _unavailable(self, said: str) -> DestinationUnavailableError:
        if "could not set lock" in said.lower():
            return DestinationUnavailableError(
                f"The DuckDB file {self.file} is open in another program.",
                "A sync may be running: look again later."
                if self._read_only
                else "Close it there (a notebook, a DuckDB shell, a viewer) and run again.",
            )
        return DestinationUnavailableError(
            f"The DuckDB file {self.file} cannot be opened ({quoted(said.splitlines()[0])}).",
            "Check that it is a DuckDB file and that you may write it, or name another with --to.",
        )

    def _require_room(self) -> None:
        folder = self.file.parent
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            raise DestinationUnavailableError(
                f"The folder {folder} of the DuckDB file does not exist.", "Make it, or name another file with --to."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DestinationUnavailableError(
                f"The folder {folder} of the DuckDB file cannot be written.",
                "Mend its permissions, or name another file with --to.",
            )


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path, so that one that was replaced is recognised; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino


T = TypeVar("T")

#: DuckDB writes groups of 122,880 rows straight into the file when one commit brings that many; smaller ones go through
#: its log, and are written again with each checkpoint until their group is full. Just under two groups costs a third
#: of what 50,000 rows a commit cost, and leaves groups so full that no checkpoint joins them (measured).
BATCH_ROWS = 240_000


class DuckDBBackend(DuckDBFile):
    """A dataset (schema) in a DuckDB file."""

    batch_rows = BATCH_ROWS

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Return the state of the copy. With an owner, make the copy if there is none."""
        if owner is None:
            return self.look()
        self._prepare(owner.now)
        for table in owner.recount:
            self._recount(table)
        return self._refresh()

    def _prepare(self, now: int) -> None:
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

    def write(self, batch: Batch | RunRows) -> Changes:
        """Merge the rows, apply deletions, move the checkpoint: all or nothing."""
        if isinstance(batch, RunRows):
            self._record(batch.shape, batch.rows)
            return Changes()
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
        self._refresh()
        return changes

    def probe(self) -> None:
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

    def _record(self, shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
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

    def erase(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people, versions and noted changes among them."""
        with self._usable():
            hits: dict[str, ErasureHits] = self._with_room(lambda result: self._blanked(table, people, result))
        self._refresh()
        return hits

    def _recount(self, table: Table) -> None:
        """Take what a table holds now for what was loaded into it, whoever has changed it meanwhile."""
        with self._usable(), self._transaction():
            facts = self._facts()
            if table.name in facts.expected:
                facts.expected[table.name] = self.digests(table)
                self._run(f"UPDATE {self._name(COPY)} SET commits = commits + 1, facts = ?", [expected.to_text(facts)])

    def drop(self, table: Table | None) -> None:
        """Remove a table with its changes, and forget its checkpoint; with None, the tables about the copy."""
        if table is None:
            with self._usable(), self._transaction():
                for name in (*(record.name for record in RECORDS), POSITIONS, COPY):
                    self._reshape(f"DROP TABLE IF EXISTS {self._name(name)}")
            self.state = NO_COPY
            return
        with self._usable(), self._transaction():
            for name in (table.target, table.target + CHANGES_SUFFIX):
                self._reshape(f"DROP TABLE IF EXISTS {self._name(name)}")
            self._run(f"DELETE FROM {self._name(POSITIONS)} WHERE table_name = ?", [table.name])
            facts = self._facts()
            facts.expected.pop(table.name, None)
            facts.found.pop(table.name, None)
            self._run(f"UPDATE {self._name(COPY)} SET commits = commits + 1, facts = ?", [expected.to_text(facts)])
        self._refresh()

    def _with_room(self, step: Callable[[list[T]], None]) -> T:
        """Do a step that is one commit; where it needs more memory, open the file anew with more and do it again.

        It leaves its result in a list before it commits.
        """
        before, result = self._identity().commits, list[T]()
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
        if result and self._identity().commits > before:  # it was only too much to tidy up after the commit
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
        commit = self._identity().commits + 1
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
        before = facts.expected.get(name) or self.digests(batch.table)
        declared = {column.name for column in batch.table.columns}
        facts.note_found(name, [column for column in batch.columns if column.name not in declared])
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
