"""The API of runs: what the pages of runs do."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import get, post
from litestar.params import FromQuery, QueryParameter

from cio_replicate.console.api.api_models import QueuedRun, RunDetail, RunSummary, run_detail, run_summary
from cio_replicate.console.web.authorization import OPERATOR, VIEWER, AnyRequest, actor_of
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.naming import ID, LATEST, NAME, RunId
from cio_replicate.console.web.services import With
from cio_replicate.jobs.runs import StoredLogLine

TAGS = ["Runs"]

Status = Literal["queued", "running", "complete", "failed", "refused", "interrupted", "cancelled"]


@get("/api/v1/runs", tags=TAGS, **VIEWER)
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
    found = there(services.runs.listed, task=task, status=status, limit=limit, before=before, past=past)
    return [run_summary(one) for one in found]


@get("/api/v1/runs/{run_id:str}", tags=TAGS, **VIEWER)
def show_run(services: With, run_id: RunId) -> RunDetail:
    """Show a run: its progress while it goes on, its report with the proof of each table when it has ended."""
    return run_detail(there(services.runs.show, run_id))


@get("/api/v1/runs/{run_id:str}/lines", tags=TAGS, **VIEWER)
def list_lines(
    services: With,
    run_id: RunId,
    after: Annotated[int, QueryParameter(ge=0, le=1_000_000, description="Only lines with a higher number.")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 1_000,
) -> list[StoredLogLine]:
    """List the lines of a run's log."""
    return there(services.runs.lines, run_id, after, limit)


@post("/api/v1/runs/{run_id:str}/cancel", tags=TAGS, status_code=200, **OPERATOR)
def cancel_run(request: AnyRequest, services: With, run_id: RunId) -> RunSummary:
    """Stop a run: one that waits at once, one that goes on when the page under way is finished."""
    there(services.runs.show, run_id)
    return run_summary(services.runs.cancel(run_id, actor_of(request)))


@post("/api/v1/runs/{run_id:str}/retry", tags=TAGS, **OPERATOR)
def retry_run(request: AnyRequest, services: With, run_id: RunId) -> QueuedRun:
    """Do once more what a run that did not end well was to do."""
    there(services.runs.show, run_id)
    return QueuedRun(run=services.runs.retry(run_id, actor_of(request)))


HANDLERS = (list_runs, show_run, list_lines, cancel_run, retry_run)
