"""DuckDB files as somebody else reads and changes them, in one instance: to start one costs more than most queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb

from cio_replicate.sinks.merge.statements import literal, quoted


@contextmanager
def duckdb_file(file: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which the file is the current database, under its name without the ending."""
    connection = attached(file, read_only=read_only)
    try:
        yield connection
    finally:
        detach(connection, file)


def attached(file: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """The same, until `detach`. Two files of one name cannot be open at once."""
    connection = in_memory()
    connection.execute(f"ATTACH {literal(str(file))} AS {quoted(file.stem)} {'(READ_ONLY)' if read_only else ''}")
    connection.execute(f"USE {quoted(file.stem)}")
    return connection


def detach(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Close the file."""
    connection.execute("USE memory.main")
    connection.execute(f"DETACH {quoted(file.stem)}")
    connection.close()


def in_memory() -> duckdb.DuckDBPyConnection:
    """A connection for queries on other kinds of files; to be closed."""
    return _instance().cursor()


@cache
def _instance() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection
