"""DuckDB files as a table backend, and the merge in them: whole batches are compared and written by DuckDB itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.sinks import erasure
from cio_replicate.sinks.backend import ChangeSet, Condition, StoredTable, not_deleted
from cio_replicate.sinks.copy import BatchMerge, CopyRecord, CopySink, Merger, People, left_in
from cio_replicate.sinks.merge import table_merge as statements
from cio_replicate.sinks.merge.table_merge import (
    AS_IT_IS,
    Merge,
    StagedColumns,
    connected,
    keys_seen,
    remove_spilled,
)
from cio_replicate.sinks.port import Batch, Changes, Digests, ErasureHits
from cio_replicate.sinks.sql.sql_backend import Columns, Dialect, SqlBackend, Statement

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


DIALECT = Dialect(
    title="DuckDB",
    quote=statements.quoted,
    types=statements.TYPES,
    kinds=statements.KINDS,
    place=lambda _number: "?",
    as_text="{}::VARCHAR",
    true="{}",
    any_of="{} IN (SELECT unnest({}::VARCHAR[]))",
    nul_allowed=True,
    at_once=sys.maxsize,
)


class DuckDBBackend(SqlBackend):
    """A dataset (schema) in a DuckDB file. With `read_only` nothing can be changed, and others may read meanwhile.

    Raises DestinationUnavailableError when the file cannot be used now, as while another program writes it. Errors for
    want of memory leave as they are.
    """

    dialect = DIALECT
    rows_at_once = BATCH_ROWS
    whole_edits = True
    transactional = True

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY, read_only: bool = False) -> None:
        super().__init__(dataset, str(file))
        self.file = file
        self._memory: str | None = memory
        self._read_only = read_only
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._schema = statements.quoted(dataset)
        self._found: tuple[int, int] | None = None
        self._catalog: dict[str, dict[str, ColumnType | None]] | None = None  # the columns of each table
        self._reshaped: set[str] = set()  # tables of which they are to be asked for again
        self._within = False  # a transaction is open
        self._made_file = self._made_schema = False  # by this connection

    def accepts_name(self, name: str) -> bool:
        """Return True: a column can have any name."""
        return bool(name)

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        return f"{self._schema}.{statements.quoted(table)}"

    def digests(self, shape: StoredTable, conditions: Sequence[Condition]) -> Digests:
        """Return the number of the rows for which all conditions hold, and the sum of their keys."""
        found = Digests()
        for query in self._queries(shape, [statements.KEY], conditions, self.there(shape.name)):
            with self._usable():
                answer = self.run(f"SELECT count(*), {statements.key_sum()} FROM ({query.text})", query.values)
                ((rows, total),) = answer.fetchall()
            found += Digests(int(rows), int(total))
        return found

    def _connect(self) -> None:
        """Open the file if it is there. Fails when one cannot be made."""
        if os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where one may not look
            self._open()
        elif not self._read_only:
            self._require_room()

    def _columns(self, table: str) -> Columns:
        """Ask for all tables at once, as that costs no more; nobody else can change an open file."""
        if self._connection is None:
            return {}
        name = table.lower()
        if self._catalog is None:
            self._catalog = self._tables_like("%")
        elif name in self._reshaped:
            self._catalog[name] = self._tables_like(name).get(name, {})
        self._reshaped.discard(name)
        return self._catalog.get(name, {})

    def _tables_like(self, pattern: str) -> dict[str, dict[str, ColumnType | None]]:
        found: dict[str, dict[str, ColumnType | None]] = {}
        with self._usable():
            rows = self.run(
                "SELECT lower(table_name), column_name, data_type FROM duckdb_columns() "
                "WHERE database_name = current_database() AND lower(schema_name) = lower(?) "
                "AND lower(table_name) LIKE ? ORDER BY column_index",
                [self.dataset, pattern],
            ).fetchall()
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = self.dialect.kinds.get(kind)
        return found

    def _select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._usable():
            assert self._connection is not None  # noqa: S101 - else there are no columns
            rows = self._connection.sql(query.text, params=list(query.values) or None).to_arrow_table()
        yield from rows.rename_columns(schema.names).cast(schema).to_batches()

    def _write(self, edit: ChangeSet, there: Columns) -> None:
        shape = edit.shape
        target, key = self.target(shape.name), statements.quoted(shape.key)
        listed = ", ".join(statements.quoted(column.name) for column in shape.columns)
        with self._usable(), self.transaction(shape.name):
            if any(column.name not in there for column in shape.columns):
                self.fit(shape.name, shape.columns)
            rows = edit.rows.read_all()
            leaving = [*rows.column(shape.key).to_pylist(), *edit.gone.to_pylist()]
            if leaving:
                self.run(f"DELETE FROM {target} WHERE {key} IN (SELECT unnest(?))", [leaving])
            with self._given(given=rows):
                self.run(f"INSERT INTO {target} ({listed}) SELECT {listed} FROM given")

    def _drop(self, table: str) -> None:
        """Remove a table, and with the last one a schema that was made for it."""
        if self._connection is None:
            return
        with self._usable():
            self.reshape(table, f"DROP TABLE IF EXISTS {self.target(table)}")
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
                self._known.clear()
                self._catalog = None
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
        super().close()
        if self._connection is not None:
            with suppress(duckdb.Error):
                self._made_file = self._made_file and not self._tables("true")
            self._connection.close()
            self._connection = None
            if self._made_file:
                self.file.unlink(missing_ok=True)
            self._made_file = self._made_schema = False

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of one's own."""
        with self._usable():
            return self.run(query).fetchall()

    def more_memory(self, error: duckdb.Error) -> bool:
        """Open the file again with more memory, if an error was for want of it; whether that was done."""
        if self._memory is None or not _lacks_memory(error) or self._found != file_at(self.file):
            return False
        made = self._made_file, self._made_schema
        if self._connection is not None:
            self._connection.close()
        self._memory = MORE_MEMORY if self._memory == MEMORY else None
        self._open()
        self._made_file, self._made_schema = made
        return True

    def run(self, statement: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        """Execute a statement."""
        assert self._connection is not None, "`open` opens the file"  # noqa: S101 - a programmer's error
        return self._connection.execute(statement, list(values))

    def reshape(self, table: str, *changes: str) -> None:
        """Execute statements that make, change or remove a table."""
        self._known.pop(table, None)
        self._reshaped.add(table.lower())
        self.run("; ".join(changes))

    def fit(self, table: str, columns: Sequence[Column]) -> None:
        """Make a table, or add the columns that it lacks."""
        target, there = self.target(table), self.there(table)
        changes = []
        if not there:
            if not self.run(
                "SELECT 1 FROM duckdb_schemas() WHERE lower(schema_name) = lower(?) "
                "AND database_name = current_database()",
                [self.dataset],
            ).fetchall():
                self._made_schema = True
            changes = [f"CREATE SCHEMA IF NOT EXISTS {self._schema}", statements.create(target, columns)]
        for column in columns:
            name = statements.quoted(column.name)
            if there and column.name not in there:
                changes.append(f"ALTER TABLE {target} ADD COLUMN {name} {statements.TYPES[column.type]}")
            if column.name not in there:
                changes.append(f"COMMENT ON COLUMN {target}.{name} IS {statements.literal(column.about)}")
        if changes:
            self.reshape(table, *changes)

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
        self._known.clear()
        self._catalog = None
        self._made_file = not os.path.exists(self.file)  # noqa: PTH110 - as above
        try:
            memory = {"memory_limit": self._memory} if self._memory is not None else {}
            self._connection = connected(
                self.file,
                read_only=self._read_only,
                storage_compatibility_version=STORAGE,
                threads=THREADS,
                **memory,
            )
        except duckdb.Error as error:
            raise self._unavailable(str(error)) from None
        self._found = file_at(self.file)
        if not self._read_only:
            remove_spilled(self.file)
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
                "Choose another ‹dataset› or file.",
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
            "Check that it is a DuckDB file and that you may write it, or name another with ‹to›.",
        )

    def _require_room(self) -> None:
        folder = self.file.parent
        if not os.path.isdir(folder):  # noqa: PTH112 - as above
            raise DestinationUnavailableError(
                f"The folder {folder} of the DuckDB file does not exist.", "Make it, or name another file with ‹to›."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DestinationUnavailableError(
                f"The folder {folder} of the DuckDB file cannot be written.",
                "Mend its permissions, or name another file with ‹to›.",
            )


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path, so that one that was replaced is recognised; None when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return found.st_dev, found.st_ino


class DuckDBSink(CopySink):
    """A copy in a DuckDB file."""

    def __init__(self, file: Path, dataset: str, *, memory: str = MEMORY, read_only: bool = False) -> None:
        self.backend = DuckDBBackend(file, dataset, memory=memory, read_only=read_only)
        super().__init__(self.backend, DuckDBMerger(self.backend), dataset, str(file), elsewhere="‹dataset› or file")


class DuckDBMerger(Merger):
    """Merges batches in the file itself, with no digests: columns are compared."""

    refusal = "DuckDB did not accept rows of {table} ({why})."
    oldest = 1

    def __init__(self, backend: DuckDBBackend) -> None:
        self._backend = backend

    def fit(self, batch: Batch, copy: CopyRecord, save: Callable[[], None]) -> None:
        """Make the tables of a batch, or bring them into the layout of its mode."""
        backend, name, treatment, facts = self._backend, batch.table.target, batch.treatment, copy.facts
        columns = (*batch.columns, *SYSTEM_COLUMNS)
        there = backend.there(name)
        if there and statements.KEY not in there:
            raise LoadError(
                f"{backend.dataset}.{name} exists in {backend.file} and was not made by cio-replicate.",
                "Choose another ‹dataset›, or move that table away.",
            )
        _require_place(batch, there)
        had_versions = "_cio_is_current" in there
        if had_versions and not treatment.versions:
            ((ended,),) = backend.run(statements.count_ended(backend.target(name))).fetchall()
            if ended:
                raise LoadError(
                    f"{name} holds {ended} ended versions of its rows, which the mode {treatment.mode} would lose.",
                    f"Keep ‹mode› {name}=history, choose another ‹dataset›, or drop the table first.",
                )
        with backend.transaction(name):
            backend.fit(name, (*columns, *(HISTORY_COLUMNS if treatment.versions else ())))
            if treatment.mode is WriteMode.CHANGES:
                backend.fit(name + CHANGES_SUFFIX, (*CHANGE_COLUMNS, *columns))
            if there and treatment.versions and not had_versions:
                backend.run(statements.first_versions(backend.target(name)))
            for column in HISTORY_COLUMNS if had_versions and not treatment.versions else ():
                backend.reshape(
                    name, f"ALTER TABLE {backend.target(name)} DROP COLUMN {statements.quoted(column.name)}"
                )
            if (batch.table.name in facts.versions) is not treatment.versions:
                facts.versions = [one for one in facts.versions if one != batch.table.name]
                facts.versions += [batch.table.name] * treatment.versions
                save()

    def live(self, table: Table, copy: CopyRecord) -> Digests:
        """The keys of the live rows of a table."""
        _ = copy
        shape = StoredTable(table.target, SYSTEM_COLUMNS, statements.KEY)
        return self._backend.digests(shape, [not_deleted(self._backend.there(table.target))])

    def digests(self, shape: StoredTable, where: Sequence[Condition]) -> Digests:
        """The keys of the rows that meet all conditions, computed by DuckDB."""
        return self._backend.digests(shape, where)

    def merge(self, batch: Batch, aside: Sequence[Column], before: Digests, copy: CopyRecord) -> BatchMerge:
        """Return the merge of a batch, which does nothing before it is written."""
        _ = aside
        return DuckDBMerge(self._backend, batch, before, copy)

    def erase(self, table: Table, people: People, copy: CopyRecord, commits: int) -> dict[str, ErasureHits]:
        """Empty what may be personal in all rows about these people."""
        _ = copy, commits
        backend, found = self._backend, {}
        erasure.note_people(backend.run, people)
        for name in (table.target, table.target + CHANGES_SUFFIX):
            there = backend.there(name)
            if erasure.named_by(table, there):
                backend.run(erasure.note_rows(backend.target(name), table, there))
                found[name] = erasure.erasure_hits(backend.run, backend.target(name))
                backend.run(erasure.blank_rows(backend.target(name), table, there))
        return found

    def makes_room(self, error: duckdb.Error) -> bool:
        """Open the file with more memory, if that is what was lacking."""
        return self._backend.more_memory(error)


class DuckDBMerge(BatchMerge):
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
        table, changes = backend.target(batch.table.target), backend.target(batch.table.target + CHANGES_SUFFIX)
        blanks = self._blanks(left)
        merge = Merge(run, batch, self._copy.commits + 1, blanks, table=table, changes=changes, left=left)
        if batch.files:
            merge.add([str(path) for path in batch.files])
        live = statements.live_rows(backend.there(batch.table.target))
        keys = f"SELECT {statements.KEY} FROM {table} WHERE {live}"
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
        if not self._backend.there(ERASURES.name):
            return AS_IT_IS
        columns, erased = (*self._batch.columns, *left), self._backend.target(ERASURES.name)
        return StagedColumns(blanked=erasure.stays_blank(self._batch.table, columns, erased))


def _require_place(batch: Batch, there: Columns) -> None:
    """Raise LoadError when rules for columns want in a table that is there what it cannot take."""
    name, folded = batch.table.name, {one.casefold(): one for one in there}
    fix = f"Give ‹columns› as before, or `cio-replicate drop {name}` and sync it anew."
    for column in batch.columns:
        same = folded.get(column.name.casefold(), column.name)
        if same != column.name:
            raise LoadError(f"The copy of {name} has a column {same}, and cannot have {column.name} beside it.", fix)
        kind = there.get(column.name) or ColumnType.STRING
        if column.type is ColumnType.STRING and kind not in (ColumnType.STRING, ColumnType.JSON):
            raise LoadError(
                f"The column {column.name} of {name} is to hold text now, and is of the type {kind} in the copy.", fix
            )


def _lacks_memory(error: duckdb.Error) -> bool:
    """Whether it says so: in a commit, and while it tidies up after one, the error is of another kind."""
    return isinstance(error, duckdb.OutOfMemoryException) or " used)" in str(error)
