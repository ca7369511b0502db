"""The local engine: queue, leases, ends, retries and log lines of runs, in the control database."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, insert, or_, select, update

from cio_replicate.base.errors import BoardAwayError, DatabaseError, InvalidSettings, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import ConnectionSettings, TaskSettings, stored_names
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from, storable
from cio_replicate.database.tables import connections, run_lines, runs, tasks
from cio_replicate.jobs.ports import CANCELLED, SYNC, HeartbeatReply, Job, Lease, Outcome, RunAction
from cio_replicate.pipeline.events import INFO, LONGEST, WARNING, LogLine, Progress
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus

# The log of a run: lines are added, none twice although they may be told twice, and bounded in number.


LATEST = 32_503_680_000  # the year 3000
MOST_LINES = 5_000  # of a run; what comes after is left out
LEFT_OUT = "More lines are not kept."


def add_lines(connection: Connection, run_id: str, lines: Sequence[LogLine]) -> None:
    """Add lines to the log of a run, in a transaction that writes; those that were added before are left out."""
    if not lines:
        return
    here = run_lines.c.run_id == run_id
    last = connection.scalar(select(func.max(run_lines.c.number)).where(here)) or 0
    newest = connection.execute(select(run_lines).where(here, run_lines.c.number > last - len(lines)))
    tail = [LogLine(row.at, row.level, row.text) for row in newest.all()]
    fresh = unseen(tail, [_kept(line) for line in lines])
    fresh = fresh[: max(0, MOST_LINES - last)]
    if fresh and last + len(fresh) >= MOST_LINES:
        fresh[-1] = LogLine(fresh[-1].at, WARNING, LEFT_OUT)
    if fresh:
        rows = [
            {"run_id": run_id, "number": number, "at": line.at, "level": line.level, "text": line.text}
            for number, line in enumerate(fresh, last + 1)
        ]
        connection.execute(insert(run_lines), rows)


def _kept(line: LogLine) -> LogLine:
    """A line as it is kept: whoever tells it, its time is one that can be shown."""
    return LogLine(min(max(line.at, 0), LATEST), line.level[:10], storable(line.text[:LONGEST]))


def unseen(tail: Sequence[LogLine], lines: Sequence[LogLine]) -> list[LogLine]:
    """What is new of lines, of which the first may be those that a log ends with: who told them did not hear back."""
    for length in range(min(len(tail), len(lines)), 0, -1):
        if list(tail[-length:]) == list(lines[:length]):
            return list(lines[length:])
    return list(lines)


# The queue of runs: each waits once, and what is asked for again meanwhile is merged into it.


QUEUED, RUNNING = "queued", "running"


class Trigger(StrEnum):
    """Why a run was asked for."""

    SCHEDULE = "schedule"
    USER = "user"
    AFTER = "after"  # another task ended well
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A run that is asked for. `times` is how often it was due: more than once when a scheduler was not there.

    `due_at` is the time that asks for it, `not_before` when it may begin, in unix seconds.
    """

    task_id: str
    cause: Trigger
    due_at: int
    not_before: int
    action: RunAction = SYNC
    attempt: int = 1
    times: int = 1
    asked_by: str | None = None


def queue(connection: Connection, wish: RunRequest) -> str:
    """Let a run wait, in a transaction that writes; its id.

    If a new run of the task for the same action waits already, it is that one: it counts the further times, begins when
    the earlier of the two may, and is a user's if one of them is.
    """
    action = action_text(wish.action)
    waiting = connection.execute(
        select(runs).where(
            runs.c.task_id == wish.task_id, runs.c.action == action, runs.c.status == QUEUED, runs.c.claims == 0
        )
    ).one_or_none()
    if waiting is not None:
        more = {} if wish.cause is not Trigger.USER else {"cause": wish.cause, "asked_by": wish.asked_by}
        connection.execute(
            update(runs)
            .where(runs.c.id == waiting.id)
            .values(
                merged=waiting.merged + (wish.times if wish.cause is not Trigger.RETRY else 0),
                attempt=max(waiting.attempt, wish.attempt),
                not_before=min(waiting.not_before, wish.not_before),
                **more,
            )
        )
        return str(waiting.id)
    return _insert(connection, wish, action)


def action_text(action: RunAction) -> str:
    """An action as it is kept: the same for the same."""
    return msgspec.json.encode(action).decode()


def action_of(text: str) -> RunAction:
    """An action as it was kept."""
    return msgspec.json.decode(text, type=RunAction)


def _insert(connection: Connection, wish: RunRequest, action: str) -> str:
    place = connection.execute(
        select(connections.c.workspace, connections.c.gateway)
        .join(tasks, tasks.c.connection_id == connections.c.id)
        .where(tasks.c.id == wish.task_id)
    ).one()
    run_id = uuid.uuid4().hex
    connection.execute(
        insert(runs).values(
            id=run_id,
            task_id=wish.task_id,
            workspace=place.workspace,
            gateway=place.gateway,
            cause=wish.cause,
            action=action,
            status=QUEUED,
            attempt=wish.attempt,
            claims=0,
            merged=wish.times - 1,
            asked_by=wish.asked_by,
            due_at=wish.due_at,
            not_before=wish.not_before,
            cancelling=False,
        )
    )
    return run_id


# How a run ends, and what follows: another try, tasks that run after it, notifications; all in one transaction.


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


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How a run of a task ended. `attempt` counts the tries, the first one included; `will_retry`: another follows."""

    run_id: str
    task: str
    status: str
    attempt: int
    error: str | None
    report: Report | None
    will_retry: bool

    @property
    def failed_tables(self) -> list[TableReport]:
        """The tables that failed."""
        return [one for one in self._tables if one.status is Status.FAILED]

    @property
    def short_tables(self) -> list[TableReport]:
        """The tables whose copy is not what it must be."""
        return [one for one in self._tables if one.proof is not None and one.proof.verdict is VerificationStatus.SHORT]

    @property
    def frozen_tables(self) -> list[TableReport]:
        """The tables that failed for a field that they do not know."""
        return [one for one in self._tables if one.frozen_out]

    @property
    def new_columns(self) -> dict[str, list[str]]:
        """The columns that the run has made, by table."""
        return {one.name: one.new_columns for one in self._tables if one.new_columns}

    @property
    def is_only_short(self) -> bool:
        """Whether nothing failed but proofs."""
        return bool(self.short_tables) and all(one in self.short_tables for one in self.failed_tables)

    @property
    def is_only_frozen(self) -> bool:
        """Whether nothing failed but tables with a frozen schema."""
        return bool(self.frozen_tables) and all(one.frozen_out for one in self.failed_tables)

    @property
    def _tables(self) -> list[TableReport]:
        return self.report.tables if self.report is not None else []


#: What else is done when a run ends, in the transaction that ends it: with the row of its task, the channels that the
#: task notifies, how the run ended, and the time.
OutcomeHook = Callable[[Connection, Row[Any], Sequence[str], EndedRun, int], None]  # Any: of every column


def conclude(
    connection: Connection, run: Row[Any], end: Outcome, now: int, ended: OutcomeHook
) -> bool:  # Any: as above
    """Record the end of a run that waits or is executed, and let follow what does; whether it had not ended before.

    For a transaction that writes: the end, what follows and what `ended` does are committed together, or nothing is.
    """
    status = end.status if end.status in ENDS else str(Status.FAILED)
    if run.cancelling and status == Status.INTERRUPTED:
        status = CANCELLED
    error = None if end.error is None else storable(end.error)
    changed = connection.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.status.in_((QUEUED, RUNNING)))
        .values(status=status, ended_at=now, error=error, lease_until=None, **_measured(end.report))
    )
    if not changed.rowcount:
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
    ended(connection, task, settings.notify, told, now)
    return True


def _settings(text: str) -> TaskSettings | None:
    """The settings of a task; None when another version of this program has kept what this one cannot read."""
    try:
        return settings_from(text, TaskSettings)
    except InvalidSettings:
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


# Runs whose worker has not been heard of: each waits again for another worker, a bounded number of times.


LEASE = 60  # seconds for which a run is its worker's, from each sign of life on
MOST_CLAIMS = 5


def extend_unheard(database: Database, now: int, lease: int) -> None:
    """Let runs be their workers' for another lease whose last one ran out while no scheduler was there.

    For what is over and was not given up, none was: so these workers could not be heard of.
    """
    with database.writing() as connection:
        over = (runs.c.status == RUNNING) & (runs.c.lease_until < now)
        connection.execute(update(runs).where(over).values(lease_until=now + lease))


def give_up_lost_runs(database: Database, now: int, lease: int, ended: OutcomeHook) -> int:
    """Take runs from workers that have not been heard of for the time of a lease; how many there were.

    Such a run waits again and goes on from where it was. One that was lost by several workers ends as failed, since it
    may be what ends them; one that was to be cancelled ends as cancelled. For the time of another lease a lost worker
    may come back to its run, unless another has taken it.
    """
    over = (runs.c.status == RUNNING) & (runs.c.lease_until < now)
    with database.reading() as connection:
        if connection.scalar(select(runs.c.id).where(over).limit(1)) is None:
            return 0
    with database.writing() as connection:
        lost = connection.execute(select(runs).where(over)).all()
        for run in lost:
            _give_up(connection, run, now, lease, ended)
    return len(lost)


def _give_up(
    connection: Connection, run: Row[Any], now: int, lease: int, ended: OutcomeHook
) -> None:  # Any: of every column
    said = f"The worker {run.worker} was not heard of for {lease} seconds."
    if run.cancelling:
        conclude(connection, run, Outcome(status=CANCELLED), now, ended)
        return
    if run.claims >= MOST_CLAIMS:
        error = (
            f"{run.claims} workers in turn were lost while they executed this run; it may need more memory than they "
            "have. Look at the machine's own log, give it more memory, and retry the run: it goes on where it was."
        )
        conclude(connection, run, Outcome(status=Status.FAILED, error=error), now, ended)
        return
    add_lines(
        connection, run.id, [LogLine(now, WARNING, f"{said} The run waits for a worker, and goes on where it was.")]
    )
    connection.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.status == RUNNING, runs.c.lease_until == run.lease_until)
        .values(status=QUEUED, lease_until=now + lease)
    )


# Runs that a worker gives back because it is stopped: they wait for another one at once.


def give_back(
    database: Database, gateway: str | None, worker: str, run_id: str, lines: Sequence[LogLine], now: int
) -> bool:
    """Let a run wait again, if it is this worker's and nobody wants it to end; whether it was so.

    It counts as one that was begun, but not as one that lost its worker.
    """
    mine = runs.c.id == run_id, runs.c.gateway == gateway, runs.c.worker == worker
    with database.writing() as connection:
        given = connection.execute(
            update(runs)
            .where(*mine, runs.c.status == RUNNING, ~runs.c.cancelling)
            .values(
                status=QUEUED,
                worker=None,
                lease_until=None,
                claims=case((runs.c.claims > 1, runs.c.claims - 1), else_=1),
            )
        )
        if given.rowcount:
            said = "Its worker was stopped. The run waits for another one, and goes on where it was."
            add_lines(connection, run_id, [*lines, LogLine(now, INFO, said)])
    return bool(given.rowcount)


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
        ended: OutcomeHook,
        *,
        gateway: str | None = None,
        reveal: Reveal | None = None,
        lease: int = LEASE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ended = ended
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
                    except Refused as error:
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
            conclude(connection, run, end, now, self._ended)
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
        conclude(connection, run, Outcome(status=Status.REFUSED, error=error), now, self._ended)

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
        raise BoardAwayError(error.cause, error.fix) from None
