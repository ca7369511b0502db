"""One sync in this process: the real run against a simulator, with short waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.events import Event
from cio_replicate.pipeline.report import Report
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import Sink
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.client import Client, RequestLimits, RetryPolicy
from cio_replicate.source.rate_limiter import RateLimiter
from cio_replicate.source.strategies.base import USUAL
from customerio_simulator import Simulator

ALL = tuple(table.name for table in TABLES)
SETTLING = ("messages", "activities")  # of which a later run reads what is recent, unless it is to read all again
QUICK = RetryPolicy(first_wait=0.01, longest_wait=0.05)
PATIENCE = 3.0  # seconds that tables wait for those that have no answer
USUAL_LIMITS = RequestLimits()  # so long that a busy machine is not taken for a silent API
IMPATIENT = RequestLimits(connect=2.0, read=0.5, attempt=3.0)  # where answers stall


class ShiftedClock(SystemClock):
    """A clock on which another time is told."""

    def __init__(self, now: float) -> None:
        self._ahead = now - super().now()

    def now(self) -> float:
        """The told time, which goes on from there."""
        return super().now() + self._ahead


def sync(
    simulator: Simulator,
    folder: Path,
    *,
    tables: tuple[Table, ...] = TABLES,
    start: int = 1_577_836_800,
    refresh: tuple[str, ...] = (),
    rules: RereadPolicy = USUAL,
    max_rps: float = 5_000.0,
    now: int | None = None,
    state: str = "state",
    told: list[Event] | None = None,
    token: str = "",
    to: Callable[[], Sink] | None = None,
    limits: RequestLimits = USUAL_LIMITS,
    **order: Any,  # Any: what else an Order says
) -> Report:
    """Replicate into `folder`/copy.duckdb, or into what `to` makes, and return the report."""
    clock = SystemClock() if now is None else ShiftedClock(now)

    async def scenario() -> Report:
        async with Client(
            simulator.url,
            Secret(token or simulator.behaviour.tokens[0]),
            RateLimiter(max_rps, clock),
            clock,
            policy=QUICK,
            limits=limits,
        ) as client:
            with Staging(folder / state) as held:
                wanted = RunSpec(tables, start, refresh, rules, **order)
                destination = DuckDBSink(folder / "copy.duckdb", "customerio") if to is None else to()
                tell = told.append if told is not None else (lambda _event: None)
                try:
                    return await Run(wanted, client, destination, held, clock, tell, patience=PATIENCE).execute()
                finally:
                    destination.close()

    return asyncio.run(scenario())
