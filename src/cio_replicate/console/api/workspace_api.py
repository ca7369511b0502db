"""API endpoints for connections, tasks and runs."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from litestar.params import FromQuery, JSONBody, QueryParameter

from cio_replicate.app.plan import PlanReport
from cio_replicate.app.verify import MOST_REQUESTS, VerificationReport
from cio_replicate.base.errors import Conflict
from cio_replicate.base.text import Secret, worded
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console import gateways
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import ID, LATEST, NAME, Id, Name, RunId, TableName
from cio_replicate.console.web.routes import By, Routes
from cio_replicate.console.web.services import With
from cio_replicate.database.actor import Role
from cio_replicate.database.rows import StoredConnection
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult, RunAction
from cio_replicate.jobs.runs import SkippedTimes, StoredLogLine, StoredRunSummary
from cio_replicate.pipeline.events import Progress
from cio_replicate.pipeline.report import Report

SECRET = 1_000_000  # characters at most

Body = TypeVar("Body", bound=msgspec.Struct)
BodyName = Annotated[str, msgspec.Meta(pattern=NAME)]
BodySecret = Annotated[str, msgspec.Meta(min_length=1, max_length=SECRET)]

CONNECTIONS = Routes("/api/v1/connections", "Connections")
TASKS = Routes("/api/v1/tasks", "Tasks")
RUNS = Routes("/api/v1/runs", "Runs")
ROUTES = (CONNECTIONS, TASKS, RUNS)

Status = Literal["queued", "running", "complete", "failed", "refused", "interrupted", "cancelled"]


class EditedConnection(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a connection. `access_token` takes the place of the one that is stored for it."""

    settings: ConnectionSettings
    access_token: BodySecret | None = None


class NewConnection(EditedConnection, kw_only=True):
    """A connection to be made. `access_token` is stored, encrypted, and named in the settings by itself."""

    name: BodyName


class ConnectionBody(msgspec.Struct, kw_only=True):
    """A connection. Moments are unix seconds."""

    name: str
    settings: ConnectionSettings
    created_at: int
    changed_at: int


class ProbeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a gateway is asked about a connection: `access`, whether the key works; `tables`, also what they hold."""

    about: ProbeRequest


class PendingProbe(msgspec.Struct, kw_only=True):
    """A question to a gateway: its number, by which the answer is asked for."""

    inquiry: str


class ProbeAnswerBody(msgspec.Struct, kw_only=True):
    """What became of a question: while it waits there is no answer; with neither, no machine of the gateway came."""

    waiting: bool
    found: ProbeResult | None


def shown(stored: object, body: type[Body]) -> Body:
    """Return what is stored as the API shows it: the fields that the body has."""
    return body(**{name: getattr(stored, name) for name in body.__struct_fields__})


def run_summary(stored: StoredRunSummary) -> RunSummary:
    """Return a run as the API lists it."""
    summary = shown(stored, RunSummary)
    summary.error = worded(summary.error, {}) if summary.error is not None else None
    return summary


def secret_of(text: str | None) -> Secret | None:
    """Return a secret that was sent, if one was."""
    return Secret(text) if text is not None else None


@CONNECTIONS("GET", Role.VIEWER)
def list_connections(services: With) -> list[ConnectionBody]:
    """List all connections."""
    return [shown(one, ConnectionBody) for one in services.connections.all()]


@CONNECTIONS("POST", Role.ADMIN, settings=ConnectionSettings)
def create_connection(services: With, by: By, data: JSONBody[NewConnection]) -> ConnectionBody:
    """Make a connection."""
    made = services.connections.create(data.name, data.settings, by, secret_of(data.access_token))
    return shown(made, ConnectionBody)


@CONNECTIONS("GET /{name:str}", Role.VIEWER)
def show_connection(services: With, name: Name) -> ConnectionBody:
    """Show a connection; its access token is never shown."""
    return shown(services.connections.named(name), ConnectionBody)


@CONNECTIONS("PUT /{name:str}", Role.ADMIN, settings=ConnectionSettings)
def edit_connection(services: With, by: By, name: Name, data: JSONBody[EditedConnection]) -> ConnectionBody:
    """Give a connection these settings."""
    services.connections.edit(name, data.settings, by, secret_of(data.access_token))
    return shown(services.connections.named(name), ConnectionBody)


@CONNECTIONS("DELETE /{name:str}", Role.ADMIN)
def delete_connection(services: With, by: By, name: Name) -> None:
    """Delete a connection that no task uses; what was copied stays where it is."""
    services.connections.delete(name, by)


@CONNECTIONS("POST /{name:str}/test", Role.OPERATOR, status_code=200)
def test_connection(services: With, by: By, name: Name) -> ProbeResult:
    """Find out whether the key works, and which tables it may read: a request for each table.

    What is wrong with it is in the answer, with the cause and the fix.
    """
    _require_here(services.connections.named(name))
    return services.connections.test(name, by)


@CONNECTIONS("GET /{name:str}/metadata", Role.VIEWER)
def show_metadata(services: With, name: Name) -> Metadata:
    """Show every table of a connection with its columns, and what was found out last."""
    return services.connections.last_metadata(name)


@CONNECTIONS("POST /{name:str}/metadata", Role.OPERATOR, status_code=200)
def open_metadata(services: With, by: By, name: Name) -> Metadata:
    """Find out anew what the tables hold and what a full read costs: some thirty requests."""
    _require_here(services.connections.named(name))
    return services.connections.open_metadata(name, by)


@CONNECTIONS("POST /{name:str}/inquiries", Role.OPERATOR)
def ask_gateway(services: With, name: Name, data: JSONBody[ProbeBody]) -> PendingProbe:
    """Ask the data gateway of a connection whether its key works, or what its tables hold."""
    stored = services.connections.named(name)
    return PendingProbe(inquiry=gateways.ask(services.database, stored.settings, data.about, services.now))


@CONNECTIONS("GET /{name:str}/inquiries/{number:str}", Role.OPERATOR)
def show_answer(services: With, name: Name, number: Id) -> ProbeAnswerBody:
    """Show what a data gateway has answered; what it told of tables is kept as the connection's metadata."""
    stored = services.connections.named(name)
    reply = gateways.reply(services.database, number, services.now, stored.settings)
    if reply.found is not None and any(one.basis for one in reply.found.tables):
        services.connections.keep_metadata(stored.id, reply.found)
    return ProbeAnswerBody(waiting=reply.waiting, found=reply.found)


@CONNECTIONS("GET /{name:str}/rows/{table:str}", Role.OPERATOR)
def preview_rows(
    services: With,
    by: By,
    name: Name,
    table: TableName,
    limit: Annotated[int, QueryParameter(ge=1, le=50)] = 10,
) -> list[dict[str, str | None]]:
    """Show the first rows of a table, as the source has them: one or two requests; nothing is kept."""
    stored = services.connections.named(name)
    found = services.probes.rows(stored, None, table, limit, by)
    return [{column: None if value is None else str(value) for column, value in row.items()} for row in found.rows]


class EditedTask(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a task."""

    settings: TaskSettings


class NewTask(EditedTask, kw_only=True):
    """A task to be made."""

    name: BodyName


class TaskBody(msgspec.Struct, kw_only=True):
    """A task. `next_at` is when its schedule lets it run next, in unix seconds; null when nothing does."""

    name: str
    settings: TaskSettings
    paused: bool
    next_at: int | None
    created_at: int
    changed_at: int


@TASKS("GET", Role.VIEWER)
def list_tasks(services: With) -> list[TaskBody]:
    """List all tasks."""
    return [shown(one, TaskBody) for one in services.tasks.all()]


@TASKS("POST", Role.ADMIN, settings=TaskSettings)
def create_task(services: With, by: By, data: JSONBody[NewTask]) -> TaskBody:
    """Make a task; its schedule counts from now on."""
    return shown(services.tasks.create(data.name, data.settings, by), TaskBody)


@TASKS("GET /{name:str}", Role.VIEWER)
def show_task(services: With, name: Name) -> TaskBody:
    """Show a task."""
    return shown(services.tasks.named(name), TaskBody)


@TASKS("PUT /{name:str}", Role.ADMIN, settings=TaskSettings)
def edit_task(services: With, by: By, name: Name, data: JSONBody[EditedTask]) -> TaskBody:
    """Give a task these settings; a run that goes on keeps those that it has."""
    services.tasks.edit(name, data.settings, by)
    return shown(services.tasks.named(name), TaskBody)


@TASKS("DELETE /{name:str}", Role.ADMIN)
def delete_task(services: With, by: By, name: Name) -> None:
    """Delete a task with its history, unless a run of it goes on; what was copied stays where it is."""
    services.tasks.delete(name, by)


@TASKS("POST /{name:str}/pause", Role.OPERATOR, status_code=200)
def pause_task(services: With, by: By, name: Name) -> TaskBody:
    """Let a task rest: it does not run by itself until it is resumed."""
    services.tasks.pause(name, by)
    return shown(services.tasks.named(name), TaskBody)


@TASKS("POST /{name:str}/resume", Role.OPERATOR, status_code=200)
def resume_task(services: With, by: By, name: Name) -> TaskBody:
    """Let a task go on; its schedule counts from now on."""
    services.tasks.pause(name, by, paused=False)
    return shown(services.tasks.named(name), TaskBody)


@TASKS("POST /{name:str}/runs", Role.OPERATOR)
def ask_for_run(services: With, by: By, name: Name, data: JSONBody[RunAction | None] = None) -> QueuedRun:
    """Let a task run now: without a body all that is due, else a resync of tables or a backfill of one."""
    services.tasks.named(name)
    return QueuedRun(run=services.runs.ask(name, by, data or RunAction()))


@TASKS("POST /{name:str}/verify", Role.OPERATOR, status_code=200)
def verify_task(
    services: With,
    by: By,
    name: Name,
    requests: Annotated[int, QueryParameter(ge=0, le=10_000, description="At most, to count lists at the source.")] = (
        MOST_REQUESTS
    ),
) -> VerificationReport:
    """Verify the copy of a task: its keys are read back, and lists are counted at the source; not behind a gateway."""
    task, connection = services.task_and_connection(name)
    return services.probes.verify(connection, task, by, requests)


@TASKS("POST /{name:str}/plan", Role.OPERATOR, status_code=200)
def plan_task(services: With, by: By, name: Name) -> PlanReport:
    """Estimate the requests and seconds of a task's next run, with very few requests; not behind a gateway."""
    task, connection = services.task_and_connection(name)
    return services.probes.plan(connection, task, by)


@TASKS("GET /{name:str}/missed", Role.VIEWER)
def list_missed(services: With, name: Name) -> list[SkippedTimes]:
    """List the newest times at which a task was due and was not run, each with the reason."""
    return services.runs.missed(name)


class RunSummary(msgspec.Struct, kw_only=True):
    """A run, as lists show it. Moments are unix seconds, `budget_used` is a share from 0 to 1."""

    id: str
    task: str
    cause: str
    action: RunAction
    status: str
    attempt: int
    merged: int
    asked_by: str | None
    due_at: int
    started_at: int | None
    ended_at: int | None
    seconds: int | None
    worker: str | None
    gateway: str | None
    cancelling: bool
    error: str | None
    rows: int | None
    requests: int | None
    budget_used: float | None


class RunDetail(msgspec.Struct, kw_only=True):
    """One run: `progress` while it goes on, `report` with the proof of each table when it has ended."""

    run: RunSummary
    waits: str | None
    progress: Progress | None
    report: Report | None


class QueuedRun(msgspec.Struct, kw_only=True):
    """A run that waits for its turn; it may be one that waited already."""

    run: str


@RUNS("GET", Role.VIEWER)
def list_runs(
    services: With,
    task: Annotated[str | None, QueryParameter(pattern=NAME, description="Only runs of this task.")] = None,
    status: FromQuery[Status | None] = None,
    before: Annotated[int | None, QueryParameter(ge=0, le=LATEST, description="Only runs due before then.")] = None,
    past: Annotated[str | None, QueryParameter(pattern=ID, description="Only what is listed past this run.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
) -> list[RunSummary]:
    """List runs, the newest first: perhaps of one task, of one status, or due before a moment.

    Several may be due at the same moment: the next sheet is what is listed past the last run of this one.
    """
    found = services.runs.listed(task=task, status=status, limit=limit, before=before, past=past)
    return [run_summary(one) for one in found]


@RUNS("GET /{run_id:str}", Role.VIEWER)
def show_run(services: With, run_id: RunId) -> RunDetail:
    """Show a run: its progress while it goes on, its report with the proof of each table when it has ended."""
    found = services.runs.show(run_id)
    run = run_summary(found.run)
    return RunDetail(run=run, waits=found.waits, progress=found.progress, report=found.report)


@RUNS("GET /{run_id:str}/lines", Role.VIEWER)
def list_lines(
    services: With,
    run_id: RunId,
    after: Annotated[int, QueryParameter(ge=0, le=1_000_000, description="Only lines with a higher number.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 1_000,
) -> list[StoredLogLine]:
    """List the lines of a run's log."""
    return services.runs.lines(run_id, after, limit)


@RUNS("POST /{run_id:str}/cancel", Role.OPERATOR, status_code=200)
def cancel_run(services: With, by: By, run_id: RunId) -> RunSummary:
    """Stop a run: one that waits at once, one that goes on when the page under way is finished."""
    return run_summary(services.runs.cancel(run_id, by))


@RUNS("POST /{run_id:str}/retry", Role.OPERATOR)
def retry_run(services: With, by: By, run_id: RunId) -> QueuedRun:
    """Do once more what a run that did not end well was to do."""
    return QueuedRun(run=services.runs.retry(run_id, by))


def _require_here(connection: StoredConnection) -> None:
    """Raise Conflict for a connection that only its data gateway reaches."""
    if connection.settings.gateway is not None:
        raise Conflict(
            "The connection is reached from its data gateway alone.",
            "Ask it: POST …/inquiries, then GET …/inquiries/NUMBER.",
        )
