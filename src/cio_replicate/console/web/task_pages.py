"""Pages for tasks and their runs, and the overview page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

from litestar.params import FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config import connection_options
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, decoded
from cio_replicate.console.web import forms
from cio_replicate.console.web.authorization import ID, Name, RunId
from cio_replicate.console.web.forms import form_with, shown_fields
from cio_replicate.console.web.rendering import go
from cio_replicate.console.web.routes import Page, Routes, Visit, Visiting
from cio_replicate.console.web.services import WebServices
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.pipeline.report import TableReport
from cio_replicate.sinks.kinds import KINDS
from cio_replicate.source import catalog
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies import strategy_class

ROUTES = route = Routes()

TIMES = 5  # of a schedule that are shown
RUNS_SHOWN, RUNS_DRAWN = 10, 100
NEWEST = 6  # more than wait of a task at a time
ON_A_PAGE, LAST_LINES = 50, 8
LINES, MOST_LINES = 1_000, 1_000_000
STATUSES = ("queued", "running", "complete", "failed", "refused", "interrupted", "cancelled")
LATEST = 8  # runs on the overview
TROUBLE = ("failed", "refused", "interrupted")


@route("GET /new-task", Role.ADMIN)
def new_task(visit: Visiting, connection: FromQuery[str] = "") -> Page:
    """Show the form that makes a task."""
    return _form(visit, None, connection)


@route("POST /new-task", Role.ADMIN, on_error=new_task)
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


@route("POST /tasks/{name:str}/edit", Role.ADMIN, on_error=edit_form)
def edit_task(visit: Visiting, name: Name) -> Page:
    """Give a task other settings, or try its destination out."""
    stored = visit.services.tasks.named(name)
    if visit.form.has("check"):
        return _checked(visit, stored)
    visit.services.tasks.edit(name, replace(forms.task_of(visit.form), paused=stored.paused), visit.by)
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
    times, planned = [now], schedule(settings)
    while len(times) <= TIMES and (following := planned.next_after(times[-1])) is not None:
        times.append(following)
    return times[1:]


def _checked(visit: Visit, stored: StoredTask | None) -> Page:
    """Return what came of trying the destinations of a form out."""
    tried = visit.services.probes.try_out(visit.form.lines("to"), visit.form.text("dataset"), visit.by)
    if visit.is_for_a_part:
        return visit.page("tried.html", tried=tried)
    return _form(visit.showing(tried=tried), stored)


def _form(visit: Visit, stored: StoredTask | None, connection: str = "") -> Page:
    """Return the form of a task, with what was sent, or its settings, or those of a new one."""
    connections = visit.services.connections.all()
    names = [one.name for one in connections]
    own = visit.form or forms.task_form(stored.settings if stored is not None else None, visit.user.zone)
    chosen = own.text("connection") or connection or (names[0] if names else "")
    opened = visit.services.connections.last_metadata(chosen) if chosen in names else None
    return visit.page(
        "task_form.html",
        stored=stored,
        own=own,
        chosen=chosen,
        fields=shown_fields(TaskSettings, own),
        tables=TABLES,
        opened=opened if opened is not None and opened.at is not None else None,
        ways=forms.WAYS,
        kinds=KINDS,
        connections=connections,
        connections_choice=[(one, one) for one in names],
        tasks=[one.name for one in visit.services.tasks.all() if stored is None or one.name != stored.name],
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
    stored = services.tasks.named(name)
    chosen = connection_options.selected(catalog.names(), stored.settings.tables, stored.settings.exclude)
    planned = stored.settings.schedule
    return visit.page(
        "task.html",
        stored=stored,
        fields=shown_fields(TaskSettings, form_with(TaskSettings, stored.settings)),
        usual=shown_fields(TaskSettings, form_with(TaskSettings, None)),
        runs=services.runs.listed(task=name, limit=RUNS_SHOWN),
        times=upcoming(planned, services.now) if planned is not None and not stored.paused else [],
        chosen=chosen,
        by_time=[one.name for one in TABLES if strategy_class(one).by_time and one.name in chosen],
        followers=[one.name for one in services.tasks.all() if one.settings.after == name],
    )


@route("GET /tasks/{name:str}/history", Role.VIEWER)
def history(visit: Visiting, name: Name) -> Page:
    """Show the runs of a task over time, as charts and as a table."""
    stored, runs = visit.services.tasks.named(name), visit.services.runs
    return visit.page("history.html", stored=stored, runs=runs.history(name, RUNS_DRAWN), missed=runs.missed(name))


@route("GET /tasks/{name:str}/verify", Role.OPERATOR)
@route("POST /tasks/{name:str}/verify", Role.OPERATOR)
def verify(visit: Visiting, name: Name) -> Page:
    """Show the page that verifies the copy of a task, and verify when asked to."""
    return _probed(visit, name, "verify.html", visit.services.probes.verify)


@route("GET /tasks/{name:str}/plan", Role.OPERATOR)
@route("POST /tasks/{name:str}/plan", Role.OPERATOR)
def plan(visit: Visiting, name: Name) -> Page:
    """Show the page that estimates the next run of a task, and estimate when asked to."""
    return _probed(visit, name, "plan.html", visit.services.probes.plan)


def _probed(
    visit: Visit, name: str, template: str, probe: Callable[[StoredConnection, StoredTask, Actor], object]
) -> Page:
    """Return a page about a task, with what the probe found if its button was pressed."""
    stored, connection = visit.services.task_and_connection(name)
    found = None
    if visit.request.method == "POST":
        try:
            found = probe(connection, stored, visit.by)
        except CioReplicateError as error:
            visit = visit.failed(error)
    return visit.page(template, stored=stored, gateway=connection.settings.gateway, found=found)


@route("POST /tasks/{name:str}/run", Role.OPERATOR)
def run_now(visit: Visiting, name: Name) -> Page:
    """Ask for a run of the task now."""
    return go(f"/runs/{visit.services.runs.ask(name, visit.by)}", "asked")


@route("POST /tasks/{name:str}/resync", Role.OPERATOR, on_error=task)
def resync(visit: Visiting, name: Name) -> Page:
    """Ask to read tables again, as if they had never been read."""
    action = RunAction(kind=ActionKind.RESYNC, tables=tuple(visit.form.texts("table")))
    return go(f"/runs/{visit.services.runs.ask(name, visit.by, action)}", "asked")


@route("POST /tasks/{name:str}/backfill", Role.OPERATOR, on_error=task)
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


@route("GET /", Role.VIEWER)
def overview(visit: Visiting) -> Page:
    """Show what runs, what needs attention, and what to do next."""
    services, found = visit.services, visit.services.tasks.all()
    last = last_runs(services, found)
    return visit.page(
        "overview.html",
        connections=services.connections.all(),
        tasks=found,
        last=last,
        troubled=[one for one in last.values() if one.status in TROUBLE],
        running=services.runs.listed(status="running"),
        waiting=services.runs.listed(status="queued"),
        latest=services.runs.listed(limit=LATEST),
    )


@route("GET /runs", Role.VIEWER)
def runs(
    visit: Visiting,
    task: FromQuery[str] = "",
    status: FromQuery[str] = "",
    past: Annotated[str | None, QueryParameter(pattern=ID)] = None,
) -> Page:
    """Show the newest runs, perhaps of one task or of one status."""
    names = [one.name for one in visit.services.tasks.all()]
    task, status = task if task in names else "", status if status in STATUSES else ""
    listed = visit.services.runs.listed(task=task or None, status=status or None, limit=ON_A_PAGE + 1, past=past)
    found = listed[:ON_A_PAGE]
    older = found[-1].id if len(listed) > ON_A_PAGE else None
    chosen = {"task": task, "chosen_status": status, "past": past}
    return visit.page("runs.html", runs=found, tasks=names, statuses=STATUSES, older=older, **chosen)


@route("GET /runs/{run_id:str}", Role.VIEWER)
def run(visit: Visiting, run_id: RunId) -> Page:
    """Show one run: as it goes on, or how it ended."""
    shown = visit.services.runs.show(run_id)
    return visit.page(
        "run.html",
        shown=shown,
        run=shown.run,
        took=duration(shown.run, visit.services.clock.now()),
        last_lines=visit.services.runs.last_lines(shown.run.id, LAST_LINES),
        verdicts=verdicts(shown.report.tables) if shown.report is not None else {},
    )


@route("GET /runs/{run_id:str}/log", Role.VIEWER)
def log(visit: Visiting, run_id: RunId, after: Annotated[int, QueryParameter(ge=0, le=MOST_LINES)] = 0) -> Page:
    """Show the log of a run."""
    shown = visit.services.runs.show(run_id)
    lines = visit.services.runs.lines(shown.run.id, after, LINES)
    return visit.page("run_log.html", shown=shown, run=shown.run, lines=lines, more=len(lines) == LINES, after=after)


@route("GET /runs/{run_id:str}/proof", Role.VIEWER)
def proof(visit: Visiting, run_id: RunId) -> Page:
    """Show what is known of the copy after a run: the source against the copy, table by table."""
    shown = visit.services.runs.show(run_id)
    tables = shown.report.tables if shown.report is not None else []
    return visit.page("proof.html", shown=shown, run=shown.run, tables=tables, verdicts=verdicts(tables))


@route("POST /runs/{run_id:str}/cancel", Role.OPERATOR)
def cancel(visit: Visiting, run_id: RunId) -> Page:
    """Stop a run."""
    ended = visit.services.runs.cancel(run_id, visit.by)
    return go(f"/runs/{ended.id}", "" if ended.has_ended else "cancelling")


@route("POST /runs/{run_id:str}/retry", Role.OPERATOR, on_error=run)
def retry(visit: Visiting, run_id: RunId) -> Page:
    """Repeat what a run was to do."""
    return go(f"/runs/{visit.services.runs.retry(run_id, visit.by)}", "asked")


def verdicts(tables: list[TableReport]) -> dict[str, int]:
    """Return how many tables there are of each verdict."""
    return Counter(str(one.proof.verdict) if one.proof is not None else "none" for one in tables)


def duration(run: StoredRunSummary, now: float) -> float | None:
    """Return how long a run takes, or took."""
    if run.started_at is None:
        return None
    return max(0.0, (run.ended_at or now) - run.started_at)
