"""Executes one run for a command: opens what it needs, shows it, stops on a signal, and always ends in a report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Coroutine

from cio_replicate.app.settings import connected
from cio_replicate.app.task import Task
from cio_replicate.base.errors import (
    AccessError,
    CioReplicateError,
    DestinationUnavailableError,
    SettingsError,
    TaskBusyError,
)
from cio_replicate.base.runtime import Clock
from cio_replicate.pipeline.events import Renderer
from cio_replicate.pipeline.report import EXIT_CODES, Report, Status, iso
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.staging import Staging
from cio_replicate.sinks.kinds import destinations_at


def execute(task: Task, clock: Clock, show: Renderer) -> Report:
    """Run the task once. What the user can mend, and a stop, end in the report; only a defect is raised."""
    report = Report(run_id=uuid.uuid4().hex[:12], started=iso(clock.now()))
    try:
        return asyncio.run(_execute(task, clock, show, report))
    except KeyboardInterrupt:  # before the signals were watched
        return _ended(report, Status.INTERRUPTED, None, clock)


async def _execute(task: Task, clock: Clock, show: Renderer, report: Report) -> Report:
    runs: list[Run] = []

    async def work() -> None:
        with Staging(task.folder) as folder:
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

    def beat() -> None:
        for run in runs:
            show.tell(run.spent)
        show.beat()

    with show:
        try:
            stopped = await _until_stopped(work(), show, beat)
        except CioReplicateError as error:
            refused = _ended(latest(), Status.REFUSED, str(error), clock)
            refused.passing = _passes(error)
            return refused
    result = latest()
    if stopped and (not runs or result.status is Status.REFUSED):
        return _ended(result, Status.INTERRUPTED, None, clock)
    return result


def _passes(error: CioReplicateError) -> bool:
    """Whether what was refused may be granted in a while, although nobody changes anything."""
    if isinstance(error, TaskBusyError | DestinationUnavailableError):
        return True
    return not isinstance(error, AccessError | SettingsError)


def _ended(report: Report, status: Status, error: str | None, clock: Clock) -> Report:
    """The report of a run that read nothing."""
    report.status, report.error, report.tables = status, error, []
    report.ended = report.ended or iso(clock.now())
    return report


async def _until_stopped(work: Coroutine[object, object, None], show: Renderer, beat: Callable[[], None]) -> bool:
    """Do the work; whether a signal ended it. The first asks it to stop, a second ends the process at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    beats = asyncio.ensure_future(_beat(beat, show.seconds))

    def stop() -> None:
        if task.cancelling():
            show.__exit__(None, None, None)
            os._exit(EXIT_CODES[Status.INTERRUPTED])
        show.say("Stopping after the current page and batch. Press Ctrl-C again to stop at once.")
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


async def _beat(beat: Callable[[], None], seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        beat()
