"""Ask for, cancel, retry and show runs, and say what a queued run waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, func, or_, select

from cio_replicate.base.errors import Conflict, InvalidSettings, NotFound
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options
from cio_replicate.config.documents import TaskSettings
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import record_of, settings_from
from cio_replicate.database.tables import connections, gateway_members, missed, run_lines, runs, tasks
from cio_replicate.jobs.local_engine import QUEUED, RUNNING, action_of
from cio_replicate.jobs.ports import SYNC, ActionKind, Dispatch, RunAction, RunRequest, Trigger
from cio_replicate.pipeline.events import LogLine, Progress
from cio_replicate.pipeline.report import Report, Status, read_report
from cio_replicate.source import catalog
from cio_replicate.source.catalog.selection import stretch

# What a run that waits is waiting for, in a sentence.

QUIET = 60  # seconds after which a gateway's machine counts as away


def why_it_waits(connection: Connection, run: Row[Any], now: int) -> str:  # Any: of every column
    """Return what keeps a queued run from being executed, as far as the database shows."""
    if run.not_before > now:
        return f"It begins at {_moment(run.not_before)} at the earliest."
    task = connection.execute(
        select(tasks.c.paused, connections.c.workspace, connections.c.gateway)
        .join(connections, connections.c.id == tasks.c.connection_id)
        .where(tasks.c.id == run.task_id)
    ).one()
    if task.paused and run.cause != Trigger.USER and run.claims == 0:
        return "Its task is paused."
    busy = connection.execute(
        select(tasks.c.name, tasks.c.id)
        .join(runs, runs.c.task_id == tasks.c.id)
        .where(runs.c.status == RUNNING, or_(runs.c.task_id == run.task_id, runs.c.workspace == task.workspace))
        .limit(1)
    ).first()
    if busy is not None and busy.id == run.task_id:
        return "A run of its task goes on."
    if busy is not None:
        return f"A run of {busy.name} goes on, which reads the same workspace: they share its request budget."
    if task.gateway is not None and _is_away(connection, task.gateway, now):
        return f"No machine of the gateway {task.gateway} has been heard of in the last {QUIET} seconds."
    return "It waits for a worker: the console, `cio-replicate scheduler`, or its gateway takes it."


def _is_away(connection: Connection, gateway: str, now: int) -> bool:
    seen = connection.scalar(
        select(func.max(gateway_members.c.seen_at)).where(
            gateway_members.c.gateway == gateway, gateway_members.c.revoked_at.is_(None)
        )
    )
    return seen is None or seen < now - QUIET


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


MOST_LISTED = 500
SHORTEST_PREFIX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunSummary:
    """A run, as lists show it. Moments are unix seconds, `budget_used` is a share from 0 to 1.

    `rows` counts rows that changed in the copy; `merged` how often it was asked for besides.
    """

    id: str
    task: str
    cause: str
    action: RunAction
    status: str
    attempt: int
    claims: int
    merged: int
    asked_by: str | None
    due_at: int
    not_before: int
    started_at: int | None
    ended_at: int | None
    worker: str | None
    gateway: str | None
    cancelling: bool
    error: str | None
    rows: int | None
    requests: int | None
    budget_used: float | None

    @property
    def seconds(self) -> int | None:
        """How long it took from its first start to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at

    @property
    def has_ended(self) -> bool:
        """Whether it is neither queued nor running."""
        return self.status not in (QUEUED, RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRunDetail:
    """One run with all that is known of it. `waits` says in a sentence what it waits for."""

    run: StoredRunSummary
    progress: Progress | None
    report: Report | None
    waits: str | None


@dataclass(frozen=True, slots=True)
class StoredLogLine:
    """A line of a run's log, and its number, from 1."""

    number: int
    line: LogLine


@dataclass(frozen=True, slots=True)
class SkippedTimes:
    """Times at which a task was due and was not run: the last of them, how many, and why."""

    due_at: int
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Runs:
    """What may be done with runs. All raise NotFound for what is not there, DatabaseError when the store is away.

    What changes something needs an operator, and is noted in the audit log.
    """

    database: Database
    clock: Clock
    dispatch: Dispatch

    def ask(self, task: str, by: Actor, action: RunAction = SYNC) -> str:
        """Let a run wait for a worker; its id, or that of a run for the same that waits already."""
        by.require(Role.OPERATOR)
        now = int(self.clock.now())
        with self.database.updating() as connection:
            row = _task(connection, task)
            action = _checked(action, settings_from(row.settings, TaskSettings), now)
            run_id = self.dispatch.ask(connection, _wish(row.id, action, by, now))
            record(connection, now, by, "run.ask", task, f"{_shown(action)}, run {run_id[:12]}")
            return run_id

    def cancel(self, run_id: str, by: Actor) -> StoredRunSummary:
        """End a run that waits; ask one that is executed to end in order. One that has ended stays as it ended."""
        by.require(Role.OPERATOR)
        now = int(self.clock.now())
        with self.database.updating() as connection:
            run = _run(connection, run_id)
            if not self.dispatch.cancel(connection, run.id):
                return _row(run)
            record(connection, now, by, "run.cancel", run.task_name, f"run {run.id[:12]}")
            return _row(_run(connection, run.id))

    def retry(self, run_id: str, by: Actor) -> str:
        """Do once more what a run that did not end well was to do; the id of the run that waits for a worker."""
        by.require(Role.OPERATOR)
        now = int(self.clock.now())
        with self.database.updating() as connection:
            run = _run(connection, run_id)
            if run.status in (QUEUED, RUNNING, Status.COMPLETE):
                raise Conflict(
                    f"The run {run.id[:12]} is {run.status}: there is nothing to retry.",
                    f"cio-replicate task run {run.task_name} asks for another.",
                )
            new = self.dispatch.ask(connection, _wish(run.task_id, action_of(run.action), by, now))
            record(connection, now, by, "run.retry", run.task_name, f"run {run.id[:12]} as {new[:12]}")
            return new

    def listed(
        self,
        *,
        task: str | None = None,
        status: str | None = None,
        limit: int = 50,
        before: int | None = None,
        past: str | None = None,
    ) -> list[StoredRunSummary]:
        """The newest first: perhaps of one task, of one status, due before a moment, or what is listed past a run.

        Several may be due at the same moment, so a list goes on `past` the last run of the one before.
        """
        query = _select().order_by(runs.c.due_at.desc(), runs.c.id).limit(min(limit, MOST_LISTED))
        with self.database.reading() as connection:
            if task is not None:
                query = query.where(runs.c.task_id == _task(connection, task).id)
            if status is not None:
                query = query.where(runs.c.status == status)
            if before is not None:
                query = query.where(runs.c.due_at < before)
            if past is not None:
                last = _run(connection, past)
                at_once = (runs.c.due_at == last.due_at) & (runs.c.id > last.id)
                query = query.where(or_(runs.c.due_at < last.due_at, at_once))
            return [_row(run) for run in connection.execute(query)]

    def show(self, run_id: str) -> StoredRunDetail:
        """One run; its id may be shortened as long as it is the only one."""
        with self.database.reading() as connection:
            run = _run(connection, run_id)
            return StoredRunDetail(
                run=_row(run),
                progress=msgspec.json.decode(run.progress, type=Progress) if run.progress else None,
                report=read_report(run.report) if run.report else None,
                waits=why_it_waits(connection, run, int(self.clock.now())) if run.status == QUEUED else None,
            )

    def lines(self, run_id: str, after: int = 0, limit: int = 1_000) -> list[StoredLogLine]:
        """Return the log of a run, from the line after this number on."""
        with self.database.reading() as connection:
            query = select(run_lines).where(run_lines.c.number > after).order_by(run_lines.c.number).limit(limit)
            return _lines(connection, run_id, query)

    def last_lines(self, run_id: str, count: int) -> list[StoredLogLine]:
        """Return the newest lines of a run's log, the oldest of them first."""
        with self.database.reading() as connection:
            return _lines(connection, run_id, select(run_lines).order_by(run_lines.c.number.desc()).limit(count))[::-1]

    def history(self, task: str, limit: int = 100) -> list[StoredRunSummary]:
        """The last runs of a task that have ended and were begun, the oldest first, as charts draw them."""
        with self.database.reading() as connection:
            query = (
                _select()
                .where(runs.c.task_id == _task(connection, task).id)
                .where(runs.c.ended_at.is_not(None), runs.c.started_at.is_not(None))
                .order_by(runs.c.due_at.desc(), runs.c.id)
                .limit(min(limit, MOST_LISTED))
            )
            return sorted(map(_row, connection.execute(query)), key=lambda run: (run.ended_at or 0, run.started_at))

    def missed(self, task: str, limit: int = 20) -> list[SkippedTimes]:
        """Return the newest times at which a task was due and was not run."""
        with self.database.reading() as connection:
            query = (
                select(missed.c.due_at, missed.c["count"], missed.c.reason)
                .where(missed.c.task_id == _task(connection, task).id)
                .order_by(missed.c.due_at.desc())
                .limit(limit)
            )
            return [SkippedTimes(*row) for row in connection.execute(query)]


def _wish(task_id: str, action: RunAction, by: Actor, now: int) -> RunRequest:
    return RunRequest(
        task_id=task_id, cause=Trigger.USER, due_at=now, not_before=now, action=action, asked_by=by.name[:100]
    )


def _checked(action: RunAction, task: TaskSettings, now: int) -> RunAction:
    """Return the action as it is stored: its tables those of the task, in the order of the list. Raises Refused."""
    if action.kind is ActionKind.SYNC:
        return SYNC
    chosen = connection_options.selected(catalog.names(), task.tables, task.exclude)
    unknown = [name for name in action.tables if name not in chosen]
    if unknown or not action.tables:
        said = f"The task has no table {unknown[0][:60]!r}." if unknown else "No table was named."
        raise InvalidSettings(said, f"It has: {', '.join(chosen)}.")
    if action.kind is ActionKind.RESYNC:
        return RunAction(kind=ActionKind.RESYNC, tables=tuple(name for name in chosen if name in action.tables))
    if len(action.tables) > 1:
        raise InvalidSettings("A backfill reads one table.", "Ask for one run for each table.")
    table = action.tables[0]
    stretch(table, action.first or "", action.until, now)
    return RunAction(kind=ActionKind.BACKFILL, tables=(table,), first=action.first, until=action.until)


def _shown(action: RunAction) -> str:
    return " ".join([action.kind, *action.tables, *filter(None, (action.first, action.until))])


def _select() -> Select[Any]:  # Any: of every column
    task_name = tasks.c.name.label("task_name")
    return select(runs, task_name).join(tasks, tasks.c.id == runs.c.task_id)


def _task(connection: Connection, name: str) -> Row[Any]:  # Any: of every column
    row = connection.execute(select(tasks).where(tasks.c.name == name)).one_or_none()
    if row is None:
        raise NotFound(f"There is no task {name[:80]!r}.", "`cio-replicate task list` shows them.")
    return row


def _run(connection: Connection, run_id: str) -> Row[Any]:  # Any: of every column
    """The run with this id, or the only one whose id begins so."""
    found: list[Row[Any]] = []
    if len(run_id) >= SHORTEST_PREFIX and run_id.isalnum():
        begin = run_id.lower()
        near = runs.c.id.between(begin, f"{begin}g")  # which an index serves, as all of it are digits from 0 to f
        found = list(connection.execute(_select().where(near, runs.c.id.startswith(begin)).limit(2)))
    if len(found) != 1:
        what = "Several runs begin" if found else "No run begins"
        raise NotFound(f"{what} with {run_id[:40]!r}.", "`cio-replicate runs list` shows them.")
    return found[0]


def _lines(connection: Connection, run_id: str, query: Select[Any]) -> list[StoredLogLine]:  # Any: of every column
    found = connection.execute(query.where(run_lines.c.run_id == _run(connection, run_id).id))
    return [StoredLogLine(row.number, LogLine(row.at, row.level, row.text)) for row in found]


def _row(run: Row[Any]) -> StoredRunSummary:  # Any: of every column
    used = run.budget_used / 1_000 if run.budget_used is not None else None
    return record_of(StoredRunSummary, run, task=run.task_name, action=action_of(run.action), budget_used=used)
