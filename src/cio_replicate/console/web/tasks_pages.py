"""Pages of tasks: all of them, and one with its next times, its history, and what can be done with it."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config import connection_options as settings
from cio_replicate.config.documents import TaskSettings
from cio_replicate.console.web.authorization import OPERATOR, VIEWER, AnyRequest, actor_of
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Name
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.console.web.settings_form import shown_fields
from cio_replicate.console.web.task_pages import upcoming
from cio_replicate.database.rows import StoredTask
from cio_replicate.jobs.job import ActionKind, RunAction
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.schema.table import Reading
from cio_replicate.source import catalog as catalogue
from cio_replicate.source.catalog import TABLES

RUNS_SHOWN, RUNS_DRAWN = 10, 100
NEWEST = 6  # more than wait of a task at a time


@get("/tasks", **VIEWER)
def tasks(request: AnyRequest, services: With) -> Response[Any]:
    """All tasks, each with its last run."""
    found = services.tasks.all()
    return page(
        request, "tasks.html", tasks=found, last=last_runs(services, found), connections=services.connections.all()
    )


@get("/tasks/{name:str}", **VIEWER)
def task(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """One task."""
    return _shown(request, services, name)


@get("/tasks/{name:str}/history", **VIEWER)
def history(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """The runs of a task over time, as charts and as a table."""
    kept = there(services.tasks.named, name)
    found = services.runs.history(name, RUNS_DRAWN)
    return page(request, "history.html", kept=kept, runs=found, missed=services.runs.missed(name))


@post("/tasks/{name:str}/run", **OPERATOR)
def run(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Let the task run now."""
    return go(f"/runs/{services.runs.ask(name, actor_of(request))}", "asked")


@post("/tasks/{name:str}/resync", **OPERATOR)
def resync(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Read tables anew, as if they had never been read."""
    return _asked(request, services, name, RunAction(kind=ActionKind.RESYNC, tables=tuple(form.texts("table"))))


@post("/tasks/{name:str}/backfill", **OPERATOR)
def backfill(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Read a stretch of time of a table once more."""
    action = RunAction(
        kind=ActionKind.BACKFILL,
        tables=tuple(form.texts("table")),
        first=form.text("first") or None,
        until=form.text("until") or None,
    )
    return _asked(request, services, name, action)


@post("/tasks/{name:str}/pause", **OPERATOR)
def pause(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Let the task rest."""
    services.tasks.pause(name, actor_of(request))
    return go(f"/tasks/{name}", "paused")


@post("/tasks/{name:str}/resume", **OPERATOR)
def resume(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Let the task go on."""
    services.tasks.pause(name, actor_of(request), paused=False)
    return go(f"/tasks/{name}", "resumed")


def last_runs(services: WebServices, found: list[StoredTask]) -> dict[str, StoredRunSummary]:
    """Of each task the newest run that has ended, or while there is none the newest."""
    last: dict[str, StoredRunSummary] = {}
    for one in found:
        newest = services.runs.listed(task=one.name, limit=NEWEST)
        ended = [run for run in newest if run.has_ended]
        if newest:
            last[one.name] = (ended or newest)[0]
    return last


def _asked(request: AnyRequest, services: WebServices, name: Name, action: RunAction) -> Response[Any]:
    try:
        run_id = services.runs.ask(name, actor_of(request), action)
    except CioReplicateError as error:
        return _shown(request, services, name, status=status_of(error), error=said(error))
    return go(f"/runs/{run_id}", "asked")


def _shown(
    request: AnyRequest, services: WebServices, name: Name, *, status: int = 200, error: dict[str, str] | None = None
) -> Response[Any]:
    kept = there(services.tasks.named, name)
    chosen = settings.selected(catalogue.names(), kept.settings.tables, kept.settings.exclude)
    planned = kept.settings.schedule
    return page(
        request,
        "task.html",
        status,
        kept=kept,
        fields=shown_fields(TaskSettings, kept.settings),
        usual=shown_fields(TaskSettings, None),
        runs=services.runs.listed(task=name, limit=RUNS_SHOWN),
        times=upcoming(planned, services.now) if planned is not None and not kept.paused else [],
        chosen=chosen,
        by_time=[one.name for one in TABLES if one.reading is Reading.WINDOWS and one.name in chosen],
        followers=[one.name for one in services.tasks.all() if one.settings.after == name],
        error=error,
    )


HANDLERS = (tasks, task, history, run, resync, backfill, pause, resume)
