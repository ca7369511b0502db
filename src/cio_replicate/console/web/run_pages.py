"""Pages for runs, and the overview page."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from litestar.params import FromQuery, QueryParameter

from cio_replicate.console.web.authorization import ID, RunId
from cio_replicate.console.web.rendering import go
from cio_replicate.console.web.routes import Page, Routes, Visiting
from cio_replicate.console.web.task_pages import last_runs
from cio_replicate.database.actor import Role
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.pipeline.report import TableReport

ROUTES = route = Routes()

ON_A_PAGE, LAST_LINES = 50, 8
LINES, MOST_LINES = 1_000, 1_000_000
STATUSES = ("queued", "running", "complete", "failed", "refused", "interrupted", "cancelled")
LATEST = 8  # runs on the overview
TROUBLE = ("failed", "refused", "interrupted")


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


@route("POST /runs/{run_id:str}/retry", Role.OPERATOR, again=run)
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
