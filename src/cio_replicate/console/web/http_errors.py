"""Answer errors: in a sentence with what to do, or with a number by which the log has the rest."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, NotAuthorizedException, NotFoundException, ValidationException

from cio_replicate.base.errors import (
    AccessError,
    CioReplicateError,
    Conflict,
    DatabaseError,
    Defect,
    Forbidden,
    NotFound,
    Unavailable,
)
from cio_replicate.base.text import worded
from cio_replicate.config.documents import as_labels
from cio_replicate.console.web.authorization import API, SAFE, AnyRequest, Problem, services_of
from cio_replicate.console.web.rendering import page, path_within

log = logging.getLogger("cio_replicate.console")

Failure = tuple[int, str, str]  # the status, the cause, what to do

_KNOWN: Mapping[int, tuple[str, str]] = {
    HTTPStatus.NOT_FOUND: ("There is no such page.", "It may have been renamed or deleted: start from the overview."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("This address is not called that way.", "The description of the API says how."),
    413: ("What was sent is too large.", "Send less."),
}


def answer(request: AnyRequest, error: Exception) -> Response[Any]:
    """Return the answer to an error, for a program or for a person."""
    program = request.url.path.startswith(API) or request.url.path == "/metrics"
    if isinstance(error, ValidationException) and not program:
        error = NotFoundException()  # an address of a page that names what cannot be
    status, message, fix = _explained(error)
    number = None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        number = secrets.token_hex(4)
        what = str(Defect.of(error)) if not isinstance(error, CioReplicateError) else str(error)
        where = request.scope.get("path_template") or "an unknown address"  # a path itself may hold a one-time link
        log.error("error %s at %s %s: %s", number, request.method, where, what)
    headers = dict(getattr(error, "headers", None) or {})
    if program:
        if status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        problem = Problem(message=worded(message, {}), fix=worded(fix, {}), id=number)
        if isinstance(error, CioReplicateError):
            problem.code, problem.field = error.code, error.field
        return Response(problem, status_code=status, media_type=MediaType.JSON, headers=headers)
    if isinstance(error, NotAuthorizedException):
        return _login(request)
    response: Response[Any] = page(
        request,
        "failure.html",
        status,
        message=as_labels(message),
        fix=as_labels(fix),
        number=number,
        title=_title(status),
    )
    response.headers.update(headers)
    return response


def status_of(error: CioReplicateError) -> int:
    """Return the status that an error of ours is answered with, by its class."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), HTTPStatus.UNPROCESSABLE_ENTITY)


#: The nearest class that an error is of decides. A key that the API refuses is a setting, and not the caller's own.
_STATUS: Mapping[type, int] = {
    AccessError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Forbidden: HTTPStatus.FORBIDDEN,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}


def _explained(error: Exception) -> Failure:
    if isinstance(error, DatabaseError):  # nobody is known while it is away, and its words name hosts and users
        return (
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The console's database is away, or cannot be used.",
            "Try again in a while; the console's log has the cause, by this number.",
        )
    if isinstance(error, CioReplicateError):
        return status_of(error), error.cause, error.fix
    if isinstance(error, ValidationException):
        return error.status_code, _validation(error), "Correct it and try again."
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        message, fix = _KNOWN.get(error.status_code, (error.detail, ""))
        return error.status_code, message, fix
    return (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong in the console itself.",
        "Try again; if it happens again, report it with this number, by which the console's log has the rest.",
    )


def _validation(error: ValidationException) -> str:
    """Return the first fault of a request: its place and what was expected, not what was sent."""
    extra = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    message, where = (extra.get("message"), extra.get("key")) if isinstance(extra, Mapping) else ("", "")
    if not message:
        return "The request is not as it should be."
    return f"{where}: {message}." if where else f"{message}."


def _login(request: AnyRequest) -> Response[Any]:
    """Return the page to log in on, which leads back to the page that was asked for."""
    if request.headers.get("hx-request"):  # a part of a page: the whole page is to log in
        return Response(b"", status_code=HTTPStatus.UNAUTHORIZED, headers={"hx-redirect": "/login"})
    wanted = request.url.path if request.method in SAFE else "/"
    oidc = services_of(request.app.state).oidc
    return page(
        request, "login.html", HTTPStatus.UNAUTHORIZED, next=path_within(wanted), name="", oidc=oidc and oidc.title
    )


def _title(status: int) -> str:
    return {404: "Not found", 403: "Not allowed", 429: "Too often"}.get(status, "That did not work")
