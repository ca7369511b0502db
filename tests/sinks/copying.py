"""Writes into a copy, and reads rows by their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.port import Batch, Changes, Owner, Sink
from tests.duckdb_files import duckdb_file
from tests.sinks.pages import AT


def write(destination: Sink, *batches: Batch) -> Changes:
    """Look, prepare, write and close; what the last batch changed."""
    changes = Changes()
    try:
        destination.open()
        destination.open(Owner(AT))
        for batch in batches:
            changes = destination.write(batch)
    finally:
        destination.close()
    return changes


def query(file: Path, statement: str) -> list[dict[str, Any]]:
    """The rows of a query on a DuckDB file."""
    with duckdb_file(file) as connection:
        result = connection.execute(statement)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def by_key(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows by their `_cio_key`, of which none may stand twice."""
    found = {str(row["_cio_key"]): row for row in rows}
    assert len(found) == len(rows), "a key stands twice"
    return found


def alone(store: TableBackend) -> TableBackend:
    """The store with nothing around it."""
    return store
