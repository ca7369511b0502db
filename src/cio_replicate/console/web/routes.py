"""Declare handlers with the role that they need, and answer visits to pages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

from litestar import Response
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import HTTPRouteHandler, delete, get, post, put
from litestar.params import SkipValidation

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.console.sessions import SessionUser
from cio_replicate.console.web.authorization import ANYBODY, PROBLEMS, SAFE, AnyRequest, actor_of, visitor_of
from cio_replicate.console.web.forms import SubmittedForm
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import error_shown, page
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Actor, Role

Function = TypeVar("Function", bound=Callable[..., Any])
Page = Response[Any]

_METHODS: Mapping[str, Callable[..., HTTPRouteHandler]] = {"GET": get, "POST": post, "PUT": put, "DELETE": delete}


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit to a page: the request, the form that it brought, and the services to answer with.

    `shown` is what the page shows besides, such as an error, in the place of its own values of the same names.
    """

    request: AnyRequest
    services: WebServices
    form: SubmittedForm
    status: int = 200
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by(self) -> Actor:
        """Who acts, once the guard has let them in."""
        return actor_of(self.request)

    @property
    def user(self) -> SessionUser:
        """Who is logged in. Raises NotAuthorizedException."""
        visitor = visitor_of(self.request)
        if visitor is None:
            raise NotAuthorizedException("Log in first.")
        return visitor

    @property
    def is_for_a_part(self) -> bool:
        """Whether the page's script asks for a part of the page alone."""
        return bool(self.request.headers.get("hx-request"))

    def showing(self, status: int = 200, **shown: Any) -> Visit:  # noqa: ANN401 - what a template shows
        """Return the visit for another status, and with more to show."""
        return replace(self, status=status, shown={**self.shown, **shown})

    def failed(self, error: CioReplicateError, **shown: Any) -> Visit:  # noqa: ANN401 - what a template shows
        """Return the visit to show what went wrong."""
        return self.showing(status_of(error), error=error_shown(error), **shown)

    def page(self, template: str, **context: Any) -> Page:  # noqa: ANN401 - what a template shows
        """Return a page for the user who looks at it."""
        return page(self.request, template, self.status, **{**context, **self.shown})


#: How a handler asks for the visit, and one of the API for who calls.
Visiting = NamedDependency[SkipValidation[Visit]]
By = NamedDependency[Actor]


async def visit_of(request: AnyRequest, services: With) -> Visit:
    """Return the visit that a request is."""
    fields = [] if request.method in SAFE else (await request.form()).multi_items()
    return Visit(request, services, SubmittedForm.of(fields))


class Routes:
    """Handlers below a path, each declared by its method, its path and the role that it needs; None is anybody.

    They are called in a thread, as they ask the database. The description of the API lists them under the tag.
    """

    def __init__(self, path: str = "", tag: str | None = None) -> None:
        self.handlers: list[HTTPRouteHandler] = []
        self._path = path
        self._tags = [tag] if tag is not None else None

    def __call__(
        self,
        route: str,
        role: Role | None,
        *,
        on_error: Callable[..., Page] | None = None,
        fields: Sequence[str] = (),
        settings: type | None = None,
        bearer: bool = False,
        status_code: int | None = None,
    ) -> Callable[[Function], Function]:
        """Declare a handler. When it fails, the page `on_error` says why, and shows these fields as they were sent.

        `settings` is their kind in the body of a request to the API. `bearer` lets in programs outside of the API.
        """
        method, _, path = route.partition(" ")
        handler = _METHODS[method](
            self._path + path,
            opt={"needs": role or ANYBODY, "settings": settings, "bearer": bearer},
            sync_to_thread=True,
            responses=PROBLEMS if role is not None else None,
            status_code=status_code,
            tags=self._tags,
        )

        def declare(function: Function) -> Function:
            self.handlers.append(handler(function if on_error is None else _answering(function, on_error, fields)))
            return function

        return declare


def _answering(
    function: Callable[..., Page], on_error: Callable[..., Page], fields: Sequence[str]
) -> Callable[..., Page]:
    """Return the function, but answering with a page where it raises an error of ours."""
    taken = inspect.signature(on_error).parameters

    @wraps(function)
    def answer(visit: Visit, **values: Any) -> Page:  # noqa: ANN401 - what stands in the path
        try:
            return function(visit=visit, **values)
        except CioReplicateError as error:
            failed = visit.failed(error, **{name: visit.form.text(name) for name in fields})
            return on_error(failed, **{name: value for name, value in values.items() if name in taken})

    return answer
