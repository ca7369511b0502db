"""Pages of users: who there is, inviting, roles, shutting out."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from cio_replicate.base.errors import CioReplicateError, NotThereError
from cio_replicate.console.web.authorization import ADMIN, AnyRequest, actor_of
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Id
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Role

ROLES = (
    (Role.VIEWER, "sees connections, tasks and runs"),
    (Role.OPERATOR, "also starts, cancels, pauses and repeats runs, and looks at rows"),
    (Role.ADMIN, "everything: connections, tasks, secrets, gateways, users"),
)


@get("/users", **ADMIN)
def users(request: AnyRequest, services: With) -> Response[Any]:
    """All users, and the form to invite one."""
    return _listed(request, services)


@post("/users", **ADMIN)
def invite(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Invite a user; the link is shown this once."""
    name, role = form.text("name"), role_of(form.text("role"))
    try:
        link = services.people.invite(name, role, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error), name=name, role=role)
    return _listed(request, services, link=_link(services, link), invited=name)


@post("/users/{user_id:str}/link", **ADMIN)
def link_for_password(request: AnyRequest, services: With, user_id: Id) -> Response[Any]:
    """A link by which a user chooses a new password, shown this once."""
    link = services.people.invite_again(user_id, actor_of(request))
    return _listed(request, services, link=_link(services, link), invited=services.people.user(user_id).name)


@post("/users/{user_id:str}/role", **ADMIN)
def change_role(request: AnyRequest, services: With, user_id: Id, form: Sent) -> Response[Any]:
    """Give a user another role."""
    try:
        services.people.change_role(user_id, role_of(form.text("role")), actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/users", "changed")


@post("/users/{user_id:str}/{what:str}", **ADMIN)
def shut_out(request: AnyRequest, services: With, user_id: Id, what: FromPath[str]) -> Response[Any]:
    """Shut a user out, let them in again, or remove them."""
    actor = actor_of(request)
    if what not in ("remove", "shut-out", "let-in"):
        raise NotThereError("Nothing of that name can be done with a user.", "Go back to the list of users.")
    try:
        if what == "remove":
            services.people.remove(user_id, actor)
        else:
            services.people.disable(user_id, actor, disabled=what != "let-in")
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/users", "changed")


def role_of(text: str) -> Role:
    """The role of that name; the least one for any other text."""
    return Role(text) if text in list(Role) else Role.VIEWER


def _link(services: WebServices, value: str) -> str:
    return f"{services.site.url}/welcome/{value}"


def _listed(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    name: str = "",
    role: Role = Role.VIEWER,
    link: str = "",
    invited: str = "",
) -> Response[Any]:
    return page(
        request,
        "users.html",
        status,
        users=services.people.all(),
        choices=ROLES,
        error=error,
        name=name,
        role=role,
        link=link,
        invited=invited,
    )


HANDLERS = (users, invite, link_for_password, change_role, shut_out)
