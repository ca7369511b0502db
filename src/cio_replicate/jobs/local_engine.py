"""The local engine: both ports over rows of the control database, which several consoles may work on at once.

Rows that are decided on are locked, a task before its runs; unique indexes let one run of a task wait for each action,
one be executed, and one of a workspace. SQLite has one writer at a time anyway.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import InvalidSettings, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import ConnectionSettings, TaskSettings, stored_names
from cio_replicate.database.connection import Database, upsert
from cio_replicate.database.rows import as_text, settings_from, storable
from cio_replicate.database.tables import WAITING, connections, run_lines, runs, tasks
from cio_replicate.jobs.outcomes import ENDS, EndedRun, OutcomeHook, measured, retry_pause
from cio_replicate.jobs.ports import (
    CANCELLED,
    SYNC,
    HeartbeatReply,
    Job,
    Lease,
    Outcome,
    RunAction,
    RunRequest,
    Trigger,
)
from cio_replicate.pipeline.events import INFO, LONGEST, WARNING, LogLine, Progress
from cio_replicate.pipeline.report import Status

#: Reveals stored secrets by their names, in a transaction that writes.
Reveal = Callable[[Connection, Iterable[str]], dict[str, str]]
QUEUED, RUNNING = "queued", "running"
LEASE = 60  # seconds for which a run is its worker's, from each sign of life on
AWAY = 15.0  # seconds without a scheduler after which workers may not have been heard
MOST_CLAIMS = 5  # workers that one run may lose
REST = 2  # seconds, whole ones, between two runs of a workspace: no second has requests of both
MOST_REFUSED = 20  # runs whose settings cannot be used, that one claim looks at


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Takes requests for runs, and hands out those of connections with this gateway, or with none.

    One run at a time is executed of a task, and of a workspace, whoever asks, and a second lies between two runs of a
    workspace, so that its budget is kept. Those that have waited longest come first. No state is held here, so that any
    number of engines may work on one database, from any thread. Secrets are revealed only by `reveal`, which no
    gateway's engine is given. `ended` is called when a run ends, in the transaction that ends it. `lease`: in seconds.
    """

    database: Database
    clock: Clock
    ended: OutcomeHook
    gateway: str | None = field(default=None, kw_only=True)
    reveal: Reveal | None = field(default=None, kw_only=True)
    lease: int = field(default=LEASE, kw_only=True)

    # --- dispatch ----------------------------------------------------------------------------------------------------

    def ask(self, transaction: Connection, request: RunRequest) -> str:
        """Enqueue a run, or merge the request into the one that waits for the same; return the run's id."""
        place = transaction.execute(
            select(connections.c.workspace, connections.c.gateway)
            .join(tasks, tasks.c.connection_id == connections.c.id)
            .where(tasks.c.id == request.task_id)
            .with_for_update(of=tasks, read=True, key_share=True)
        ).one_or_none()
        if place is None:
            raise InvalidSettings("The task was deleted.", "`cio-replicate task list` shows those that there are.")
        by_user = {"cause": request.cause, "asked_by": request.asked_by} if request.cause is Trigger.USER else {}
        statement = upsert(transaction, runs).values(
            id=uuid.uuid4().hex,
            task_id=request.task_id,
            workspace=place.workspace,
            gateway=place.gateway,
            cause=request.cause,
            action=as_text(request.action),
            status=QUEUED,
            attempt=request.attempt,
            claims=0,
            merged=request.times - 1,
            asked_by=request.asked_by,
            due_at=request.due_at,
            not_before=request.not_before,
            cancelling=False,
        )
        attempt, not_before = runs.c.attempt, runs.c.not_before
        merging = statement.on_conflict_do_update(
            index_elements=[runs.c.task_id, runs.c.action],
            index_where=WAITING,
            set_={
                "merged": runs.c.merged + (request.times if request.cause is not Trigger.RETRY else 0),
                "attempt": case((attempt < request.attempt, request.attempt), else_=attempt),
                "not_before": case((not_before > request.not_before, request.not_before), else_=not_before),
                **by_user,
            },
        )
        return str(transaction.scalar(merging.returning(runs.c.id)))

    def cancel(self, transaction: Connection, run_id: str) -> bool:
        """End a queued run, or ask a running one to end; return False for a run that has ended."""
        run = _locked(transaction, runs.c.id == run_id)
        if run is None or run.status not in (QUEUED, RUNNING):
            return False
        if run.status == QUEUED:
            self._conclude(transaction, run, Outcome(status=CANCELLED), self._now())
        else:
            transaction.execute(update(runs).where(runs.c.id == run.id).values(cancelling=True))
        return True

    def forget(self, transaction: Connection, task_id: str) -> bool:
        """Delete a task's runs; return False, and delete nothing, while one of them is running."""
        transaction.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update())
        of_task = runs.c.task_id == task_id
        transaction.execute(select(runs.c.id).where(of_task).order_by(runs.c.id).with_for_update())
        if transaction.scalar(select(exists().where(of_task, runs.c.status == RUNNING))):
            return False
        transaction.execute(delete(runs).where(of_task))
        return True

    # --- queue -------------------------------------------------------------------------------------------------------

    def claim(self, worker: str) -> Lease | None:
        """Return the run that has waited longest of those that may begin, now this worker's for the time of a lease.

        One whose settings cannot be used ends as refused instead.
        """
        now = self._now()
        with self.database.reading() as connection:  # as most often nothing is due
            if not connection.scalar(select(exists().where(runs.c.status == QUEUED, runs.c.not_before <= now))):
                return None
        for _ in range(MOST_REFUSED):
            with self.database.updating() as connection:
                row = self._claimed(connection, worker, now)
            if row is None:
                return None
            try:
                return Lease(self._job(row), self.lease)
            except Refused as error:
                self.end(worker, row.id, Outcome(status=Status.REFUSED, error=str(error)))
        return None

    def heartbeat(
        self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]
    ) -> HeartbeatReply:
        """Keep a run for the time of another lease.

        A worker that comes back after its lease has run out gets its run back unless another has it, or a run of the
        same workspace has begun: then it is lost.
        """
        values: dict[str, object] = {"status": RUNNING, "lease_until": self._now() + self.lease}
        if progress is not None:
            values["progress"] = as_text(progress)
        beat = update(runs).where(*self._mine(worker, run_id)).values(values).returning(runs.c.cancelling)
        with self.database.updating() as connection:
            try:
                with connection.begin_nested():
                    cancelling = connection.scalar(beat)
            except IntegrityError:  # another run of its task or its workspace has begun since
                cancelling = None
            if cancelling is None:
                return HeartbeatReply.LOST
            add_lines(connection, run_id, lines)
            return HeartbeatReply.CANCEL if cancelling else HeartbeatReply.GO_ON

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Record how a run ended, and let follow what does, once; a run that is not this worker's stays as it is.

        A run that is given back waits for another worker, unless a user wants it to end.
        """
        now = self._now()
        with self.database.updating() as connection:
            run = _locked(connection, *self._mine(worker, run_id))
            if run is None:
                return HeartbeatReply.LOST
            add_lines(connection, run_id, end.lines)
            if end.given_back and run.status == RUNNING and not run.cancelling:
                _give_back(connection, run, now)
            else:
                self._conclude(connection, run, end, now)
            return HeartbeatReply.GO_ON

    # --- recovery ----------------------------------------------------------------------------------------------------

    def recover(self, since: float | None) -> int:
        """Take runs from workers that have not been heard of for the time of a lease; return how many there were.

        Such a run waits again and goes on from where it was. One that was lost by several workers ends as failed, since
        it may be what ends them; one that was to be cancelled ends as cancelled. For the time of another lease a lost
        worker may come back to its run, unless another has taken it.

        `since` are the seconds since this was last called. After long, or at first, workers may not have been heard of:
        each has its run for another lease.
        """
        now = self._now()
        over = (runs.c.status == RUNNING) & (runs.c.lease_until < now)
        with self.database.reading() as connection:
            lost = connection.scalars(select(runs.c.id).where(over)).all()
        if lost and (since is None or since > min(AWAY, self.lease)):
            with self.database.updating() as connection:
                connection.execute(update(runs).where(over).values(lease_until=now + self.lease))
            return 0
        count = 0
        for run_id in lost:
            with self.database.updating() as connection:
                run = _locked(connection, runs.c.id == run_id, over)
                if run is not None:
                    self._give_up(connection, run, now)
                    count += 1
        return count

    def _give_up(self, connection: Connection, run: Row[Any], now: int) -> None:  # Any: of every column
        if run.cancelling:
            self._conclude(connection, run, Outcome(status=CANCELLED), now)
            return
        if run.claims >= MOST_CLAIMS:
            error = (
                f"{run.claims} workers in turn were lost while they executed this run; it may need more memory than "
                "they have. Look at the machine's own log, give it more memory, and retry the run: it goes on where it "
                "was."
            )
            self._conclude(connection, run, Outcome(status=Status.FAILED, error=error), now)
            return
        text = f"The worker {run.worker} was not heard of for {self.lease} seconds."
        text = f"{text} The run waits for a worker, and goes on where it was."
        add_lines(connection, run.id, [LogLine(now, WARNING, text)])
        connection.execute(update(runs).where(runs.c.id == run.id).values(status=QUEUED, lease_until=now + self.lease))

    # --- how a run ends ----------------------------------------------------------------------------------------------

    def _conclude(self, transaction: Connection, run: Row[Any], end: Outcome, now: int) -> None:  # Any: of every column
        """Record the end of a locked run, and let follow what does: a retry, the tasks after it, notifications."""
        status = end.status if end.status in ENDS else str(Status.FAILED)
        if run.cancelling and status == Status.INTERRUPTED:
            status = CANCELLED
        error = None if end.error is None else storable(end.error)
        transaction.execute(
            update(runs)
            .where(runs.c.id == run.id)
            .values(status=status, ended_at=now, error=error, lease_until=None, **measured(end.report))
        )
        task = transaction.execute(select(tasks).where(tasks.c.id == run.task_id)).one()
        settings = _settings(task.settings)
        if settings is None:
            return
        passing = end.report is not None and end.report.passing
        retries = 0 if run.cancelling else settings.retries  # somebody wants no more of it
        pause = retry_pause(status, run.attempt, retries, settings.retry_pause, passing=passing)
        if pause is not None:
            retry = RunRequest(
                task_id=run.task_id,
                cause=Trigger.RETRY,
                due_at=now + pause,
                not_before=now + pause,
                action=action_of(run.action),
                attempt=run.attempt + 1,
                asked_by=run.asked_by,
            )
            self.ask(transaction, retry)
        elif status == Status.COMPLETE and action_of(run.action) == SYNC:
            self._ask_followers(transaction, task.name, now)
        ended = EndedRun(run.id, task.name, status, run.attempt, error, end.report, will_retry=pause is not None)
        self.ended(transaction, task, settings.notify, ended, now)

    def _ask_followers(self, transaction: Connection, name: str, now: int) -> None:
        """Enqueue the tasks that run after this one."""
        followers = select(tasks.c.id).where(tasks.c.after_task == name, ~tasks.c.paused).order_by(tasks.c.name)
        for task_id in transaction.scalars(followers.with_for_update(read=True, key_share=True)).all():
            self.ask(transaction, RunRequest(task_id=task_id, cause=Trigger.AFTER, due_at=now, not_before=now))

    # --- claims ------------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self.clock.now())

    def _claimed(self, transaction: Connection, worker: str, now: int) -> Row[Any] | None:  # Any: of every column
        """Take the first run that may begin and that no other worker is just taking; None when there is none."""
        waiting = self._waiting(worker, now).with_for_update(of=runs, key_share=True, skip_locked=True)
        while (row := transaction.execute(waiting).first()) is not None:
            with suppress(IntegrityError), transaction.begin_nested():  # of the index of one run per workspace
                self._take(transaction, row, worker, now)
                return row
        return None

    def _waiting(self, worker: str, now: int) -> Select[Any]:  # Any: of every column
        """Select the run that a worker is to begin, with its task's and its connection's settings."""
        same_task, same_workspace, last = (runs.alias(name) for name in ("same_task", "same_workspace", "last"))
        workspace = connections.c.workspace
        busy = (
            exists().where(same_task.c.status == RUNNING, same_task.c.task_id == runs.c.task_id),
            exists().where(same_workspace.c.status == RUNNING, same_workspace.c.workspace == workspace),
            exists().where(last.c.ended_at > now - REST, last.c.started_at.is_not(None), last.c.workspace == workspace),
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
                _is(connections.c.gateway, self.gateway),
                free,
                wanted,
                *(~one for one in busy),
            )
            .order_by(runs.c.not_before, runs.c.due_at, runs.c.id)
            .limit(1)
        )

    def _take(self, connection: Connection, run: Row[Any], worker: str, now: int) -> None:  # Any: as above
        connection.execute(
            update(runs)
            .where(runs.c.id == run.id, runs.c.status == QUEUED)
            .values(
                status=RUNNING,
                worker=worker,
                gateway=self.gateway,
                workspace=run.workspace_now,
                claims=runs.c.claims + 1,
                started_at=func.coalesce(runs.c.started_at, now),
                lease_until=now + self.lease,
            )
        )

    def _job(self, run: Row[Any]) -> Job:  # Any: as above
        reached = settings_from(run.connection_settings, ConnectionSettings)
        task = settings_from(run.task_settings, TaskSettings)
        names = [*stored_names(reached), *stored_names(task)]
        stored: dict[str, str] = {}
        if names and self.reveal is not None:
            with self.database.writing() as connection:
                stored = self.reveal(connection, names)
        return Job(
            run_id=run.id,
            task_id=run.task_id,
            task_name=run.task_name,
            connection=reached,
            task=task,
            action=action_of(run.action),
            stored=stored,
        )

    def _mine(self, worker: str, run_id: str) -> tuple[ColumnElement[bool], ...]:
        """Return what is true of a worker's run: it executes it, or did so until it was lost to nobody else."""
        held = or_(runs.c.status == RUNNING, (runs.c.status == QUEUED) & (runs.c.claims > 0))
        return runs.c.id == run_id, runs.c.worker == worker, _is(runs.c.gateway, self.gateway), held


def _is(column: ColumnElement[str | None], value: str | None) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _locked(transaction: Connection, *where: ColumnElement[bool]) -> Row[Any] | None:  # Any: of every column
    """Lock the task of a run, then the run itself, in the order of all who lock both; return the run as it is then."""
    task_id = select(runs.c.task_id).where(*where).scalar_subquery()
    transaction.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update(key_share=True))
    return transaction.execute(select(runs).where(*where).with_for_update(key_share=True)).one_or_none()


def _give_back(transaction: Connection, run: Row[Any], now: int) -> None:  # Any: as above
    """Let a locked run wait for another worker: it counts as begun, but not as one that lost its worker."""
    values = {"status": QUEUED, "worker": None, "lease_until": None, "claims": max(1, run.claims - 1)}
    transaction.execute(update(runs).where(runs.c.id == run.id).values(values))
    text = "Its worker was stopped. The run waits for another one, and goes on where it was."
    add_lines(transaction, run.id, [LogLine(now, INFO, text)])


def _settings(text: str) -> TaskSettings | None:
    """Return the settings of a task; None when another version of this program has stored what this one cannot read."""
    try:
        return settings_from(text, TaskSettings)
    except InvalidSettings:
        return None


def action_of(text: str) -> RunAction:
    """Decode a stored action."""
    return msgspec.json.decode(text, type=RunAction)


# The log of a run: lines are added, none twice although they may be sent twice, and bounded in number.

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
    fresh = unseen(tail, [_bounded(line) for line in lines])
    fresh = fresh[: max(0, MOST_LINES - last)]
    if fresh and last + len(fresh) >= MOST_LINES:
        fresh[-1] = LogLine(fresh[-1].at, WARNING, LEFT_OUT)
    if fresh:
        rows = [
            {"run_id": run_id, "number": number, "at": line.at, "level": line.level, "text": line.text}
            for number, line in enumerate(fresh, last + 1)
        ]
        connection.execute(insert(run_lines), rows)


def _bounded(line: LogLine) -> LogLine:
    """Return a line as it can be stored, with a time that can be shown."""
    return LogLine(min(max(line.at, 0), LATEST), line.level[:10], storable(line.text[:LONGEST]))


def unseen(tail: Sequence[LogLine], lines: Sequence[LogLine]) -> list[LogLine]:
    """Return the new ones of lines, of which the first may be those that a log ends with, as they are sent again."""
    for length in range(min(len(tail), len(lines)), 0, -1):
        if list(tail[-length:]) == list(lines[:length]):
            return list(lines[length:])
    return list(lines)
