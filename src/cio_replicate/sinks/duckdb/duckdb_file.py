"""A dataset in a DuckDB file: opened, and asked what it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.base.quoting import quoted
from cio_replicate.schema.position import Checkpoint, from_text
from cio_replicate.schema.system_tables import COPY, POSITIONS
from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import StoredTable
from cio_replicate.sinks.expected import Digests
from cio_replicate.sinks.merge import statements as sql
from cio_replicate.sinks.merge.spilled import remove_left
from cio_replicate.sinks.port import CopyIdentity

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

    def look(self) -> CopyIdentity | None:
        """Open what is there without changing it; None when there is no copy yet. Fails when one cannot be made."""
        if not os.path.exists(self.file):  # noqa: PTH110 - Path.exists raises where one may not look
            if not self._read_only:
                self._require_room()
            return None
        self._open()
        return self.identity() if self._exists(COPY) else None

    def identity(self) -> CopyIdentity:
        """Which copy this is and how many commits it has seen."""
        with self._usable():
            row = self._run(f"SELECT copy_id, commits FROM {self._name(COPY)}").fetchone()
        if row is None:
            raise DestinationUnavailableError(
                f"The copy in {self.file} has lost its record of itself (table {self.dataset}.{COPY} is empty).",
                "Choose another --dataset or file.",
            )
        return CopyIdentity(str(row[0]), int(row[1]))

    def positions(self) -> Mapping[str, Checkpoint]:
        """How far each table has been read."""
        with self._usable():
            rows = self._run(f"SELECT table_name, position FROM {self._name(POSITIONS)}").fetchall()
            return {name: from_text(text) for name, text in rows}

    def find(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        synced_since: int | None = None,
        after: tuple[str, int] | None = None,
        among: tuple[str, Sequence[str]] | None = None,
        live: bool = True,
    ) -> list[tuple[Any, ...]]:
        """The named columns of rows that are there: of these keys, written since, not before, not deleted."""
        there = self._columns(table.target)
        named = [one[0] for one in (after, among) if one is not None]
        if sql.KEY not in there or any(name not in there for name in named):
            return []
        statement = sql.find(
            self._name(table.target),
            columns,
            there,
            by_key=keys is not None,
            by_time=synced_since is not None,
            after=None if after is None else after[0],
            among=None if among is None else among[0],
            live=sql.live_rows(there) if live else None,
        )
        values = [*([] if keys is None else [list(keys)]), *([] if synced_since is None else [synced_since])]
        values += [*([] if after is None else [after[1]]), *([] if among is None else [list(among[1])])]
        with self._usable():
            return self._run(statement, values).fetchall()

    def recorded(self, shape: StoredTable) -> list[dict[str, Any]]:
        """All rows of a table that `record` has written; none when it is not there."""
        names = [column.name for column in shape.columns]
        if not self._exists(shape.name):
            return []
        with self._usable():
            rows = self._run(f"SELECT {', '.join(map(sql.quoted, names))} FROM {self._name(shape.name)}").fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def count(self, table: Table, column: str, first: int, last: int) -> int:
        """How many rows that are not deleted have a moment in this column from `first` to `last`."""
        there = self._columns(table.target)
        if sql.KEY not in there or column not in there:
            return 0
        with self._usable():
            return self._count(
                self._run(sql.count_between(self._name(table.target), column, sql.live_rows(there)), [first, last])
            )

    def live(self, table: Table) -> int:
        """How many rows of a table are not deleted."""
        return self.held(table).rows

    def held(self, table: Table) -> Digests:
        """The keys of the live rows of a table, read back from it."""
        there = self._columns(table.target)
        if sql.KEY not in there:
            return Digests()
        statement = f"SELECT count(*), {sql.key_sum()} FROM {self._name(table.target)} WHERE {sql.live_rows(there)}"
        with self._usable():
            ((rows, total),) = self._run(statement).fetchall()
        return Digests() + Digests(int(rows), int(total))

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
        assert self._connection is not None, "look() or prepare() opens the file"  # noqa: S101 - a programmer's error
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
