"""The real run against a stand-in, in this process and with short waits, and a look at the copy that it made."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.pipeline.events import Event
from cio_replicate.pipeline.report import Report, TableReport
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.source.catalog import names, table
from cio_replicate.source.client import Client, RetryPolicy
from cio_replicate.source.rate_limiter import RateLimiter
from tests.duckdb_files import duckdb_file

TOKEN = "marked-7f3a9c51-token"
START = 1_577_836_800  # 2020-01-01
QUICK = RetryPolicy(first_wait=0.001, longest_wait=0.005)


def sync(
    url: str,
    folder: Path,
    *tables: str | Table,
    start: int = START,
    refresh: tuple[str, ...] = (),
    told: list[Event] | None = None,
    policy: RetryPolicy = QUICK,
) -> Report:
    """Replicate these tables (or all) into `folder`/copy.duckdb and return the report."""
    clock = SystemClock()
    wanted = [one if isinstance(one, Table) else table(one) for one in tables or names()]
    order = RunSpec(tuple(wanted), start, refresh)

    async def scenario() -> Report:
        budget = RateLimiter(5_000.0, clock)
        async with Client(url, Secret(TOKEN), budget, clock, policy=policy) as client:
            with Staging(folder / "state") as held:
                destination = DuckDBSink(folder / "copy.duckdb", "customerio")
                tell = told.append if told is not None else (lambda _event: None)
                try:
                    return await Run(order, client, destination, held, clock, tell).execute()
                finally:
                    destination.close()

    return asyncio.run(scenario())


def of(report: Report, name: str) -> TableReport:
    """What the report says about a table."""
    return next(one for one in report.tables if one.name == name)


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """The rows that a query on the copy gives."""
    with duckdb_file(folder / "copy.duckdb", read_only=True) as connection:
        connection.execute("SET schema = 'customerio'")
        return connection.execute(query).fetchall()
