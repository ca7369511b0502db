"""Looks at a copy without changing it: positions, counts, and the answers to queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.landing.position import Position, from_text
from cio_replicate.load.duckdb import COPY, POSITIONS
from cio_replicate.load.sql import KEY, quoted


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
            table: int(self.ask(f"SELECT count(*) FROM {self._name(table)} WHERE _cio_deleted_at IS NULL").rows[0][0])
            for table in tables
            if table in there
        }

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

    def _name(self, table: str) -> str:
        return f"{self._catalog}.{quoted(self._dataset)}.{quoted(table)}"
