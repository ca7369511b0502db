"""API endpoints for connections, tasks and runs."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import delete, get, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter

from cio_replicate.app.plan import PlanReport
from cio_replicate.app.verify import MOST_REQUESTS, VerificationReport
from cio_replicate.base.errors import Conflict
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console import gateways
from cio_replicate.console.api.api_models import (
    ConnectionBody,
    EditedConnection,
    EditedTask,
    NewConnection,
    NewTask,
    PendingProbe,
    ProbeAnswerBody,
    ProbeBody,
    QueuedRun,
    RunDetail,
    RunSummary,
    TaskBody,
    connection_shown,
    run_detail,
    run_summary,
    task_shown,
)
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import (
    ADMIN,
    ID,
    LATEST,
    NAME,
    OPERATOR,
    VIEWER,
    AnyRequest,
    Id,
    Name,
    RunId,
    TableName,
    actor_of,
    taking,
)
from cio_replicate.console.web.services import With
from cio_replicate.jobs.ports import ProbeResult, RunAction
from cio_replicate.jobs.runs import SkippedTimes, StoredLogLine

CONNECTION_TAGS = ["Connections"]
ON_GATEWAY = Conflict(
    "The connection is reached from its data gateway alone.",
    "Ask it: POST …/inquiries, then GET …/inquiries/NUMBER.",
)


@get("/api/v1/connections", tags=CONNECTION_TAGS, **VIEWER)
def list_connections(services: With) -> list[ConnectionBody]:
    """List all connections."""
    return [connection_shown(one) for one in services.connections.all()]


@post("/api/v1/connections", tags=CONNECTION_TAGS, **taking(ConnectionSettings, ADMIN))
def create_connection(request: AnyRequest, services: With, data: JSONBody[NewConnection]) -> ConnectionBody:
    """Make a connection."""
    token = Secret(data.access_token) if data.access_token is not None else None
    return connection_shown(services.connections.create(data.name, data.settings, actor_of(request), token))


@get("/api/v1/connections/{name:str}", tags=CONNECTION_TAGS, **VIEWER)
def show_connection(services: With, name: Name) -> ConnectionBody:
    """Show a connection; its access token is never shown."""
    return connection_shown(services.connections.named(name))


@put("/api/v1/connections/{name:str}", tags=CONNECTION_TAGS, **taking(ConnectionSettings, ADMIN))
def edit_connection(
    request: AnyRequest, services: With, name: Name, data: JSONBody[EditedConnection]
) -> ConnectionBody:
    """Give a connection these settings."""
    services.connections.named(name)
    token = Secret(data.access_token) if data.access_token is not None else None
    services.connections.edit(name, data.settings, actor_of(request), token)
    return connection_shown(services.connections.named(name))


@delete("/api/v1/connections/{name:str}", tags=CONNECTION_TAGS, **ADMIN)
def delete_connection(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a connection that no task uses; what was copied stays where it is."""
    services.connections.named(name)
    services.connections.delete(name, actor_of(request))


@post("/api/v1/connections/{name:str}/test", tags=CONNECTION_TAGS, status_code=200, **OPERATOR)
def test_connection(request: AnyRequest, services: With, name: Name) -> ProbeResult:
    """Find out whether the key works, and which tables it may read: a request for each table.

    What is wrong with it is in the answer, with the cause and the fix.
    """
    if services.connections.named(name).settings.gateway is not None:
        raise ON_GATEWAY
    return services.connections.test(name, actor_of(request))


@get("/api/v1/connections/{name:str}/metadata", tags=CONNECTION_TAGS, **VIEWER)
def show_metadata(services: With, name: Name) -> Metadata:
    """Show every table of a connection with its columns, and what was found out last."""
    return services.connections.last_metadata(name)


@post("/api/v1/connections/{name:str}/metadata", tags=CONNECTION_TAGS, status_code=200, **OPERATOR)
def open_metadata(request: AnyRequest, services: With, name: Name) -> Metadata:
    """Find out anew what the tables hold and what a full read costs: some thirty requests."""
    if services.connections.named(name).settings.gateway is not None:
        raise ON_GATEWAY
    return services.connections.open_metadata(name, actor_of(request))


@post("/api/v1/connections/{name:str}/inquiries", tags=CONNECTION_TAGS, **OPERATOR)
def ask_gateway(services: With, name: Name, data: JSONBody[ProbeBody]) -> PendingProbe:
    """Ask the data gateway of a connection whether its key works, or what its tables hold."""
    kept = services.connections.named(name)
    return PendingProbe(inquiry=gateways.ask(services.database, kept.settings, data.about, services.now))


@get("/api/v1/connections/{name:str}/inquiries/{number:str}", tags=CONNECTION_TAGS, **OPERATOR)
def show_answer(services: With, name: Name, number: Id) -> ProbeAnswerBody:
    """Show what a data gateway has answered; what it told of tables is kept as the connection's metadata."""
    kept = services.connections.named(name)
    reply = gateways.reply(services.database, number, services.now, kept.settings)
    if reply.found is not None and any(one.basis for one in reply.found.tables):
        services.connections.keep_metadata(kept.id, reply.found)
    return ProbeAnswerBody(waiting=reply.waiting, found=reply.found)


@get("/api/v1/connections/{name:str}/rows/{table:str}", tags=CONNECTION_TAGS, **OPERATOR)
def preview_rows(
    request: AnyRequest,
    services: With,
    name: Name,
    table: TableName,
    limit: Annotated[int, QueryParameter(ge=1, le=50)] = 10,
) -> list[dict[str, str | None]]:
    """Show the first rows of a table, as the source has them: one or two requests; nothing is kept."""
    kept = services.connections.named(name)
    found = services.probes.rows(kept, None, table, limit, actor_of(request))
    return [{column: None if value is None else str(value) for column, value in row.items()} for row in found.rows]


# The API of tasks: what the pages of tasks do.


TASK_TAGS = ["Tasks"]


@get("/api/v1/tasks", tags=TASK_TAGS, **VIEWER)
def list_tasks(services: With) -> list[TaskBody]:
    """List all tasks."""
    return [task_shown(one) for one in services.tasks.all()]


@post("/api/v1/tasks", tags=TASK_TAGS, **taking(TaskSettings, ADMIN))
def create_task(request: AnyRequest, services: With, data: JSONBody[NewTask]) -> TaskBody:
    """Make a task; its schedule counts from now on."""
    return task_shown(services.tasks.create(data.name, data.settings, actor_of(request)))


@get("/api/v1/tasks/{name:str}", tags=TASK_TAGS, **VIEWER)
def show_task(services: With, name: Name) -> TaskBody:
    """Show a task."""
    return task_shown(services.tasks.named(name))


@put("/api/v1/tasks/{name:str}", tags=TASK_TAGS, **taking(TaskSettings, ADMIN))
def edit_task(request: AnyRequest, services: With, name: Name, data: JSONBody[EditedTask]) -> TaskBody:
    """Give a task these settings; a run that goes on keeps those that it has."""
    services.tasks.named(name)
    services.tasks.edit(name, data.settings, actor_of(request))
    return task_shown(services.tasks.named(name))


@delete("/api/v1/tasks/{name:str}", tags=TASK_TAGS, **ADMIN)
def delete_task(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a task with its history, unless a run of it goes on; what was copied stays where it is."""
    services.tasks.named(name)
    services.tasks.delete(name, actor_of(request))


@post("/api/v1/tasks/{name:str}/pause", tags=TASK_TAGS, status_code=200, **OPERATOR)
def pause_task(request: AnyRequest, services: With, name: Name) -> TaskBody:
    """Let a task rest: it does not run by itself until it is resumed."""
    services.tasks.named(name)
    services.tasks.pause(name, actor_of(request))
    return task_shown(services.tasks.named(name))


@post("/api/v1/tasks/{name:str}/resume", tags=TASK_TAGS, status_code=200, **OPERATOR)
def resume_task(request: AnyRequest, services: With, name: Name) -> TaskBody:
    """Let a task go on; its schedule counts from now on."""
    services.tasks.named(name)
    services.tasks.pause(name, actor_of(request), paused=False)
    return task_shown(services.tasks.named(name))


@post("/api/v1/tasks/{name:str}/runs", tags=TASK_TAGS, **OPERATOR)
def ask_for_run(request: AnyRequest, services: With, name: Name, data: JSONBody[RunAction | None] = None) -> QueuedRun:
    """Let a task run now: without a body all that is due, else a resync of tables or a backfill of one."""
    services.tasks.named(name)
    return QueuedRun(run=services.runs.ask(name, actor_of(request), data or RunAction()))


@post("/api/v1/tasks/{name:str}/verify", tags=TASK_TAGS, status_code=200, **OPERATOR)
def verify_task(
    request: AnyRequest,
    services: With,
    name: Name,
    requests: Annotated[int, QueryParameter(ge=0, le=10_000, description="At most, to count lists at the source.")] = (
        MOST_REQUESTS
    ),
) -> VerificationReport:
    """Verify the copy of a task: its keys are read back, and lists are counted at the source; not behind a gateway."""
    task = services.tasks.named(name)
    connection = services.connections.named(task.settings.connection)
    return services.probes.verify(connection, task, actor_of(request), requests)


@post("/api/v1/tasks/{name:str}/plan", tags=TASK_TAGS, status_code=200, **OPERATOR)
def plan_task(request: AnyRequest, services: With, name: Name) -> PlanReport:
    """Estimate the requests and seconds of a task's next run, with very few requests; not behind a gateway."""
    task = services.tasks.named(name)
    connection = services.connections.named(task.settings.connection)
    return services.probes.plan(connection, task, actor_of(request))


@get("/api/v1/tasks/{name:str}/missed", tags=TASK_TAGS, **VIEWER)
def list_missed(services: With, name: Name) -> list[SkippedTimes]:
    """List the newest times at which a task was due and was not run, each with the reason."""
    return services.runs.missed(name)


# The API of runs: what the pages of runs do.


RUN_TAGS = ["Runs"]

Status = Literal["queued", "running", "complete", "failed", "refused", "interrupted", "cancelled"]


@get("/api/v1/runs", tags=RUN_TAGS, **VIEWER)
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


@get("/api/v1/runs/{run_id:str}", tags=RUN_TAGS, **VIEWER)
def show_run(services: With, run_id: RunId) -> RunDetail:
    """Show a run: its progress while it goes on, its report with the proof of each table when it has ended."""
    return run_detail(services.runs.show(run_id))


@get("/api/v1/runs/{run_id:str}/lines", tags=RUN_TAGS, **VIEWER)
def list_lines(
    services: With,
    run_id: RunId,
    after: Annotated[int, QueryParameter(ge=0, le=1_000_000, description="Only lines with a higher number.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 1_000,
) -> list[StoredLogLine]:
    """List the lines of a run's log."""
    return services.runs.lines(run_id, after, limit)


@post("/api/v1/runs/{run_id:str}/cancel", tags=RUN_TAGS, status_code=200, **OPERATOR)
def cancel_run(request: AnyRequest, services: With, run_id: RunId) -> RunSummary:
    """Stop a run: one that waits at once, one that goes on when the page under way is finished."""
    services.runs.show(run_id)
    return run_summary(services.runs.cancel(run_id, actor_of(request)))


@post("/api/v1/runs/{run_id:str}/retry", tags=RUN_TAGS, **OPERATOR)
def retry_run(request: AnyRequest, services: With, run_id: RunId) -> QueuedRun:
    """Do once more what a run that did not end well was to do."""
    services.runs.show(run_id)
    return QueuedRun(run=services.runs.retry(run_id, actor_of(request)))


HANDLERS = [
    list_connections,
    create_connection,
    show_connection,
    edit_connection,
    delete_connection,
    test_connection,
    show_metadata,
    open_metadata,
    ask_gateway,
    show_answer,
    preview_rows,
    list_tasks,
    create_task,
    show_task,
    edit_task,
    delete_task,
    pause_task,
    resume_task,
    ask_for_run,
    verify_task,
    plan_task,
    list_missed,
    list_runs,
    show_run,
    list_lines,
    cancel_run,
    retry_run,
]
