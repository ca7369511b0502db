"""The board of the control database: hands out its runs to workers of this machine, or to those of one gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, func, or_, select, update

from cio_replicate.base.errors import BoardAwayError, DatabaseError, SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.stored import stored_names
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import connections, runs, tasks
from cio_replicate.jobs.board import HeartbeatReply, Lease, Outcome
from cio_replicate.jobs.endings import conclude
from cio_replicate.jobs.giving_back import give_back
from cio_replicate.jobs.job import Job
from cio_replicate.jobs.leases import LEASE
from cio_replicate.jobs.queueing import QUEUED, RUNNING, Trigger, action_of
from cio_replicate.jobs.run_log import add_lines
from cio_replicate.pipeline.progress import LogLine, Progress
from cio_replicate.pipeline.replication_report import Status

#: Reveals stored secrets by their names, in a transaction that writes.
Reveal = Callable[[Connection, Iterable[str]], dict[str, str]]
REST = 2  # seconds, whole ones, between two runs of a workspace: no second has requests of both
MOST_REFUSED = 20  # runs whose settings cannot be used, that one claim looks at


class LocalEngine:
    """Hands out the runs of connections with this gateway, or with none. A `Board`, safe to use from any thread.

    One run at a time is executed of a task, and of a workspace, whoever asks, and a second lies between two runs of a
    workspace, so that its budget is kept. Those that have waited longest come first. Nothing is kept here, so that any
    number of boards may hand out the same runs. Secrets are revealed only by `reveal`, which no gateway's board is
    given.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        gateway: str | None = None,
        reveal: Reveal | None = None,
        lease: int = LEASE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._gateway = gateway
        self._reveal = reveal
        self._lease = lease
        self.draining = False  # the workers are stopped: runs that are interrupted by that wait for others

    def claim(self, worker: str) -> Lease | None:
        """The run that has waited longest of those that may begin, now this worker's for the time of a lease.

        One whose settings cannot be used ends as refused instead.
        """
        now = self._now()
        with _away():
            with self._database.reading() as connection:
                if connection.execute(self._waiting(worker, now)).first() is None:
                    return None
            for _ in range(MOST_REFUSED):
                with self._database.writing() as connection:
                    row = connection.execute(self._waiting(worker, now)).first()
                    if row is None:
                        return None
                    self._take(connection, row, worker, now)
                    try:
                        return Lease(self._job(connection, row), self._lease)
                    except SettingsError as error:
                        self._refuse(connection, row.id, str(error), now)
        return None

    def beat(self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]) -> HeartbeatReply:
        """Keep a run for the time of another lease.

        A worker that comes back after its lease has run out gets its run back unless another has it, or a run of the
        same workspace has begun: then it is lost.
        """
        now = self._now()
        with _away(), self._database.writing() as connection:
            run = self._mine(connection, worker, run_id)
            if run is None or (run.status == QUEUED and _is_busy(connection, run)):
                return HeartbeatReply.LOST
            told = {} if progress is None else {"progress": msgspec.json.encode(progress).decode()}
            connection.execute(
                update(runs).where(runs.c.id == run_id).values(status=RUNNING, lease_until=now + self._lease, **told)
            )
            add_lines(connection, run_id, lines)
            return HeartbeatReply.CANCEL if run.cancelling else HeartbeatReply.GO_ON

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Record how a run ended, and let follow what does, once; a run that is not this worker's stays as it is.

        While workers are stopped, a run that is interrupted by that does not end: it waits for another worker.
        """
        now = self._now()
        if self.draining and end.status == Status.INTERRUPTED:
            with _away():
                if give_back(self._database, self._gateway, worker, run_id, end.lines, now):
                    return HeartbeatReply.GO_ON
        with _away(), self._database.writing() as connection:
            run = self._mine(connection, worker, run_id)
            if run is None:
                return HeartbeatReply.LOST
            add_lines(connection, run_id, end.lines)
            conclude(connection, run, end, now)
            return HeartbeatReply.GO_ON

    def _now(self) -> int:
        return int(self._clock.now())

    def _waiting(self, worker: str, now: int) -> Select[Any]:  # Any: of every column
        """The run that a worker is to begin: with its task's and its connection's settings."""
        others = runs.alias("others")
        busy = select(others.c.id).where(
            others.c.status == RUNNING,
            or_(others.c.task_id == runs.c.task_id, others.c.workspace == connections.c.workspace),
        )
        last = runs.alias("last")
        just_read = select(last.c.id).where(
            last.c.ended_at > now - REST, last.c.started_at.is_not(None), last.c.workspace == connections.c.workspace
        )
        # a worker that was lost may come back; until then its run is for any other
        free = or_(runs.c.claims == 0, runs.c.worker.is_(None), runs.c.worker != worker, runs.c.lease_until < now)
        wanted = or_(~tasks.c.paused, runs.c.cause == Trigger.USER, runs.c.claims > 0)
        columns = (
            runs,
            tasks.c.name.label("task_name"),
            tasks.c.settings.label("task_settings"),
            connections.c.settings.label("connection_settings"),
            connections.c.workspace.label("workspace_now"),
        )
        return (
            select(*columns)
            .join(tasks, tasks.c.id == runs.c.task_id)
            .join(connections, connections.c.id == tasks.c.connection_id)
            .where(
                runs.c.status == QUEUED,
                runs.c.not_before <= now,
                self._ours(),
                free,
                wanted,
                ~busy.exists(),
                ~just_read.exists(),
            )
            .order_by(runs.c.not_before, runs.c.due_at, tasks.c.name, runs.c.id)
            .limit(1)
        )

    def _ours(self) -> ColumnElement[bool]:
        gateway = connections.c.gateway
        return gateway.is_(None) if self._gateway is None else gateway == self._gateway

    def _take(self, connection: Connection, run: Row[Any], worker: str, now: int) -> None:  # Any: as above
        connection.execute(
            update(runs)
            .where(runs.c.id == run.id, runs.c.status == QUEUED)
            .values(
                status=RUNNING,
                worker=worker,
                gateway=self._gateway,
                workspace=run.workspace_now,
                claims=runs.c.claims + 1,
                started_at=func.coalesce(runs.c.started_at, now),
                lease_until=now + self._lease,
            )
        )

    def _job(self, connection: Connection, run: Row[Any]) -> Job:  # Any: as above
        reached = settings_from(run.connection_settings, ConnectionSettings)
        task = settings_from(run.task_settings, TaskSettings)
        names = [*stored_names(reached), *stored_names(task)]
        return Job(
            run_id=run.id,
            task_id=run.task_id,
            task_name=run.task_name,
            connection=reached,
            task=task,
            action=action_of(run.action),
            stored=self._reveal(connection, names) if self._reveal is not None else {},
        )

    def _refuse(self, connection: Connection, run_id: str, error: str, now: int) -> None:
        run = connection.execute(select(runs).where(runs.c.id == run_id)).one()
        conclude(connection, run, Outcome(status=Status.REFUSED, error=error), now)

    def _mine(self, connection: Connection, worker: str, run_id: str) -> Row[Any] | None:  # Any: as above
        """The run, if it is this worker's: it executes it, or did so until it was lost, and nobody has it since."""
        ours = runs.c.gateway.is_(None) if self._gateway is None else runs.c.gateway == self._gateway
        held = or_(runs.c.status == RUNNING, (runs.c.status == QUEUED) & (runs.c.claims > 0))
        return connection.execute(
            select(runs).where(runs.c.id == run_id, runs.c.worker == worker, ours, held)
        ).one_or_none()


def _is_busy(connection: Connection, run: Row[Any]) -> bool:  # Any: as above
    """Whether another run of its task or of its workspace is executed."""
    same = or_(runs.c.task_id == run.task_id, runs.c.workspace == run.workspace)
    return connection.execute(select(runs.c.id).where(runs.c.status == RUNNING, same).limit(1)).first() is not None


@contextmanager
def _away() -> Iterator[None]:
    """Says of a database that is away what a worker understands."""
    try:
        yield
    except DatabaseError as error:
        raise BoardAwayError(error.message, error.fix) from None
