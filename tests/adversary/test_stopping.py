"""Runs that are stopped at awkward moments tell what they did, and the next run does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBBackend
from cio_replicate.sinks.port import Batch, Changes, Owner, RunRows, SinkState
from cio_replicate.source.catalog import table
from cio_replicate.source.client import Client
from cio_replicate.source.rate_limiter import RateLimiter
from tests.adversary.standin import Asked, StandIn, paged
from tests.adversary.syncing import QUICK, START, TOKEN, ask, of, sync

NEWSLETTERS = [{"id": number} for number in range(20)]


class Calling(DuckDBBackend):
    """The real destination, which calls somebody at the moment when it looks, or writes."""

    def __init__(self, file: Path, moment: str, call: Callable[[], object]) -> None:
        super().__init__(file, "customerio")
        self._moment = moment
        self._call = call

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """As ever."""
        if self._moment == "look" and owner is None:
            self._call()
        return super().open(owner)

    def write(self, batch: Batch | RunRows) -> Changes:
        """As ever."""
        if self._moment == "write" and isinstance(batch, Batch):
            self._call()
        return super().write(batch)


def _stopped(url: str, folder: Path, moment: str) -> Report:
    """The report of a run that is cancelled at a moment."""
    clock = SystemClock()

    async def scenario() -> Report:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        destination = Calling(folder / "copy.duckdb", moment, lambda: loop.call_soon_threadsafe(task.cancel))
        async with Client(url, Secret(TOKEN), RateLimiter(5_000.0, clock), clock, policy=QUICK) as client:
            with Staging(folder / "state") as held:
                order = RunSpec((table("newsletters"),), START)
                run = Run(order, client, destination, held, clock, lambda _event: None)
                try:
                    await run.execute()
                except asyncio.CancelledError:
                    task.uncancel()
                finally:
                    destination.close()
                return run.report

    return asyncio.run(scenario())


def test_a_batch_under_way_when_a_run_is_stopped_is_counted(tmp_path: Path) -> None:
    """The rows that went in after the stop are in the report, and the table that they completed is complete."""
    with StandIn({"/v1/newsletters": {"newsletters": NEWSLETTERS}}) as api:
        report = of(_stopped(api.url, tmp_path, "write"), "newsletters")
    assert (report.status, report.read, report.inserted) == (Status.COMPLETE, 20, 20)
    assert ask(tmp_path, "SELECT count(*) FROM newsletters") == [(20,)]


def test_a_run_stopped_before_it_was_planned_is_not_complete(tmp_path: Path) -> None:
    """Without any table in its report a run was interrupted."""
    with StandIn() as api:
        report = _stopped(api.url, tmp_path, "look")
    assert (report.status, report.tables) == (Status.INTERRUPTED, [])


@pytest.mark.parametrize("size", [3, 7, 20])
def test_rows_read_by_two_runs_are_all_there_once(size: int, tmp_path: Path) -> None:
    """A run that fails on any page and the run after it bring each row once, and say so."""
    failing = str(size * (20 // size // 2)) if size < 20 else None

    def answer(asked: Asked) -> Any:
        return "no list" if asked.query.get("start") == failing else paged("newsletters", NEWSLETTERS, size)(asked)

    with StandIn({"/v1/newsletters": answer}) as api:
        first = of(sync(api.url, tmp_path, "newsletters"), "newsletters")
        api.answers["/v1/newsletters"] = paged("newsletters", NEWSLETTERS, size)
        second = of(sync(api.url, tmp_path, "newsletters"), "newsletters")
    assert first.read + second.read == first.inserted + second.inserted == 20
    assert ask(tmp_path, "SELECT count(*) FROM newsletters WHERE _cio_deleted_at IS NULL") == [(20,)]
