"""Run a task once, or fill its copy from staged pages; both end in a report."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path

from cio_replicate.app.settings import ResolvedTask, connected, copy_of, names_of, opened, tables_of, treatments_of
from cio_replicate.base.errors import CioReplicateError, InvalidSettings, Refused, Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import TaskSettings
from cio_replicate.pipeline.events import Event, Renderer
from cio_replicate.pipeline.replay import reload
from cio_replicate.pipeline.report import EXIT_CODES, Report, Status, iso, recorded
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.staging import Staging


def sync(task: ResolvedTask, clock: Clock, show: Renderer) -> Report:
    """Run the task once. What the user can mend, and a stop, end in the report; only a defect is raised."""
    report = Report(run_id=uuid.uuid4().hex[:12], started=iso(clock.now()))
    try:
        return asyncio.run(_sync(task, clock, show, report))
    except KeyboardInterrupt:  # before the signals were watched
        return _ended(report, Status.INTERRUPTED, None, clock)


async def execute(
    task: ResolvedTask, clock: Clock, on_event: Callable[[Event], None], begun: Callable[[Run], None] | None = None
) -> Report:
    """Run the task once, on the running event loop. `begun` is called with the run before its first request."""
    with opened(task.copy) as (staging, sink):
        async with connected(task.connection, clock) as client:
            run = Run(task.spec, client, sink, staging, clock, on_event, destination_name=task.copy.shown)
            if begun is not None:
                begun(run)
            return await run.execute()


async def _sync(task: ResolvedTask, clock: Clock, show: Renderer, report: Report) -> Report:
    runs: list[Run] = []

    def latest() -> Report:
        return runs[0].report if runs else report

    def beat() -> None:
        for run in runs:
            show.tell(run.spent)
        show.beat()

    with show:
        try:
            stopped = await _until_stopped(execute(task, clock, show.tell, runs.append), show, beat)
        except CioReplicateError as error:
            refused = _ended(latest(), Status.REFUSED, recorded(error), clock)
            refused.passing = isinstance(error, Unavailable) or not isinstance(error, Refused)
            return refused
    result = latest()
    if stopped and (not runs or result.status is Status.REFUSED):
        return _ended(result, Status.INTERRUPTED, None, clock)
    return result


def sync_from_staged(
    staged: Sequence[str],
    task: TaskSettings,
    clock: Clock,
    *,
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Report:
    """Fill the task's copy from the pages that were kept of the copy in `staged`. Raises Refused."""
    tables = tables_of(names_of(task), task, environment)
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    source = copy_of(staged, task.dataset, state_dir, environment)
    if source.folder == copy.folder:
        raise InvalidSettings("‹staged› and ‹to› name the same copy.", "Name another destination in ‹to›.")
    with Staging(source.folder) as pages, opened(copy) as (_, destination):
        return reload(destination, pages, tables, treatments_of(task, [one.name for one in tables]), clock)


def _ended(report: Report, status: Status, error: str | None, clock: Clock) -> Report:
    """The report of a run that read nothing."""
    report.status, report.error, report.tables = status, error, []
    report.ended = report.ended or iso(clock.now())
    return report


async def _until_stopped(work: Coroutine[object, object, object], show: Renderer, beat: Callable[[], None]) -> bool:
    """Do the work; whether a signal ended it. The first asks it to stop, a second ends the process at once."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)

    async def beat_often() -> None:
        while True:
            await asyncio.sleep(show.seconds)
            beat()

    beats = asyncio.ensure_future(beat_often())

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
