"""A run that kills its own process (SIGKILL) at a chosen point: `killed_run.py URL FOLDER POINT NUMBER`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pyarrow as pa

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.config.table_options import WriteMode, WriteOptions
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import Batch, Changes, RunRows
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.client import Client
from cio_replicate.source.rate_limiter import RateLimiter

POINTS = ("event", "page on disk", "before commit", "after commit")
START = 1_577_836_800
RATE = 30.0  # requests per second, so that it shows how many pages of a second are lost


class Fate:
    """Kills the process when its point is reached for the chosen time."""

    def __init__(self, point: str, number: int) -> None:
        self.point = point
        self.left = number

    def at(self, point: str) -> None:
        """The run is at this point."""
        if point == self.point:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DeadlyFolder(Staging):
    """A state folder whose pages are on disk before the journal knows of them."""

    def __init__(self, path: Path, fate: Fate) -> None:
        super().__init__(path)
        self._fate = fate

    def write(self, name: str, table: pa.Table) -> None:
        """Write, then perhaps die."""
        super().write(name, table)
        self._fate.at("page on disk")


class DeadlyDestination(DuckDBSink):
    """A destination that commits, or does not, before the journal knows of it."""

    def __init__(self, file: Path, fate: Fate) -> None:
        super().__init__(file, "customerio")
        self._fate = fate

    def write(self, batch: Batch | RunRows) -> Changes:
        """Perhaps die, write, perhaps die."""
        if isinstance(batch, RunRows):
            return super().write(batch)
        self._fate.at("before commit")
        changes = super().write(batch)
        self._fate.at("after commit")
        return changes


async def _main(url: str, folder: Path, fate: Fate) -> None:
    clock = SystemClock()
    async with Client(url, Secret("simulator-token"), RateLimiter(RATE, clock), clock) as client:
        with DeadlyFolder(folder / "state", fate) as state:
            destination = DeadlyDestination(folder / "copy.duckdb", fate)
            full = dict.fromkeys(os.environ.get("FULL", "").split(), WriteOptions(WriteMode.FULL))
            order = RunSpec(TABLES, START, treatments=full, keep_landed="KEEP_LANDED" in os.environ)
            run = Run(order, client, destination, state, clock, lambda _event: fate.at("event"))
            await run.execute()
            destination.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), Fate(sys.argv[3], int(sys.argv[4]))))
