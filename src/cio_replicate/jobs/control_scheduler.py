"""The scheduler: lets what is due wait for a worker, each time once, whoever ticks and however often it is killed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import TaskSettings
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import missed, tasks
from cio_replicate.jobs.leases import LEASE, extend_unheard, give_up_lost_runs
from cio_replicate.jobs.queueing import RunRequest, Trigger, queue
from cio_replicate.jobs.scheduler import DueTimes, due, schedule

GRACE = 60.0  # seconds after which a time counts as missed
AWAY = 15.0  # seconds without a tick after which workers may not have been heard
TOGETHER = 50  # tasks that are looked at in one transaction
REASON = "The scheduler did not run, or could not reach its database."


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did: tasks whose time had come, and runs that no worker has spoken of for too long."""

    fired: int = 0
    lost: int = 0


class Scheduler:
    """Lets every task wait for a worker whose time has come, and every run wait again whose worker was lost.

    Several schedulers may tick at once, and one may die at any moment: the time of a task moves on in the transaction
    in which its run begins to wait.
    """

    def __init__(self, database: Database, clock: Clock, lease: int = LEASE) -> None:
        self._database = database
        self._clock = clock
        self._lease = lease
        self._ticked: float | None = None

    def tick(self) -> TickResult:
        """To be called about every second. Raises DatabaseError; what was not done then is done by the next tick."""
        now = int(self._clock.now())
        if self._ticked is None or self._clock.monotonic() - self._ticked > min(AWAY, self._lease):
            extend_unheard(self._database, now, self._lease)
        fired = self._fire_all(now)
        lost = give_up_lost_runs(self._database, now, self._lease)
        self._ticked = self._clock.monotonic()
        return TickResult(fired, lost)

    def _fire_all(self, now: int) -> int:
        time_has_come = (tasks.c.next_at <= now) & ~tasks.c.paused
        with self._database.reading() as connection:
            found = connection.scalars(
                select(tasks.c.id).where(time_has_come).order_by(tasks.c.next_at, tasks.c.name)
            ).all()
        fired = 0
        for start in range(0, len(found), TOGETHER):
            some = found[start : start + TOGETHER]
            with self._database.writing() as connection:
                for row in connection.execute(select(tasks).where(tasks.c.id.in_(some) & time_has_come)).all():
                    _fire(connection, row, now)
                    fired += 1
        return fired


def _fire(connection: Connection, task: Row[Any], now: int) -> None:  # Any: of every column
    """Let the run of a task wait, note what was missed, and move on to the time after."""
    first, upcoming = int(task.next_at), None
    try:
        settings = settings_from(task.settings, TaskSettings).schedule
        if settings is not None:
            come = due(schedule(settings), first, now, GRACE)
            upcoming = come.next
            _let_wait(connection, task.id, come, skips=settings.missed == "skip", now=now)
    except SettingsError as error:  # an earlier version let it pass; the other tasks go on
        _note_missed(connection, task.id, first, 1, f"Its schedule cannot be read. {error}")
    connection.execute(update(tasks).where(tasks.c.id == task.id, tasks.c.next_at == first).values(next_at=upcoming))


def _let_wait(connection: Connection, task_id: str, come: DueTimes, *, skips: bool, now: int) -> None:
    late = come.late
    if late and skips and come.newest_late is not None:
        _note_missed(connection, task_id, come.newest_late, late, REASON)
        late = 0
    times = come.times_on_time + late
    due_at = come.on_time if come.on_time is not None else come.newest_late
    if times and due_at is not None:
        queue(
            connection,
            RunRequest(task_id=task_id, cause=Trigger.SCHEDULE, due_at=due_at, not_before=now, times=times),
        )


def _note_missed(connection: Connection, task_id: str, due_at: int, count: int, reason: str) -> None:
    values = {"task_id": task_id, "due_at": due_at, "count": count, "reason": reason[:200]}
    connection.execute(insert(missed).values(id=uuid.uuid4().hex, **values))
