"""Pages of what the console keeps besides: stored secrets, the audit log, and about itself."""

from __future__ import annotations

import platform
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import QueryParameter

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.base.text import Secret
from cio_replicate.console.web.authorization import ADMIN, VIEWER, AnyRequest, actor_of
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database import audit_log as audit

LINES = 100  # of the audit log on a page
MOST_PAGES = 10_000


@get("/secrets", **ADMIN)
def secrets(request: AnyRequest, services: With) -> Response[Any]:
    """What is stored, by name alone."""
    return _secrets(request, services)


@post("/secrets", **ADMIN)
def put_secret(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Store a secret, or replace one."""
    name = form.text("name")
    try:
        services.secrets.put(name, Secret(form.raw("value")), actor_of(request))
    except CioReplicateError as error:
        return _secrets(request, services, status=status_of(error), error=said(error), name=name)
    return go("/secrets", "saved")


@post("/secrets/remove", **ADMIN)
def remove_secret(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Forget a secret that nothing uses."""
    try:
        services.secrets.remove(form.text("name"), actor_of(request))
    except CioReplicateError as error:
        return _secrets(request, services, status=status_of(error), error=said(error))
    return go("/secrets", "deleted")


@get("/audit", **ADMIN)
def audit_log(
    request: AnyRequest, services: With, sheet: Annotated[int, QueryParameter(name="page", ge=0, le=MOST_PAGES)] = 0
) -> Response[Any]:
    """Who did what, the newest first."""
    with services.database.reading() as connection:
        found = audit.entries(connection, LINES + 1, sheet * LINES)
    return page(request, "audit.html", entries=found[:LINES], sheet=sheet, more=len(found) > LINES)


@get("/about", **VIEWER)
def about(request: AnyRequest, services: With) -> Response[Any]:
    """What this console is, where it keeps things, and how it is watched."""
    return page(
        request,
        "about.html",
        python=platform.python_version(),
        store=services.database.shown,
        keys=services.keys.shown,
        site_url=services.site.url,
        users=services.people.count(),
    )


def _secrets(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    name: str = "",
) -> Response[Any]:
    return page(request, "secrets.html", status, secrets=services.secrets.all(), error=error, name=name)


HANDLERS = (secrets, put_secret, remove_secret, audit_log, about)
