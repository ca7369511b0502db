"""How a run ends, and what follows: another try, tasks that run after it, notifications; all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select, update

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import TaskSettings
from cio_replicate.console import notices
from cio_replicate.console.notifications import EndedRun
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import runs, tasks
from cio_replicate.jobs.board import CANCELLED, Outcome
from cio_replicate.jobs.queueing import QUEUED, RUNNING, SYNC, RunRequest, Trigger, action_of, queue
from cio_replicate.jobs.run_log import storable
from cio_replicate.pipeline.replication_report import Report, Status

LONGEST_PAUSE = 86_400
MOST = 2**63 - 1  # that a database can hold; what a gateway tells is not counted here
ENDS = (*map(str, Status), CANCELLED)


@dataclass(frozen=True, slots=True)
class Retry:
    """Another try that follows a run: which one, and after how many seconds."""

    attempt: int
    pause: int


def again_after(status: str, attempt: int, retries: int, pause: int, *, passing: bool) -> Retry | None:
    """The try that follows the end of a run, if any.

    One that failed or was interrupted is tried again, each time after twice the pause and at most a day; one that was
    refused only when what refused it may pass by itself, such as a place that is locked.
    """
    lost = status in (Status.FAILED, Status.INTERRUPTED) or (status == Status.REFUSED and passing)
    if not lost or attempt > retries:
        return None
    return Retry(attempt + 1, min(pause * 2 ** min(attempt - 1, 30), LONGEST_PAUSE))


def conclude(connection: Connection, run: Row[Any], end: Outcome, now: int) -> bool:  # Any: of every column
    """Record the end of a run that waits or is executed, and let follow what does; whether it had not ended before.

    For a transaction that writes: the end and what follows are committed together, or neither is.
    """
    status = end.status if end.status in ENDS else str(Status.FAILED)
    if run.cancelling and status == Status.INTERRUPTED:
        status = CANCELLED
    error = None if end.error is None else storable(end.error)
    ended = connection.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.status.in_((QUEUED, RUNNING)))
        .values(status=status, ended_at=now, error=error, lease_until=None, **_measured(end.report))
    )
    if not ended.rowcount:
        return False
    task = connection.execute(select(tasks).where(tasks.c.id == run.task_id)).one()
    settings = _settings(task.settings)
    if settings is None:
        return True
    passing = end.report is not None and end.report.passing
    retries = 0 if run.cancelling else settings.retries  # somebody wants no more of it
    again = again_after(status, run.attempt, retries, settings.retry_pause, passing=passing)
    if again is not None:
        queue(
            connection,
            RunRequest(
                task_id=run.task_id,
                cause=Trigger.RETRY,
                due_at=now + again.pause,
                not_before=now + again.pause,
                action=action_of(run.action),
                attempt=again.attempt,
                asked_by=run.asked_by,
            ),
        )
    elif status == Status.COMPLETE and action_of(run.action) == SYNC:
        _start_followers(connection, task.name, now)
    told = EndedRun(run.id, task.name, status, run.attempt, error, end.report, will_retry=again is not None)
    notices.note(connection, task, settings.notify, told, now)
    return True


def _settings(text: str) -> TaskSettings | None:
    """The settings of a task; None when another version of this program has kept what this one cannot read."""
    try:
        return settings_from(text, TaskSettings)
    except SettingsError:
        return None


def _measured(report: Report | None) -> dict[str, object]:
    """What a run's row says of its report."""
    if report is None:
        return {}
    return {
        "report": msgspec.json.encode(report).decode(),
        "rows": min(sum(one.inserted + one.updated + one.deleted for one in report.tables), MOST),
        "requests": min(report.requests, MOST),
        "budget_used": round(min(max(report.budget.used, 0.0), 1_000.0) * 1_000) if report.budget is not None else None,
    }


def _start_followers(connection: Connection, name: str, now: int) -> None:
    """Let the tasks wait that run after this one."""
    followers = select(tasks.c.id).where(tasks.c.after_task == name, ~tasks.c.paused).order_by(tasks.c.name)
    for task_id in connection.scalars(followers).all():
        queue(connection, RunRequest(task_id=task_id, cause=Trigger.AFTER, due_at=now, not_before=now))
