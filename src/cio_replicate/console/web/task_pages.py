"""Pages for tasks: list, detail, form, next times, and actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from litestar import Response, get, post
from litestar.params import FromQuery

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config import connection_options as settings
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, decoded
from cio_replicate.console.web import forms
from cio_replicate.console.web.authorization import (
    ADMIN,
    OPERATOR,
    VIEWER,
    AnyRequest,
    Name,
    actor_of,
    visitor_of,
)
from cio_replicate.console.web.forms import Sent, SubmittedForm, said_by, shown_fields
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Actor
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.sinks.kinds import KINDS
from cio_replicate.source import catalog
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies import strategy_class

TIMES = 5  # of a schedule that are shown


@get("/new-task", **ADMIN)
def new_task(request: AnyRequest, services: With, connection: FromQuery[str] = "") -> Response[Any]:
    """The form that makes a task."""
    return _form(request, services, None, connection=connection)


@post("/new-task", **ADMIN)
def create_task(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a task, or try its destination out."""
    name = form.text("name")
    if form.has("check"):
        return _checked(request, services, None, form)
    try:
        services.tasks.create(name, forms.task_of(form), actor_of(request))
        if form.has("run"):
            services.runs.ask(name, actor_of(request))
    except CioReplicateError as error:
        return _form(request, services, None, form, status=status_of(error), error=said(error))
    return go(f"/tasks/{name}", "created")


@get("/tasks/{name:str}/edit", **ADMIN)
def edit_form(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """The form that edits a task."""
    return _form(request, services, services.tasks.named(name))


@post("/tasks/{name:str}/edit", **ADMIN)
def edit_task(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Give a task other settings, or try its destination out."""
    kept = services.tasks.named(name)
    if form.has("check"):
        return _checked(request, services, kept, form)
    try:
        settings = replace(forms.task_of(form), paused=kept.paused)
        services.tasks.edit(name, settings, actor_of(request))
    except CioReplicateError as error:
        return _form(request, services, kept, form, status=status_of(error), error=said(error))
    return go(f"/tasks/{name}", "saved")


@post("/tasks/{name:str}/delete", **ADMIN)
def delete_task(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Delete a task with its history."""
    services.tasks.delete(name, actor_of(request))
    return go("/tasks", "deleted")


@post("/next-times", **ADMIN)
def next_times(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """A part of a page: when a task with the schedule of a form runs next."""
    try:
        found = forms.schedule_said(form)
        times = upcoming(decoded(found, ScheduleSettings), services.now) if found is not None else []
    except CioReplicateError as error:
        return page(request, "next_times.html", times=[], error=said(error))
    return page(request, "next_times.html", times=times)


def upcoming(settings: ScheduleSettings, now: int) -> list[int]:
    """The next times of a schedule. Raises Refused."""
    times: list[int] = []
    moment, planned = now, schedule(settings)
    while len(times) < TIMES:
        following = planned.next_after(moment)
        if following is None:
            break
        times.append(following)
        moment = following
    return times


def _checked(request: AnyRequest, services: WebServices, kept: StoredTask | None, form: SubmittedForm) -> Response[Any]:
    """What came of trying the destinations of a form out."""
    tried = services.probes.try_out(form.lines("to"), form.text("dataset"), actor_of(request))
    if request.headers.get("hx-request"):
        return page(request, "tried.html", tried=tried)
    return _form(request, services, kept, form, tried=tried)


def _form(
    request: AnyRequest,
    services: WebServices,
    kept: StoredTask | None,
    form: SubmittedForm | None = None,
    *,
    status: int = 200,
    connection: str = "",
    **more: Any,  # noqa: ANN401 - what else the template shows
) -> Response[Any]:
    visitor = visitor_of(request)
    settings = kept.settings if kept is not None else None
    shown = forms.shown(settings, form, visitor.zone if visitor is not None else "UTC")
    connections = services.connections.all()
    names = [one.name for one in connections]
    shown["connection"] = shown["connection"] or connection or (names[0] if names else "")
    opened = services.connections.last_metadata(shown["connection"]) if shown["connection"] in names else None
    return page(
        request,
        "task_form.html",
        status,
        kept=kept,
        name=form.text("name") if form is not None else "",
        own=shown,
        fields=shown_fields(TaskSettings, said_by(form, TaskSettings) if form is not None else settings),
        tables=forms.tables_to_choose(opened),
        opened=opened is not None and opened.at is not None,
        ways=forms.WAYS,
        kinds=KINDS,
        connections=connections,
        connections_choice=[(one, one) for one in names],
        tasks=[one.name for one in services.tasks.all() if kept is None or one.name != kept.name],
        channels=[one.name for one in services.channels.all()],
        run=form.has("run") if form is not None else False,
        **{"tried": None, **more},
    )


# Pages of tasks: all of them, and one with its next times, its history, and what can be done with it.


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
    kept = services.tasks.named(name)
    found = services.runs.history(name, RUNS_DRAWN)
    return page(request, "history.html", kept=kept, runs=found, missed=services.runs.missed(name))


@get("/tasks/{name:str}/verify", **OPERATOR)
def verify_form(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """The page that verifies the copy of a task."""
    return _probed(request, services, name, "verify.html")


@post("/tasks/{name:str}/verify", **OPERATOR)
def verify(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Verify the copy of a task."""
    return _probed(request, services, name, "verify.html", services.probes.verify)


@get("/tasks/{name:str}/plan", **OPERATOR)
def plan_form(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """The page that estimates the next run of a task."""
    return _probed(request, services, name, "plan.html")


@post("/tasks/{name:str}/plan", **OPERATOR)
def plan(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Estimate the next run of a task."""
    return _probed(request, services, name, "plan.html", services.probes.plan)


def _probed(
    request: AnyRequest,
    services: WebServices,
    name: Name,
    template: str,
    probe: Callable[[StoredConnection, StoredTask, Actor], object] | None = None,
) -> Response[Any]:
    """A page about a task, with what the probe found if there is one."""
    kept = services.tasks.named(name)
    connection = services.connections.named(kept.settings.connection)
    shown: dict[str, Any] = {"kept": kept, "gateway": connection.settings.gateway, "found": None}
    try:
        shown["found"] = probe(connection, kept, actor_of(request)) if probe is not None else None
    except CioReplicateError as error:
        return page(request, template, status_of(error), error=said(error), **shown)
    return page(request, template, **shown)


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
    kept = services.tasks.named(name)
    chosen = settings.selected(catalog.names(), kept.settings.tables, kept.settings.exclude)
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
        by_time=[one.name for one in TABLES if strategy_class(one).by_time and one.name in chosen],
        followers=[one.name for one in services.tasks.all() if one.settings.after == name],
        error=error,
    )


HANDLERS = [
    tasks,
    task,
    history,
    verify_form,
    verify,
    plan_form,
    plan,
    run,
    resync,
    backfill,
    pause,
    resume,
    new_task,
    create_task,
    edit_form,
    edit_task,
    delete_task,
    next_times,
]
