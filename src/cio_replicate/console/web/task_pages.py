"""Pages for tasks: list, detail, form, next times, and actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from litestar.params import FromQuery

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config import connection_options
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, decoded
from cio_replicate.console.web import forms
from cio_replicate.console.web.authorization import Name
from cio_replicate.console.web.forms import form_with, shown_fields
from cio_replicate.console.web.rendering import go
from cio_replicate.console.web.routes import Page, Routes, Visit, Visiting
from cio_replicate.console.web.services import WebServices
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.sinks.kinds import KINDS
from cio_replicate.source import catalog
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies import strategy_class

ROUTES = route = Routes()

TIMES = 5  # of a schedule that are shown
RUNS_SHOWN, RUNS_DRAWN = 10, 100
NEWEST = 6  # more than wait of a task at a time


@route("GET /new-task", Role.ADMIN)
def new_task(visit: Visiting, connection: FromQuery[str] = "") -> Page:
    """Show the form that makes a task."""
    return _form(visit, None, connection)


@route("POST /new-task", Role.ADMIN, again=new_task)
def create_task(visit: Visiting) -> Page:
    """Make a task, or try its destination out."""
    if visit.form.has("check"):
        return _checked(visit, None)
    name = visit.form.text("name")
    visit.services.tasks.create(name, forms.task_of(visit.form), visit.by)
    if visit.form.has("run"):
        visit.services.runs.ask(name, visit.by)
    return go(f"/tasks/{name}", "created")


@route("GET /tasks/{name:str}/edit", Role.ADMIN)
def edit_form(visit: Visiting, name: Name) -> Page:
    """Show the form that edits a task."""
    return _form(visit, visit.services.tasks.named(name))


@route("POST /tasks/{name:str}/edit", Role.ADMIN, again=edit_form)
def edit_task(visit: Visiting, name: Name) -> Page:
    """Give a task other settings, or try its destination out."""
    kept = visit.services.tasks.named(name)
    if visit.form.has("check"):
        return _checked(visit, kept)
    visit.services.tasks.edit(name, replace(forms.task_of(visit.form), paused=kept.paused), visit.by)
    return go(f"/tasks/{name}", "saved")


@route("POST /tasks/{name:str}/delete", Role.ADMIN)
def delete_task(visit: Visiting, name: Name) -> Page:
    """Delete a task with its history."""
    visit.services.tasks.delete(name, visit.by)
    return go("/tasks", "deleted")


@route("POST /next-times", Role.ADMIN)
def next_times(visit: Visiting) -> Page:
    """Show, as a part of a page, when a task with the schedule of a form runs next."""
    try:
        found = forms.schedule_of(visit.form)
        times = upcoming(decoded(found, ScheduleSettings), visit.services.now) if found is not None else []
    except CioReplicateError as error:
        return visit.failed(error).showing(200).page("next_times.html", times=[])
    return visit.page("next_times.html", times=times)


def upcoming(settings: ScheduleSettings, now: int) -> list[int]:
    """Return the next times of a schedule. Raises InvalidSettings."""
    times: list[int] = []
    moment, planned = now, schedule(settings)
    while len(times) < TIMES:
        following = planned.next_after(moment)
        if following is None:
            break
        times.append(following)
        moment = following
    return times


def _checked(visit: Visit, kept: StoredTask | None) -> Page:
    """Return what came of trying the destinations of a form out."""
    tried = visit.services.probes.try_out(visit.form.lines("to"), visit.form.text("dataset"), visit.by)
    if visit.is_for_a_part:
        return visit.page("tried.html", tried=tried)
    return _form(visit.showing(tried=tried), kept)


def _form(visit: Visit, kept: StoredTask | None, connection: str = "") -> Page:
    """Return the form of a task, with what was sent, or its settings, or those of a new one."""
    connections = visit.services.connections.all()
    names = [one.name for one in connections]
    own = visit.form or forms.task_form(kept.settings if kept is not None else None, visit.user.zone)
    chosen = own.text("connection") or connection or (names[0] if names else "")
    opened = visit.services.connections.last_metadata(chosen) if chosen in names else None
    return visit.page(
        "task_form.html",
        kept=kept,
        own=own,
        chosen=chosen,
        fields=shown_fields(TaskSettings, own),
        tables=forms.tables_to_choose(opened),
        opened=opened is not None and opened.at is not None,
        ways=forms.WAYS,
        kinds=KINDS,
        connections=connections,
        connections_choice=[(one, one) for one in names],
        tasks=[one.name for one in visit.services.tasks.all() if kept is None or one.name != kept.name],
        channels=[one.name for one in visit.services.channels.all()],
        tried=None,
    )


@route("GET /tasks", Role.VIEWER)
def tasks(visit: Visiting) -> Page:
    """Show all tasks, each with its last run."""
    found, connections = visit.services.tasks.all(), visit.services.connections.all()
    return visit.page("tasks.html", tasks=found, last=last_runs(visit.services, found), connections=connections)


@route("GET /tasks/{name:str}", Role.VIEWER)
def task(visit: Visiting, name: Name) -> Page:
    """Show one task."""
    services = visit.services
    kept = services.tasks.named(name)
    chosen = connection_options.selected(catalog.names(), kept.settings.tables, kept.settings.exclude)
    planned = kept.settings.schedule
    return visit.page(
        "task.html",
        kept=kept,
        fields=shown_fields(TaskSettings, form_with(TaskSettings, kept.settings)),
        usual=shown_fields(TaskSettings, form_with(TaskSettings, None)),
        runs=services.runs.listed(task=name, limit=RUNS_SHOWN),
        times=upcoming(planned, services.now) if planned is not None and not kept.paused else [],
        chosen=chosen,
        by_time=[one.name for one in TABLES if strategy_class(one).by_time and one.name in chosen],
        followers=[one.name for one in services.tasks.all() if one.settings.after == name],
    )


@route("GET /tasks/{name:str}/history", Role.VIEWER)
def history(visit: Visiting, name: Name) -> Page:
    """Show the runs of a task over time, as charts and as a table."""
    kept, runs = visit.services.tasks.named(name), visit.services.runs
    return visit.page("history.html", kept=kept, runs=runs.history(name, RUNS_DRAWN), missed=runs.missed(name))


@route("GET /tasks/{name:str}/verify", Role.OPERATOR)
def verify_form(visit: Visiting, name: Name) -> Page:
    """Show the page that verifies the copy of a task."""
    return _probed(visit, name, "verify.html")


@route("POST /tasks/{name:str}/verify", Role.OPERATOR, again=verify_form)
def verify(visit: Visiting, name: Name) -> Page:
    """Verify the copy of a task."""
    return _probed(visit, name, "verify.html", visit.services.probes.verify)


@route("GET /tasks/{name:str}/plan", Role.OPERATOR)
def plan_form(visit: Visiting, name: Name) -> Page:
    """Show the page that estimates the next run of a task."""
    return _probed(visit, name, "plan.html")


@route("POST /tasks/{name:str}/plan", Role.OPERATOR, again=plan_form)
def plan(visit: Visiting, name: Name) -> Page:
    """Estimate the next run of a task."""
    return _probed(visit, name, "plan.html", visit.services.probes.plan)


def _probed(
    visit: Visit,
    name: str,
    template: str,
    probe: Callable[[StoredConnection, StoredTask, Actor], object] | None = None,
) -> Page:
    """Return a page about a task, with what the probe found if there is one."""
    kept = visit.services.tasks.named(name)
    connection = visit.services.connections.named(kept.settings.connection)
    found = probe(connection, kept, visit.by) if probe is not None else None
    return visit.page(template, kept=kept, gateway=connection.settings.gateway, found=found)


@route("POST /tasks/{name:str}/run", Role.OPERATOR)
def run(visit: Visiting, name: Name) -> Page:
    """Ask for a run of the task now."""
    return go(f"/runs/{visit.services.runs.ask(name, visit.by)}", "asked")


@route("POST /tasks/{name:str}/resync", Role.OPERATOR, again=task)
def resync(visit: Visiting, name: Name) -> Page:
    """Ask to read tables again, as if they had never been read."""
    action = RunAction(kind=ActionKind.RESYNC, tables=tuple(visit.form.texts("table")))
    return go(f"/runs/{visit.services.runs.ask(name, visit.by, action)}", "asked")


@route("POST /tasks/{name:str}/backfill", Role.OPERATOR, again=task)
def backfill(visit: Visiting, name: Name) -> Page:
    """Ask to read a range of time of a table again."""
    form = visit.form
    first, until = form.text("first") or None, form.text("until") or None
    action = RunAction(kind=ActionKind.BACKFILL, tables=tuple(form.texts("table")), first=first, until=until)
    return go(f"/runs/{visit.services.runs.ask(name, visit.by, action)}", "asked")


@route("POST /tasks/{name:str}/pause", Role.OPERATOR)
def pause(visit: Visiting, name: Name) -> Page:
    """Pause the task."""
    visit.services.tasks.pause(name, visit.by)
    return go(f"/tasks/{name}", "paused")


@route("POST /tasks/{name:str}/resume", Role.OPERATOR)
def resume(visit: Visiting, name: Name) -> Page:
    """Resume the task."""
    visit.services.tasks.pause(name, visit.by, paused=False)
    return go(f"/tasks/{name}", "resumed")


def last_runs(services: WebServices, found: list[StoredTask]) -> dict[str, StoredRunSummary]:
    """Return each task's newest run that has ended, or while there is none its newest run."""
    last: dict[str, StoredRunSummary] = {}
    for one in found:
        newest = services.runs.listed(task=one.name, limit=NEWEST)
        ended = [run for run in newest if run.has_ended]
        if newest:
            last[one.name] = (ended or newest)[0]
    return last
