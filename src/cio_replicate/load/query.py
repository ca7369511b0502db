"""Looks at a copy without changing it: positions, counts, and the answers to queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.landing.position import Position, from_text
from cio_replicate.load import sql
from cio_replicate.load.duckdb import COPY, POSITIONS
from cio_replicate.load.sql import KEY, quoted
from cio_replicate.tables.declare import Table


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows that a query gave, and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class CopyReader:
    """One dataset in a DuckDB file, opened to read. Use as a context manager.

    Raises DestinationUnavailableError when the file cannot be read now, as while another program writes it.
    """

    def __init__(self, file: Path, dataset: str) -> None:
        self._file = file
        self._dataset = dataset

    def __enter__(self) -> Self:
        try:
            self._connection = duckdb.connect(str(self._file), read_only=True)
        except duckdb.Error as error:
            said = str(error)
            if "lock" in said.lower():
                raise DestinationUnavailableError(
                    f"The DuckDB file {self._file} is open in another program.",
                    "A sync may be running: look again later.",
                ) from None
            raise DestinationUnavailableError(
                f"The DuckDB file {self._file} cannot be read ({said.splitlines()[0][:200]}).", "Check --to."
            ) from None
        found = self._connection.execute("SELECT current_database()").fetchone()
        self._catalog = quoted(found[0] if found else self._file.stem)  # file and schema may have the same name
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def exists(self) -> bool:
        """Whether the dataset is a copy."""
        return COPY in self._tables()

    def positions(self) -> Mapping[str, Position]:
        """How far each table has been read."""
        rows = self.ask(f"SELECT table_name, position FROM {self._name(POSITIONS)}").rows
        return {name: from_text(text) for name, text in rows}

    def counts(self, tables: Iterable[str]) -> Mapping[str, int]:
        """How many rows of each table exist; rows marked deleted do not. Tables that are not there are left out."""
        there = self._tables()
        return {
            table: int(
                self.ask(f"SELECT count(*) FROM {self._name(table)} WHERE {sql.live_rows(self._columns(table))}").rows[
                    0
                ][0]
            )
            for table in tables
            if table in there
        }

    def live(self, table: Table) -> int:
        """How many rows of a table are not deleted."""
        return self.counts([table.name]).get(table.name, 0)

    def count(self, table: Table, column: str, first: int, last: int) -> int:
        """How many rows that are not deleted have a moment in this column from `first` to `last` (unix seconds)."""
        there = self._columns(table.name)
        if column not in there:
            return 0
        statement = sql.count_between(self._name(table.name), column, sql.live_rows(there))
        return int(self._connection.execute(statement, [first, last]).fetchall()[0][0])

    def find(
        self, table: Table, columns: Sequence[str], *, after: tuple[str, int] | None = None
    ) -> list[tuple[Any, ...]]:
        """The columns of rows that are not deleted and whose moment in a column is not before one (unix seconds)."""
        there = self._columns(table.name)
        if sql.KEY not in there or (after is not None and after[0] not in there):
            return []
        since = None if after is None else after[0]
        statement = sql.find(
            self._name(table.name), columns, there, by_key=False, by_time=False, after=since, live=sql.live_rows(there)
        )
        return self._connection.execute(statement, [] if after is None else [after[1]]).fetchall()

    def ask(self, query: str) -> Answer:
        """The answer to a query."""
        result = self._connection.execute(query)
        return Answer(tuple(column[0] for column in result.description or ()), result.fetchall())

    def _tables(self) -> set[str]:
        """The tables of the dataset that a sync made; somebody else's say nothing about the copy."""
        rows = self._connection.execute(
            "SELECT DISTINCT table_name FROM duckdb_columns() WHERE lower(schema_name) = lower(?) "
            "AND database_name = current_database() AND (column_name = ? OR table_name IN (?, ?))",
            [self._dataset, KEY, COPY, POSITIONS],
        ).fetchall()
        return {row[0] for row in rows}

    def _columns(self, table: str) -> dict[str, str]:
        rows = self._connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(schema_name) = lower(?) "
            "AND table_name = ? AND database_name = current_database()",
            [self._dataset, table],
        ).fetchall()
        return dict(rows)

    def _name(self, table: str) -> str:
        return f"{self._catalog}.{quoted(self._dataset)}.{quoted(table)}"
