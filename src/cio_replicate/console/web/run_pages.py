"""Pages for runs, and the overview page."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.console.web.authorization import ID, OPERATOR, VIEWER, AnyRequest, RunId, actor_of
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.console.web.task_pages import last_runs
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.pipeline.report import TableReport

ON_A_PAGE, LAST_LINES = 50, 8
LINES, MOST_LINES = 1_000, 1_000_000
STATUSES = ("queued", "running", "complete", "failed", "refused", "interrupted", "cancelled")


@get("/runs", **VIEWER)
def runs(
    request: AnyRequest,
    services: With,
    task: FromQuery[str] = "",
    status: FromQuery[str] = "",
    past: Annotated[str | None, QueryParameter(pattern=ID)] = None,
) -> Response[Any]:
    """The newest runs, perhaps of one task or of one status."""
    names = [one.name for one in services.tasks.all()]
    chosen = task if task in names else ""
    status = status if status in STATUSES else ""
    listed = services.runs.listed(task=chosen or None, status=status or None, limit=ON_A_PAGE + 1, past=past)
    found = listed[:ON_A_PAGE]
    return page(
        request,
        "runs.html",
        runs=found,
        tasks=names,
        task=chosen,
        chosen_status=status,
        statuses=STATUSES,
        older=found[-1].id if len(listed) > ON_A_PAGE else None,
        past=past,
    )


@get("/runs/{run_id:str}", **VIEWER)
def run(request: AnyRequest, services: With, run_id: RunId) -> Response[Any]:
    """One run: as it goes on, or what became of it."""
    return _shown(request, services, run_id)


@get("/runs/{run_id:str}/log", **VIEWER)
def log(
    request: AnyRequest,
    services: With,
    run_id: RunId,
    after: Annotated[int, QueryParameter(ge=0, le=MOST_LINES)] = 0,
) -> Response[Any]:
    """The log of a run."""
    shown = services.runs.show(run_id)
    lines = services.runs.lines(shown.run.id, after, LINES)
    return page(request, "run_log.html", shown=shown, run=shown.run, lines=lines, more=len(lines) == LINES, after=after)


@get("/runs/{run_id:str}/proof", **VIEWER)
def proof(request: AnyRequest, services: With, run_id: RunId) -> Response[Any]:
    """What is known of the copy after a run: the source against the copy, table by table."""
    shown = services.runs.show(run_id)
    tables = shown.report.tables if shown.report is not None else []
    return page(request, "proof.html", shown=shown, run=shown.run, tables=tables, verdicts=verdicts(tables))


@post("/runs/{run_id:str}/cancel", **OPERATOR)
def cancel(request: AnyRequest, services: With, run_id: RunId) -> Response[Any]:
    """Stop a run."""
    ended = services.runs.cancel(run_id, actor_of(request))
    return go(f"/runs/{ended.id}", "" if ended.has_ended else "cancelling")


@post("/runs/{run_id:str}/retry", **OPERATOR)
def retry(request: AnyRequest, services: With, run_id: RunId) -> Response[Any]:
    """Do once more what a run was to do."""
    try:
        return go(f"/runs/{services.runs.retry(run_id, actor_of(request))}", "asked")
    except CioReplicateError as error:
        return _shown(request, services, run_id, status=status_of(error), error=said(error))


def verdicts(tables: list[TableReport]) -> dict[str, int]:
    """How many tables there are of each verdict."""
    counted: dict[str, int] = {}
    for one in tables:
        word = str(one.proof.verdict) if one.proof is not None else "none"
        counted[word] = counted.get(word, 0) + 1
    return counted


def duration(run: StoredRunSummary, now: float) -> float | None:
    """How long a run takes, or took."""
    if run.started_at is None:
        return None
    return max(0.0, (run.ended_at or now) - run.started_at)


def _shown(
    request: AnyRequest, services: WebServices, run_id: RunId, *, status: int = 200, error: dict[str, str] | None = None
) -> Response[Any]:
    shown = services.runs.show(run_id)
    return page(
        request,
        "run.html",
        status,
        shown=shown,
        run=shown.run,
        took=duration(shown.run, services.clock.now()),
        last_lines=services.runs.last_lines(shown.run.id, LAST_LINES),
        verdicts=verdicts(shown.report.tables) if shown.report is not None else {},
        error=error,
    )


# The first page: what runs, what needs to be looked at, what is to be done next.


LATEST = 8  # runs that are shown
TROUBLE = ("failed", "refused", "interrupted")


@get("/", **VIEWER)
def overview(request: AnyRequest, services: With) -> Response[Any]:
    """What there is, at a glance."""
    found = services.tasks.all()
    last = last_runs(services, found)
    return page(
        request,
        "overview.html",
        connections=services.connections.all(),
        tasks=found,
        last=last,
        troubled=[one for one in last.values() if one.status in TROUBLE],
        running=services.runs.listed(status="running"),
        waiting=services.runs.listed(status="queued"),
        latest=services.runs.listed(limit=LATEST),
    )


HANDLERS = [
    runs,
    run,
    log,
    proof,
    cancel,
    retry,
    overview,
]
