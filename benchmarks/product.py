"""The product as it is measured: the installed command, and what its report says."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

COMMAND = Path(sys.executable).parent / "cio-replicate"
PROFILER = Path(sys.executable).parent / "py-spy"
NO_LIMIT = 1_000  # requests per second; the most that the command takes
SAMPLES_PER_SECOND = 100


class _Table(msgspec.Struct):
    read: int
    inserted: int
    updated: int
    deleted: int


class Told(msgspec.Struct):
    """What the report says of a run."""

    tables: list[_Table]

    @property
    def read(self) -> int:
        """Rows that were read."""
        return sum(table.read for table in self.tables)

    @property
    def written(self) -> int:
        """Rows that were new, changed or gone in the copy."""
        return sum(table.inserted + table.updated + table.deleted for table in self.tables)


def sync_command(url: str, folder: Path, start: int, rps: float | None) -> list[str]:
    """The sync of a workspace into `copy_in(folder)`; `start` in unix seconds, midnight."""
    return [
        str(COMMAND),
        "sync",
        f"--start-date={datetime.fromtimestamp(start, UTC).date()}",
        f"--to=duckdb:///{copy_in(folder)}",
        f"--api-url={url}",
        f"--state-dir={folder / 'state'}",
        f"--max-rps={rps or NO_LIMIT}",
        "--json",
    ]


def profiled(command: list[str], to: Path) -> list[str]:
    """The command under a profiler that samples its threads and writes folded stacks."""
    return [
        str(PROFILER), "record", "--format=raw", f"--rate={SAMPLES_PER_SECOND}", "--threads", f"--output={to}",
        "--", *command,
    ]  # fmt: skip


def copy_in(folder: Path) -> Path:
    """The file of the copy in a folder."""
    return folder / "copy.duckdb"


def told(output: Path) -> Told:
    """The report in the file that standard output went to."""
    return msgspec.json.decode(output.read_bytes(), type=Told)
