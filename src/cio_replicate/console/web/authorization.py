"""Roles that handlers require, the guard that checks them, and lookups that answer "not found"."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Litestar, Request
from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import (
    ClientException,
    ImproperlyConfiguredException,
    NotAuthorizedException,
    PermissionDeniedException,
)
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter

from cio_replicate.console.sessions import SessionUser, is_theirs
from cio_replicate.console.web.services import WebServices
from cio_replicate.database.actor import Actor, Role

# What the API answers when it does not do what it was asked.


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The cause, and what to do about it. `code` is the kind of error, `field` the setting that is wrong.

    `id` is by which the console's log has the rest.
    """

    message: str
    fix: str = ""
    code: str = ""
    field: str | None = None
    id: str | None = None


_SAID = {
    400: "The request is not as the description has it.",
    401: "No token of the console was sent, or one that does not count.",
    403: "The token's role may not do this.",
    404: "What the address names is not there.",
    409: "What is there does not allow it, and the answer says why.",
    413: "The request is too large.",
    422: "It cannot be done, and the answer says why.",
    503: "The console's database, or what the task reaches, is away.",
}

#: What every handler may answer besides what it is for.
PROBLEMS = {status: ResponseSpec(Problem, description=said, generate_examples=False) for status, said in _SAID.items()}


AnyRequest = Request[Any, Any, Any]
AnyConnection = ASGIConnection[Any, Any, Any, Any]

#: What a handler that anybody may call needs, and one that only data gateways may, which sign their requests.
ANYBODY, GATEWAY = "nobody", "gateway"

SAFE = ("GET", "HEAD", "OPTIONS")
FORM = "application/x-www-form-urlencoded"
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
API = "/api/"


async def guard(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Let in a user or program that may call the handler. Raises NotAuthorizedException and PermissionDeniedException.

    A handler that declares nothing is for admins. The API takes bearer tokens and no cookies, so that no page of
    others can use it; pages take the session's cookie, and everything that changes something also the session's token,
    from this site alone.
    """
    needed, services = handler.opt.get("needs", Role.ADMIN), services_of(connection.app.state)
    if needed == GATEWAY:
        return
    if connection.url.path.startswith(API) or handler.opt.get("bearer"):
        await _let_in_program(connection, needed, services)
    else:
        await _let_in_visitor(connection, needed, services)


def services_of(state: State) -> WebServices:
    """Return what the handlers of an application with this state work with."""
    services: WebServices = state.services
    return services


def actor_of(request: AnyRequest) -> Actor:
    """Return who calls, once the guard has let them in."""
    actor: Actor = request.state.actor
    return actor


def visitor_of(request: AnyRequest) -> SessionUser | None:
    """Return who looks at a page, if they are logged in."""
    visitor: SessionUser | None = getattr(request.state, "visitor", None)
    return visitor


def require_declared(app: Litestar) -> None:
    """Raises ImproperlyConfiguredException for a handler that does not say who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if "needs" not in handler.opt and getattr(handler, "http_methods", set()) != {"OPTIONS"}:
                raise ImproperlyConfiguredException(f"{route.path} does not say who may call it")


async def _let_in_program(connection: AnyConnection, needed: Role | str, services: WebServices) -> None:
    if needed == ANYBODY:
        return
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    actor = None
    if scheme.lower() == "bearer" and token:
        actor = await sync_to_thread(services.tokens.actor, token.strip())
    if actor is None:
        raise NotAuthorizedException("A token of the console is needed: Authorization: Bearer cio_…")
    connection.state.actor = actor
    _require(actor, Role(needed))


async def _let_in_visitor(connection: AnyConnection, needed: Role | str, services: WebServices) -> None:
    visitor, cookie = None, connection.cookies.get(services.site.session_cookie)
    if cookie:
        visitor = await sync_to_thread(services.sessions.visitor, cookie)
    connection.state.visitor = visitor
    changes = connection.scope.get("method") not in SAFE
    if changes:
        _require_from_here(connection, services)
    if needed == ANYBODY:
        return
    if visitor is None:
        raise NotAuthorizedException("Log in first.")
    connection.state.actor = visitor.actor
    if changes:
        await _require_token(connection, visitor)
    _require(visitor.actor, Role(needed))


def _require(actor: Actor, role: Role) -> None:
    if not actor.role.covers(role):
        raise PermissionDeniedException(f"Only the role {role} may do that; yours is {actor.role}. Ask an admin.")


def _require_from_here(connection: AnyConnection, services: WebServices) -> None:
    """Raises PermissionDeniedException for a form that another site sent, as the browser says."""
    if connection.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise ClientException("A form is sent as the browser sends it.")
    origin, fetched = connection.headers.get("origin"), connection.headers.get("sec-fetch-site")
    own = f"{urlsplit(services.site.url).scheme}://{connection.headers.get('host', '')}"
    from_here = origin.lower() == own.lower() if origin is not None else fetched == "same-origin"
    if not from_here or fetched not in (None, "same-origin"):
        raise PermissionDeniedException("This form was not sent by the console. Open its page here, and send it again.")


async def _require_token(connection: AnyConnection, visitor: SessionUser) -> None:
    """Raises PermissionDeniedException for a form that was not made for this session."""
    token = connection.headers.get(CSRF_HEADER, "")
    if not token and isinstance(connection, Request):
        token = str((await connection.form()).get(CSRF_FIELD) or "")
    if not is_theirs(visitor, token):
        raise PermissionDeniedException(
            "This form was made before you logged in. Open its page again, and send it anew."
        )


# What names and numbers in an address look like; anything else is not found.


LATEST = 253_402_300_799  # the end of the year 9999

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
ID = r"^[0-9a-f]{32}$"

Name = Annotated[str, PathParameter(pattern=NAME, description="A name.")]
RunId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{4,32}$", description="A run's id, or how it begins.")]
Id = Annotated[str, PathParameter(pattern=ID, description="An id.")]
TableName = Annotated[str, PathParameter(pattern=r"^[a-z_]{1,60}$", description="A table's name.")]
