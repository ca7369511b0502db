"""Pages of data gateways: making one, its code, its machines, shutting them out."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.console import gateways
from cio_replicate.console.gateways import EnrolmentCode
from cio_replicate.console.web.authorization import ADMIN, AnyRequest, actor_of
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Name
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With

ALIVE = 120  # seconds since a machine was seen in which it is taken for running


@get("/gateways", **ADMIN)
def all_gateways(request: AnyRequest, services: With) -> Response[Any]:
    """All gateways with their machines."""
    return _listed(request, services)


@post("/gateways", **ADMIN)
def create(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a gateway; its code is shown this once."""
    name = form.text("name")
    try:
        code = gateways.create(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error), name=name)
    return _listed(request, services, code=code)


@post("/gateways/{name:str}/code", **ADMIN)
def new_code(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """A code for one more machine, shown this once."""
    try:
        code = gateways.new_code(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return _listed(request, services, code=code)


@post("/gateways/{name:str}/revoke", **ADMIN)
def revoke(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Shut out one machine of a gateway, or all of them."""
    try:
        gateways.revoke(services.database, form.text("member") or name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/gateways", "revoked")


@post("/gateways/{name:str}/remove", **ADMIN)
def remove(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Forget a gateway that no connection names."""
    try:
        gateways.remove(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/gateways", "deleted")


def _listed(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    name: str = "",
    code: EnrolmentCode | None = None,
) -> Response[Any]:
    return page(
        request,
        "gateways.html",
        status,
        gateways=gateways.listed(services.database, services.now),
        alive_since=services.now - ALIVE,
        error=error,
        name=name,
        code=code,
        site_url=services.site.url,
    )


HANDLERS = (all_gateways, create, new_code, revoke, remove)
