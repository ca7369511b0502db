"""DuckDB files as a table backend, and the merge in them: whole batches are compared and written by DuckDB itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.base.text import quoted
from cio_replicate.config.table_options import WriteMode
from cio_replicate.schema.system_tables import (
    CHANGE_COLUMNS,
    CHANGES_SUFFIX,
    ERASURES,
    HISTORY_COLUMNS,
    SYSTEM_COLUMNS,
)
from cio_replicate.schema.table import Column, ColumnType, Table, schema_for
from cio_replicate.sinks import erasure
from cio_replicate.sinks.backend import NOT_DELETED, ChangeSet, Condition, StoredTable, resolved
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.merge import statements
from cio_replicate.sinks.merge.change_sets import Merge, MergeTarget, keys_seen, left_in
from cio_replicate.sinks.merge.digest_index import remove_left
from cio_replicate.sinks.merge.index_merger import CopyRecord, TableMerge
from cio_replicate.sinks.merge.statements import AS_IT_IS, StagedColumns
from cio_replicate.sinks.port import Batch, Changes, Digests, ErasureHits, PendingCommit

#: A file in this format is also opened by DuckDB 1.x tools; DuckDB 1.5 cannot open the newer one (measured).
STORAGE = "v1.0.0"
#: What DuckDB may hold at first, with everything it remembers of the file: enough unless rows are large, and no slower
#: than more (measured). Then what it may hold where that did not do; and last as much as it takes by itself.
MEMORY, MORE_MEMORY = "90MB", "400MB"
#: More would be a little faster by the clock, but costs more in all, takes more memory, and each thread would leave row
#: groups of its own, which a checkpoint then joins by writing them again (measured).
THREADS = 1


#: DuckDB writes groups of 122,880 rows straight into the file when one commit brings that many; smaller ones go through
#: its log, and are written again with each checkpoint until their group is full. Just under two groups costs a third
#: of what 50,000 rows a commit cost, and leaves groups so full that no checkpoint joins them (measured).
BATCH_ROWS = 240_000


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows that a query gave, and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class DuckDBBackend:
    """A dataset (schema) in a DuckDB file. With `read_only` nothing can be changed, and others may read meanwhile.

    Raises DestinationUnavailableError when the file cannot be used now, as while another program writes it. Errors for
    want of memory leave as they are.
    """

    rows_at_once = BATCH_ROWS
    whole_edits = True
    transactional = True

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY, read_only: bool = False) -> None:
        self.file = file
        self.dataset = dataset
        self._memory: str | None = memory
        self._read_only = read_only
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._schema = statements.quoted(dataset)
        self._found: tuple[int, int] | None = None
        self._types: dict[str, dict[str, str] | None] | None = None  # by lower-case table; None: to be asked again
        self._within = False  # a transaction is open
        self._made_file = self._made_schema = False  # by this connection

    def accepts_name(self, name: str) -> bool:
        """Return True: a column can have any name."""
        return bool(name)

    def open(self) -> None:
        """Open the file if it is there. Fails when one cannot be made."""
        if os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where one may not look
            self._open()
        elif not self._read_only:
            self._require_room()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        return {name: statements.KINDS.get(kind, ColumnType.STRING) for name, kind in self.types(table).items()}

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, in the Arrow types of the shape's columns."""
        found = [shape.column(name) for name in columns]
        there, schema = self.types(shape.name), schema_for(found)
        types = statements.TYPES | _PLAIN
        chosen = [f"{statements.quoted(one.name) if one.name in there else 'NULL'}::{types[one.type]}" for one in found]
        query = self._query(shape, ", ".join(f"{one} AS c{number}" for number, one in enumerate(chosen)), conditions)
        if query is None:
            return schema.empty_table().to_reader()
        with self._usable():
            assert self._connection is not None  # noqa: S101 - else there are no types
            rows = self._connection.sql(query[0], params=query[1] or None).to_arrow_table()
        return rows.rename_columns(list(columns)).cast(schema).to_reader()

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        return self.digests(shape, conditions, keys=False).rows

    def digests(self, shape: StoredTable, conditions: Sequence[Condition], *, keys: bool = True) -> Digests:
        """Return the number of the rows for which all conditions hold, and with `keys` the sum of their keys."""
        query = self._query(shape, f"count(*), {statements.key_sum() if keys else 0}", conditions)
        if query is None:
            return Digests()
        with self._usable():
            ((rows, total),) = self.run(*query).fetchall()
        return Digests() + Digests(int(rows), int(total))

    def write(self, edit: ChangeSet) -> None:
        """Put the rows in the place of those with the same key, or add them; remove those that are gone."""
        shape = edit.shape
        target, key = self.name(shape.name), statements.quoted(shape.key)
        listed = ", ".join(statements.quoted(column.name) for column in shape.columns)
        with self._usable(), self.transaction(shape.name):
            self.fit(shape.name, shape.columns)
            rows = edit.rows.read_all()
            leaving = [*rows.column(shape.key).to_pylist(), *edit.gone.to_pylist()]
            if leaving:
                self.run(f"DELETE FROM {target} WHERE {key} IN (SELECT unnest(?))", [leaving])
            with self._given(given=rows):
                self.run(f"INSERT INTO {target} ({listed}) SELECT {listed} FROM given")

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there. A schema that was made for it goes with the last one."""
        if self._connection is None:
            return
        with self._usable():
            self.reshape(table, f"DROP TABLE IF EXISTS {self.name(table)}")
            if self._made_schema and not self._tables("schema_name = ?", self.dataset):
                self.run(f"DROP SCHEMA {self._schema}")
                self._made_schema = False

    @contextmanager
    def transaction(self, table: str) -> Iterator[None]:
        """All that is written inside becomes one commit, or nothing."""
        _ = table
        if self._within:
            yield
            return
        if self._connection is None:
            self._open()
        self.run("BEGIN")
        self._within = True
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # what broke the transaction may have broken the connection too
                self._types = None
                self.run("ROLLBACK")
            raise
        finally:
            self._within = False
        if self._found != file_at(self.file):
            raise DestinationUnavailableError(
                f"The DuckDB file {self.file} was removed or replaced while it was written.",
                "Leave it alone while a sync runs, and run again: the next run finds out what is there.",
            )

    def close(self) -> None:
        """Let go of the file; one that was made and holds nothing goes."""
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._made_file = self._made_file and not self._tables("true")
            self._connection.close()
            self._connection = None
            if self._made_file:
                self.file.unlink(missing_ok=True)
            self._made_file = self._made_schema = False

    def ask(self, query: str) -> QueryResult:
        """The answer to a query of one's own."""
        with self._usable():
            result = self.run(query)
            return QueryResult(tuple(column[0] for column in result.description or ()), result.fetchall())

    def more_memory(self, error: duckdb.Error) -> bool:
        """Open the file anew with more memory, if an error was for want of it; whether that was done."""
        if self._memory is None or not _lacks_memory(error) or self._found != file_at(self.file):
            return False
        made = self._made_file, self._made_schema
        if self._connection is not None:
            self._connection.close()
        self._memory = MORE_MEMORY if self._memory == MEMORY else None
        self._open()
        self._made_file, self._made_schema = made
        return True

    def types(self, table: str) -> dict[str, str]:
        """The columns of a table with DuckDB's types; none if it is not there.

        They are remembered, since nobody else can change an open file, and to ask costs more than most statements.
        """
        if self._connection is None:
            return {}
        name = table.lower()
        if self._types is None:
            self._types = dict(self._found_types("true"))
        found = self._types.get(name, {})
        if found is None:
            found = self._types[name] = self._found_types("lower(table_name) = ?", name).get(name, {})
        return found

    def _found_types(self, condition: str, *values: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        with self._usable():
            rows = self.run(
                "SELECT lower(table_name), column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = current_database() AND lower(schema_name) = lower(?) "
                f"AND {condition} ORDER BY column_index",
                [self.dataset, *values],
            ).fetchall()
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = kind
        return found

    def name(self, table: str) -> str:
        """The whole name of a table, quoted."""
        return f"{self._schema}.{statements.quoted(table)}"

    def run(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Execute a statement."""
        assert self._connection is not None, "`open` opens the file"  # noqa: S101 - a programmer's error
        return self._connection.execute(statement, list(values))

    def reshape(self, table: str, *changes: str) -> None:
        """Execute statements that make, change or remove a table."""
        self.run("; ".join(changes))
        if self._types is not None:
            self._types[table.lower()] = None

    def fit(self, table: str, columns: Sequence[Column]) -> None:
        """Make a table, or add the columns that it lacks."""
        target, there = self.name(table), self.types(table)
        if not there:
            if not self.run(
                "SELECT 1 FROM duckdb_schemas() WHERE lower(schema_name) = lower(?) "
                "AND database_name = current_database()",
                [self.dataset],
            ).fetchall():
                self._made_schema = True
            self.reshape(table, f"CREATE SCHEMA IF NOT EXISTS {self._schema}", *statements.create(target, columns))
            return
        for column in columns:
            if column.name not in there:
                self.reshape(table, *statements.add(target, column))

    def _query(self, shape: StoredTable, chosen: str, where: Sequence[Condition]) -> tuple[str, list[object]] | None:
        """A query on a table, and its values; None when it gives no rows."""
        there = self.types(shape.name)
        conditions = resolved(where, there)
        if shape.key not in there or conditions is None:
            return None
        values: list[object] = [one.value for one in conditions if one.value is not None]
        return statements.select(self.name(shape.name), chosen, conditions), values

    def _tables(self, where: str, *values: str) -> bool:
        query = f"SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND {where} LIMIT 1"
        return bool(self.run(query, values).fetchall())

    @contextmanager
    def _given(self, **tables: pa.Table) -> Iterator[None]:
        """Within, statements know these tables by name."""
        assert self._connection is not None  # noqa: S101 - as above
        for name, rows in tables.items():
            self._connection.register(name, rows)
        try:
            yield
        finally:
            for name in tables:
                self._connection.unregister(name)

    def _open(self) -> None:
        self._types = None
        self._made_file = not os.path.exists(self.file)  # noqa: PTH110 - as above
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
        self._schema = (
            f"{statements.quoted(str(database[0]))}.{statements.quoted(self.dataset)}" if database else self._schema
        )

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            if _lacks_memory(error):
                raise
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


#: JSON comes as its text.
_PLAIN = {ColumnType.JSON: "VARCHAR"}


class DuckDBSink(CopySink):
    """A copy in a DuckDB file."""

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY, read_only: bool = False) -> None:
        self.backend = DuckDBBackend(file, dataset, memory=memory, read_only=read_only)
        super().__init__(self.backend, DuckDBMerger(self.backend), dataset, str(file), elsewhere="--dataset or file")


class DuckDBMerger:
    """Merges batches in the file itself, with no digests: columns are compared."""

    refusal = "DuckDB did not accept rows of {table} ({why})."
    nul_allowed = True
    oldest = 1

    def __init__(self, backend: DuckDBBackend) -> None:
        self._backend = backend

    def fit(self, batch: Batch, copy: CopyRecord, save: Callable[[], None]) -> None:
        """Make the tables of a batch, or bring them into the layout of its mode."""
        backend, name, treatment, facts = self._backend, batch.table.target, batch.treatment, copy.facts
        columns = (*batch.columns, *SYSTEM_COLUMNS)
        there = backend.types(name)
        if there and statements.KEY not in there:
            raise LoadError(
                f"{backend.dataset}.{name} exists in {backend.file} and was not made by cio-replicate.",
                "Choose another --dataset, or move that table away.",
            )
        _require_place(batch, there)
        had_versions = "_cio_is_current" in there
        if had_versions and not treatment.versions:
            ((ended,),) = backend.run(statements.count_ended(backend.name(name))).fetchall()
            if ended:
                raise LoadError(
                    f"{name} holds {ended} ended versions of its rows, which the mode {treatment.mode} would lose.",
                    f"Keep --mode {name}=history, choose another --dataset, or drop the table first.",
                )
        with backend.transaction(name):
            backend.fit(name, (*columns, *(HISTORY_COLUMNS if treatment.versions else ())))
            if treatment.mode is WriteMode.CHANGES:
                backend.fit(name + CHANGES_SUFFIX, (*CHANGE_COLUMNS, *columns))
            if there and treatment.versions and not had_versions:
                backend.run(statements.first_versions(backend.name(name)))
            for column in HISTORY_COLUMNS if had_versions and not treatment.versions else ():
                backend.reshape(name, f"ALTER TABLE {backend.name(name)} DROP COLUMN {statements.quoted(column.name)}")
            if (batch.table.name in facts.versions) is not treatment.versions:
                facts.versions = [one for one in facts.versions if one != batch.table.name]
                facts.versions += [batch.table.name] * treatment.versions
                save()

    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """The keys of the live rows of a table."""
        _ = copy
        shape = StoredTable(table.target, SYSTEM_COLUMNS, statements.KEY)
        return self._backend.digests(shape, [NOT_DELETED])

    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """The keys of the rows that meet all conditions, computed by DuckDB."""
        return self._backend.digests(shape, where)

    def together(self) -> AbstractContextManager[None]:
        """Do nothing: nothing is remembered beside the file."""
        return nullcontext()

    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> TableMerge:
        """Return the merge of a batch, which does nothing before it is written."""
        _ = aside
        return DuckDBMerge(self._backend, batch, before, copy)

    def erase(
        self, table: Table, people: Mapping[str, Sequence[str]], copy: CopyRecord, commits: int
    ) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people."""
        _ = copy, commits
        backend, found = self._backend, {}
        erasure.note_people(backend.run, people)
        for name in (table.target, table.target + CHANGES_SUFFIX):
            there = backend.types(name)
            if erasure.named_by(table, there):
                backend.run(erasure.note_rows(backend.name(name), table, there))
                found[name] = erasure.erasure_hits(backend.run, backend.name(name))
                backend.run(erasure.blank_rows(backend.name(name), table, there))
        return found

    def settle(self, pending: PendingCommit, copy: CopyRecord) -> None:
        """Do nothing: a commit is whole."""

    def forget(self, table: str) -> None:
        """Do nothing: nothing is remembered."""

    def advance(self, copy_id: str, before: int, after: int) -> None:
        """Do nothing: nothing is remembered."""

    def erasures_changed(self) -> None:
        """Do nothing: the record is read with each batch."""

    def makes_room(self, error: duckdb.Error) -> bool:
        """Open the file with more memory, if that is what was lacking."""
        return self._backend.more_memory(error)

    def close(self) -> None:
        """Do nothing: there is nothing beside the file."""


class DuckDBMerge:
    """One batch, merged into the file as it is written."""

    writes = True

    def __init__(self, backend: DuckDBBackend, batch: Batch, before: Digests, copy: CopyRecord) -> None:
        self._backend = backend
        self._batch = batch
        self._copy = copy
        self.changes = Changes()
        self.after = before

    def write(self) -> None:
        """Merge the pages into the table, and take out what is gone."""
        backend, batch, run = self._backend, self._batch, self._backend.run
        left = left_in(backend, batch.table, batch.columns, self._copy.facts)
        goal = MergeTarget(
            backend.name(batch.table.target),
            backend.name(batch.table.target + CHANGES_SUFFIX),
            batch.columns,
            left,
            batch.treatment,
            batch.run_id,
            self._copy.commits + 1,
        )
        merge = Merge(run, goal, self._blanks(left))
        if batch.files:
            merge.add([str(path) for path in batch.files])
        keys = (
            f"SELECT {statements.KEY} FROM {goal.table} WHERE {statements.live_rows(backend.types(batch.table.target))}"
        )
        whole = None
        if batch.close is not None and batch.close.seen is not None:
            seen = [str(path) for path in batch.close.seen]
            run(statements.gone(keys, seen))
            merge.remove_gone(batch.close.at)
            whole = keys_seen(run, seen)
        elif batch.gone is not None:
            run(statements.known_gone(keys), [list(batch.gone)])
            merge.remove_gone(batch.gone_at)
        self.changes = merge.changes
        self.after = self.after + merge.came - merge.went if whole is None else whole

    def _blanks(self, left: Sequence[Column]) -> StagedColumns:
        """What is left out of the rows of a batch, since it is about people who were erased."""
        if not self._backend.types(ERASURES.name):
            return AS_IT_IS
        columns, erased = (*self._batch.columns, *left), self._backend.name(ERASURES.name)
        return StagedColumns(blanked=erasure.stays_blank(self._batch.table, columns, erased))


def _require_place(batch: Batch, there: Mapping[str, str]) -> None:
    """Raise LoadError when rules for columns want in a table that is there what it cannot take."""
    name, folded = batch.table.name, {one.casefold(): one for one in there}
    fix = f"Give --columns as before, or `cio-replicate drop {name}` and sync it anew."
    for column in batch.columns:
        same = folded.get(column.name.casefold(), column.name)
        if same != column.name:
            raise LoadError(f"The copy of {name} has a column {same}, and cannot have {column.name} beside it.", fix)
        kind = statements.KINDS.get(there.get(column.name, ""), ColumnType.STRING)
        if column.type is ColumnType.STRING and kind not in (ColumnType.STRING, ColumnType.JSON):
            raise LoadError(
                f"The column {column.name} of {name} is to hold text now, and is of the type {kind} in the copy.", fix
            )


def _lacks_memory(error: duckdb.Error) -> bool:
    """Whether it says so: in a commit, and while it tidies up after one, the error is of another kind."""
    return isinstance(error, duckdb.OutOfMemoryException) or " used)" in str(error)
