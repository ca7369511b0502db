"""What DuckDB writes beside a file when memory does not do: it goes with the process, unless that is killed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def folder_of(file: Path) -> Path:
    """Where that is, for a database file."""
    return file.with_name(f"{file.name}.tmp")


def remove_left(file: Path) -> None:
    """Remove what a killed process has left of it. Only who has the file open for writing may: then nobody else has."""
    with suppress(OSError):
        for left in folder_of(file).glob("duckdb_temp_*"):
            left.unlink()
        folder_of(file).rmdir()
