"""The DuckDB destination: one transaction merges rows, marks deletions and moves the position."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.landing.position import Position, from_text, to_text
from cio_replicate.load import expected, sql, sql_modes
from cio_replicate.load.destination import Batch, Changes, Identity
from cio_replicate.load.expected import Facts, Keys
from cio_replicate.load.merge import Goal, Merge
from cio_replicate.settings.modes import Mode
from cio_replicate.tables.declare import Column, Table
from cio_replicate.tables.system import CHANGE_COLUMNS, CHANGES_SUFFIX, HISTORY_COLUMNS, SYSTEM_COLUMNS

#: A file in this format is also opened by DuckDB 1.x tools; DuckDB 1.5 cannot open the newer one (measured).
STORAGE = "v1.0.0"
#: What DuckDB may hold at first, with everything it remembers of the file: enough unless rows are large, and no slower
#: than more (measured). Then what it may hold where that did not do; and last as much as it takes by itself.
MEMORY, MORE_MEMORY = "90MB", "400MB"
#: More would be a little faster by the clock, but costs more in all, takes more memory, and each thread would leave row
#: groups of its own, which a checkpoint then joins by writing them again (measured).
THREADS = 1
COPY, POSITIONS = "_cio_copy", "_cio_positions"


class DuckDBDestination:
    """A dataset (schema) in a DuckDB file."""

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY) -> None:
        self.file = file
        self.dataset = dataset
        self._memory: str | None = memory
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._schema = sql.quoted(dataset)
        self._found: tuple[int, int] | None = None

    def look(self) -> Identity | None:
        """Open what is there without changing it; None when there is no copy yet. Fails when one cannot be made."""
        if not os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where one may not look
            self._require_room()
            return None
        self._open()
        return self.identity() if self._exists(COPY) else None

    def prepare(self, now: int) -> Identity:
        """Make the file, the schema and the tables of our own if they are missing."""
        if self._connection is None:
            self._open()
        there = self._columns(COPY)
        if there and "facts" not in there:  # a copy of an earlier version
            with self._usable():
                self._run(f"ALTER TABLE {self._name(COPY)} ADD COLUMN facts JSON")
        if not there:
            with self._usable(), self._transaction():
                self._run(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
                self._run(
                    f"CREATE TABLE {self._name(COPY)} "
                    "(copy_id VARCHAR, created_at TIMESTAMPTZ, commits BIGINT, facts JSON)"
                )
                self._run(
                    f"CREATE TABLE {self._name(POSITIONS)} "
                    "(table_name VARCHAR, position JSON, run_id VARCHAR, moved_at TIMESTAMPTZ)"
                )
                self._run(
                    f"INSERT INTO {self._name(COPY)} VALUES (?, to_timestamp(?), 0, NULL)", [uuid.uuid4().hex, now]
                )
        return self.identity()

    def identity(self) -> Identity:
        """Which copy this is and how many commits it has seen."""
        with self._usable():
            row = self._run(f"SELECT copy_id, commits FROM {self._name(COPY)}").fetchone()
        if row is None:
            raise DestinationUnavailableError(
                f"The copy in {self.file} has lost its record of itself (table {self.dataset}.{COPY} is empty).",
                "Choose another --dataset or file.",
            )
        return Identity(str(row[0]), int(row[1]))

    def positions(self) -> Mapping[str, Position]:
        """How far each table has been read."""
        with self._usable():
            rows = self._run(f"SELECT table_name, position FROM {self._name(POSITIONS)}").fetchall()
            return {name: from_text(text) for name, text in rows}

    def discovered(self, table: Table) -> Sequence[Column]:
        """The columns of a table that its declaration does not have, but the API once sent."""
        known = {column.name for column in (*table.columns, *SYSTEM_COLUMNS, *HISTORY_COLUMNS)}
        return [
            Column(name, sql.KINDS[kind], "Sent by the API though not in its documentation.", _path(table, name))
            for name, kind in self._columns(table.name).items()
            if name not in known and kind in sql.KINDS
        ]

    def find(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        synced_since: int | None = None,
        after: tuple[str, int] | None = None,
        live: bool = True,
    ) -> list[tuple[Any, ...]]:
        """The named columns of rows that are there: of these keys, written since, not before, not deleted."""
        there = self._columns(table.name)
        if sql.KEY not in there or (after is not None and after[0] not in there):
            return []
        statement = sql.find(
            self._name(table.name),
            columns,
            there,
            by_key=keys is not None,
            by_time=synced_since is not None,
            after=None if after is None else after[0],
            live=sql.live_rows(there) if live else None,
        )
        values = [*([] if keys is None else [list(keys)]), *([] if synced_since is None else [synced_since])]
        values += [] if after is None else [after[1]]
        with self._usable():
            return self._run(statement, values).fetchall()

    def count(self, table: Table, column: str, first: int, last: int) -> int:
        """How many rows that are not deleted have a moment in this column from `first` to `last`."""
        there = self._columns(table.name)
        if sql.KEY not in there or column not in there:
            return 0
        with self._usable():
            return self._count(
                self._run(sql.count_between(self._name(table.name), column, sql.live_rows(there)), [first, last])
            )

    def live(self, table: Table) -> int:
        """How many rows of a table are not deleted."""
        return self.held(table).rows

    def held(self, table: Table) -> Keys:
        """The keys of the live rows of a table, read back from it."""
        there = self._columns(table.name)
        if sql.KEY not in there:
            return Keys()
        statement = f"SELECT count(*), {sql.key_sum()} FROM {self._name(table.name)} WHERE {sql.live_rows(there)}"
        with self._usable():
            ((rows, total),) = self._run(statement).fetchall()
        return Keys() + Keys(int(rows), int(total))

    def expected(self, table: Table) -> Keys | None:
        """The keys that the live rows must have by what was loaded; None when that was not counted from the start."""
        with self._usable():
            return self._facts().expected.get(table.name)

    def write(self, batch: Batch) -> Changes:
        """Merge the rows, apply deletions, move the position: all or nothing."""
        try:
            changes = self._written(batch)
        except duckdb.Error as error:
            raise LoadError(
                f"DuckDB did not accept rows of {batch.table.name} ({str(error).splitlines()[0][:300]}).",
                "They stay landed; mend the cause and run again.",
            ) from None
        if self._found != _file_at(self.file):
            raise DestinationUnavailableError(
                f"The DuckDB file {self.file} was removed or replaced while it was written.",
                "Leave it alone while a sync runs, and run again: the next run finds out what is there.",
            )
        return changes

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _written(self, batch: Batch) -> Changes:
        """Write the batch; where it needs more memory, open the file anew with more and write it again."""
        before, changes = self.identity().commits, None
        try:
            self._fit(batch)
            with self._transaction():
                changes = self._write(batch)
        except duckdb.Error as error:
            if self._memory is None or not _lacks_memory(error) or self._found != _file_at(self.file):
                raise
        else:
            return changes
        self.close()
        self._memory = MORE_MEMORY if self._memory == MEMORY else None
        self._open()
        if changes is not None and self.identity().commits > before:  # it was only too much to tidy up after the commit
            return changes
        return self._written(batch)

    def _write(self, batch: Batch) -> Changes:
        name, facts = batch.table.name, self._facts()
        commit = self.identity().commits + 1
        goal = Goal(
            self._name(name),
            self._name(name + CHANGES_SUFFIX),
            batch.columns,
            batch.treatment,
            batch.run_id,
            commit,
        )
        merge, before = Merge(self._run, goal), facts.expected.get(name) or self.held(batch.table)
        if batch.files:
            merge.add([str(path) for path in batch.files])
        if batch.close is not None:
            if batch.close.seen is not None:
                live = sql.live_rows(self._columns(name))
                keys = f"SELECT {sql.KEY} FROM {goal.table} WHERE {live}"
                self._run(sql.gone(keys, [str(path) for path in batch.close.seen]))
                merge.remove_gone(batch.close.at)
            self._run(f"DELETE FROM {self._name(POSITIONS)} WHERE table_name = ?", [name])
            self._run(
                f"INSERT INTO {self._name(POSITIONS)} VALUES (?, ?, ?, to_timestamp(?))",
                [name, to_text(batch.close.position), batch.run_id, batch.close.at],
            )
        facts.expected[name] = before + merge.came - merge.went
        self._run(f"UPDATE {self._name(COPY)} SET commits = ?, facts = ?", [commit, expected.to_text(facts)])
        return merge.changes

    def _facts(self) -> Facts:
        row = self._run(f"SELECT facts FROM {self._name(COPY)}").fetchone()
        return expected.from_text(row[0] if row else None)

    def _fit(self, batch: Batch) -> None:
        """Make the tables of a batch, or bring them into the shape that its mode needs."""
        name, treatment = batch.table.name, batch.treatment
        columns = (*batch.columns, *SYSTEM_COLUMNS)
        there = self._columns(name)
        if there and sql.KEY not in there:
            raise LoadError(
                f"{self.dataset}.{name} exists in {self.file} and was not made by cio-replicate.",
                "Choose another --dataset, or move that table away.",
            )
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
            if treatment.mode is Mode.CHANGES:
                self._fit_table(name + CHANGES_SUFFIX, (*CHANGE_COLUMNS, *columns))
            if there and treatment.versions and not had_versions:
                self._run(sql_modes.first_versions(self._name(name)))
            for column in HISTORY_COLUMNS if had_versions and not treatment.versions else ():
                self._run(f"ALTER TABLE {self._name(name)} DROP COLUMN {sql.quoted(column.name)}")

    def _fit_table(self, name: str, columns: Sequence[Column]) -> None:
        """Make a table, or add the columns that it lacks."""
        target, there = self._name(name), self._columns(name)
        for statement in sql.create(target, columns) if not there else ():
            self._run(statement)
        for column in columns if there else ():
            if column.name not in there:
                for statement in sql.add(target, column):
                    self._run(statement)

    def _columns(self, table: str) -> dict[str, str]:
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
        assert self._connection is not None, "look() or prepare() opens the file"  # noqa: S101 - a programmer's error
        return self._connection.execute(statement, list(values))

    @staticmethod
    def _count(result: duckdb.DuckDBPyConnection) -> int:
        row = result.fetchone()
        return int(row[0]) if row else 0

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(duckdb.Error):  # what broke the transaction may have broken the connection too
                self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    def _open(self) -> None:
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
            )
        except duckdb.Error as error:
            raise self._unavailable(str(error)) from None
        self._found = _file_at(self.file)
        # a schema called as the file is, as in customerio.duckdb, is found by its whole name only
        database = self._connection.execute("SELECT current_database()").fetchone()
        self._schema = f"{sql.quoted(str(database[0]))}.{sql.quoted(self.dataset)}" if database else self._schema

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.Error, ValueError) as error:  # the latter from a position that nobody here has written
            raise DestinationUnavailableError(
                f"The dataset {self.dataset} in {self.file} cannot be used ({str(error).splitlines()[0][:200]}).",
                "Choose another --dataset or file.",
            ) from None

    def _unavailable(self, said: str) -> DestinationUnavailableError:
        if "could not set lock" in said.lower():
            return DestinationUnavailableError(
                f"The DuckDB file {self.file} is open in another program.",
                "Close it there (a notebook, a DuckDB shell, a viewer) and run again.",
            )
        return DestinationUnavailableError(
            f"The DuckDB file {self.file} cannot be opened ({said.splitlines()[0][:200]}).",
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


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _lacks_memory(error: duckdb.Error) -> bool:
    """Whether it says so: in a commit, and while it tidies up after one, the error is of another kind."""
    return isinstance(error, duckdb.OutOfMemoryException) or " used)" in str(error)


def _path(table: Table, name: str) -> tuple[str, ...]:
    """Where the value of a discovered column stands in a record: inside an object that is flattened, or on top."""
    for objects in table.objects:
        prefix = "__".join(objects) + "__"
        if name.startswith(prefix):
            return (*objects, name.removeprefix(prefix))
    return (name,)
