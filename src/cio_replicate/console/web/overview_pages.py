"""The first page: what runs, what needs to be looked at, what is to be done next."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from cio_replicate.console.web.authorization import VIEWER, AnyRequest
from cio_replicate.console.web.rendering import page
from cio_replicate.console.web.services import With
from cio_replicate.console.web.tasks_pages import last_runs

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


HANDLERS = (overview,)
