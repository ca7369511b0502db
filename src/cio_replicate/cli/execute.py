"""Executes one run for a command: opens what it needs, shows it, stops on a signal, and always ends in a report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.base.clock import Clock
from cio_replicate.base.errors import CioReplicateError
from cio_replicate.cli.connect import connected
from cio_replicate.cli.failure import INTERRUPTED
from cio_replicate.cli.show import Show
from cio_replicate.landing.folder import StateFolder, task_folder
from cio_replicate.load.open import destinations_at
from cio_replicate.replication.planner import Order
from cio_replicate.replication.report import Report, Status, iso
from cio_replicate.replication.run import Run
from cio_replicate.settings.connection import Connection
from cio_replicate.settings.destinations import Address

BEAT = 5.0  # seconds between signs of life in a log


@dataclass(frozen=True, slots=True)
class Task:
    """What is replicated, from where and to where; `cautions` are sentences to show beforehand."""

    connection: Connection
    destinations: tuple[Address, ...]
    dataset: str
    order: Order
    state_root: Path
    cautions: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The task's own folder of landed pages and runs."""
        return folder_of(self.state_root, self.destinations, self.dataset)


def folder_of(state_root: Path, destinations: Sequence[Address], dataset: str) -> Path:
    """The folder of the task that fills these destinations."""
    return task_folder(state_root, " ".join(sorted(map(str, destinations))), dataset)


def execute(task: Task, clock: Clock, show: Show) -> Report:
    """Run the task once. What the user can mend, and a stop, end in the report; only a defect is raised."""
    report = Report(run_id=uuid.uuid4().hex[:12], started=iso(clock.now()))
    try:
        return asyncio.run(_execute(task, clock, show, report))
    except KeyboardInterrupt:  # before the signals were watched
        return _ended(report, Status.INTERRUPTED, None, clock)


async def _execute(task: Task, clock: Clock, show: Show, report: Report) -> Report:
    runs: list[Run] = []

    async def work() -> None:
        with StateFolder(task.folder) as folder:
            destination = destinations_at(task.destinations, task.dataset, task.folder)
            try:
                async with connected(task.connection, clock) as client:
                    run = Run(
                        task.order,
                        client,
                        destination,
                        folder,
                        clock,
                        show.tell,
                        destination_name=" and ".join(one.shown for one in task.destinations),
                    )
                    runs.append(run)
                    await run.execute()
            finally:
                destination.close()

    def latest() -> Report:
        return runs[0].report if runs else report

    with show:
        try:
            stopped = await _until_stopped(work(), show)
        except CioReplicateError as error:
            return _ended(latest(), Status.REFUSED, str(error), clock)
    result = latest()
    if stopped and (not runs or result.status is Status.REFUSED):
        return _ended(result, Status.INTERRUPTED, None, clock)
    return result


def _ended(report: Report, status: Status, error: str | None, clock: Clock) -> Report:
    """The report of a run that read nothing."""
    report.status, report.error, report.tables = status, error, []
    report.ended = report.ended or iso(clock.now())
    return report


async def _until_stopped(work: Coroutine[object, object, None], show: Show) -> bool:
    """Do the work; whether a signal ended it. The first asks it to stop, a second ends the process at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    beats = asyncio.ensure_future(_beat(show.beat))

    def stop() -> None:
        if task.cancelling():
            show.__exit__(None, None, None)
            os._exit(INTERRUPTED)
        show.say("Stopping: the page and the batch under way are finished first. Once more to stop at once.")
        task.cancel()

    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stop)
    try:
        await task
    except asyncio.CancelledError:
        return True
    finally:
        beats.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beats
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)
    return False


async def _beat(beat: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(BEAT)
        beat()
