"""Counts what a copy holds, so that nothing fast and wrong is measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from cio_replicate.source.catalog import names

SCHEMA = "customerio"


class WrongCopyError(RuntimeError):
    """A copy does not hold what the source has, so its figures would mean nothing."""


def rows_of(file: Path, expected: Mapping[str, int]) -> int:
    """The rows of all tables in a copy, those marked as deleted left out.

    Raises WrongCopyError unless each table in `expected` has so many rows, and as many keys.
    """
    with duckdb.connect(str(file), read_only=True) as connection:
        there = {table for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        counts = {table: _count(connection, table) for table in names() if table in there}
    wrong = {table: counts.get(table) for table, rows in expected.items() if counts.get(table) != (rows, rows)}
    if wrong:
        raise WrongCopyError(f"The copy has (rows, keys) {wrong}, the source {dict(expected)} rows.")
    return sum(rows for rows, _ in counts.values())


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    columns = {name for (name,) in connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = ? AND table_name = ?", [SCHEMA, table]
    ).fetchall()}  # fmt: skip
    key = next((name for name in ("_cio_key", "id") if name in columns), "rowid")
    alive = " WHERE _cio_deleted_at IS NULL" if "_cio_deleted_at" in columns else ""
    query = f'SELECT count(*), count(DISTINCT "{key}") FROM "{SCHEMA}"."{table}"{alive}'
    rows, keys = connection.execute(query).fetchall()[0]
    return int(rows), int(keys)
