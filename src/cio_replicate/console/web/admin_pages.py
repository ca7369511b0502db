"""Pages for secrets, the audit log, users, channels and gateways."""

from __future__ import annotations

import platform
from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromPath, FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError, InvalidSettings, NotFound
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import EVENTS, PREFIX, ChannelSettings
from cio_replicate.console import gateways
from cio_replicate.console.gateways import EnrolmentCode
from cio_replicate.console.notifications import scrubbed, send_by_apprise
from cio_replicate.console.web.authorization import ADMIN, VIEWER, AnyRequest, Id, Name, actor_of
from cio_replicate.console.web.forms import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database import audit_log as audit
from cio_replicate.database.actor import Role

# Pages of what the console keeps besides: stored secrets, the audit log, and about itself.


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


# Pages of users: who there is, inviting, roles, shutting out.


ROLES = (
    (Role.VIEWER, "sees connections, tasks and runs"),
    (Role.OPERATOR, "also starts, cancels, pauses and repeats runs, and looks at rows"),
    (Role.ADMIN, "everything: connections, tasks, secrets, gateways, users"),
)


@get("/users", **ADMIN)
def users(request: AnyRequest, services: With) -> Response[Any]:
    """All users, and the form to invite one."""
    return _users_page(request, services)


@post("/users", **ADMIN)
def invite(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Invite a user; the link is shown this once."""
    name, role = form.text("name"), role_of(form.text("role"))
    try:
        link = services.people.invite(name, role, actor_of(request))
    except CioReplicateError as error:
        return _users_page(request, services, status=status_of(error), error=said(error), name=name, role=role)
    return _users_page(request, services, link=_link(services, link), invited=name)


@post("/users/{user_id:str}/link", **ADMIN)
def link_for_password(request: AnyRequest, services: With, user_id: Id) -> Response[Any]:
    """A link by which a user chooses a new password, shown this once."""
    link = services.people.invite_again(user_id, actor_of(request))
    return _users_page(request, services, link=_link(services, link), invited=services.people.user(user_id).name)


@post("/users/{user_id:str}/role", **ADMIN)
def change_role(request: AnyRequest, services: With, user_id: Id, form: Sent) -> Response[Any]:
    """Give a user another role."""
    try:
        services.people.change_role(user_id, role_of(form.text("role")), actor_of(request))
    except CioReplicateError as error:
        return _users_page(request, services, status=status_of(error), error=said(error))
    return go("/users", "changed")


@post("/users/{user_id:str}/{what:str}", **ADMIN)
def shut_out(request: AnyRequest, services: With, user_id: Id, what: FromPath[str]) -> Response[Any]:
    """Shut a user out, let them in again, or remove them."""
    actor = actor_of(request)
    if what not in ("remove", "shut-out", "let-in"):
        raise NotFound("Nothing of that name can be done with a user.", "Go back to the list of users.")
    try:
        if what == "remove":
            services.people.remove(user_id, actor)
        else:
            services.people.disable(user_id, actor, disabled=what != "let-in")
    except CioReplicateError as error:
        return _users_page(request, services, status=status_of(error), error=said(error))
    return go("/users", "changed")


def role_of(text: str) -> Role:
    """The role of that name; the least one for any other text."""
    return Role(text) if text in list(Role) else Role.VIEWER


def _link(services: WebServices, value: str) -> str:
    return f"{services.site.url}/welcome/{value}"


def _users_page(
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


TOLD_OF = {
    "failure": "failure: a run has failed",
    "recovery": "recovery: a run is complete again after one that failed",
    "short": "short: a table of the copy lacks rows",
    "schema": "schema: Customer.io sends a field that was not known",
}


@get("/channels", **ADMIN)
def channels(request: AnyRequest, services: With, edit: FromQuery[str] = "") -> Response[Any]:
    """All channels, and the form to make or edit one."""
    if not edit:
        return _listed(request, services)
    kept = services.channels.named(edit).settings
    url = "" if kept.url.startswith(PREFIX) else kept.url
    return _listed(request, services, editing=edit, written={"name": edit, "url": url, "events": set(kept.events)})


@post("/channels", **ADMIN)
def keep_channel(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a channel, or edit one."""
    editing, name = form.text("editing"), form.text("editing") or form.text("name")
    secret = Secret(form.text("secret_url")) if form.text("secret_url") else None
    try:
        url = form.text("url") or (services.channels.named(editing).settings.url if editing else "")
        if secret is None and not url:
            raise InvalidSettings("The channel has no address.", "Write it, or where it is kept.")
        kept = ChannelSettings(url=url or f"{PREFIX}{name}", events=form.texts("events"))
        actor = actor_of(request)
        if editing:
            services.channels.edit(name, kept, actor, secret)
        else:
            services.channels.create(name, kept, actor, secret)
    except CioReplicateError as error:
        written = {"name": name, "url": form.text("url"), "events": set(form.texts("events"))}
        return _listed(request, services, status=status_of(error), error=said(error), editing=editing, written=written)
    return go("/channels", "saved")


@post("/channels/{name:str}/test", **ADMIN)
def test_channel(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Send a notification that says only that this works."""
    try:
        address = services.channels.address(name)
        failed = send_by_apprise(address, "cio-replicate: a test", f"The channel {name} works.")
        if failed is not None:
            cause = f"The test was not taken: {scrubbed(failed, address)}."
            raise InvalidSettings(cause, "Check the address, and that this machine may reach it.")
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/channels", "sent")


@post("/channels/{name:str}/delete", **ADMIN)
def delete_channel(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Delete a channel that no task names."""
    try:
        services.channels.delete(name, actor_of(request))
    except CioReplicateError as error:
        return _listed(request, services, status=status_of(error), error=said(error))
    return go("/channels", "deleted")


def _listed(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    editing: str = "",
    written: dict[str, Any] | None = None,
) -> Response[Any]:
    used: dict[str, list[str]] = {}
    for task in services.tasks.all():
        for channel in task.settings.notify:
            used.setdefault(channel, []).append(task.name)
    return page(
        request,
        "channels.html",
        status,
        channels=services.channels.all(),
        used=used,
        events=list(TOLD_OF.items()),
        editing=editing,
        written=written or {"name": "", "url": "", "events": set(EVENTS)},
        error=error,
    )


# Pages of data gateways: making one, its code, its machines, shutting them out.


ALIVE = 120  # seconds since a machine was seen in which it is taken for running


@get("/gateways", **ADMIN)
def all_gateways(request: AnyRequest, services: With) -> Response[Any]:
    """All gateways with their machines."""
    return _gateways_page(request, services)


@post("/gateways", **ADMIN)
def create(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a gateway; its code is shown this once."""
    name = form.text("name")
    try:
        code = gateways.create(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _gateways_page(request, services, status=status_of(error), error=said(error), name=name)
    return _gateways_page(request, services, code=code)


@post("/gateways/{name:str}/code", **ADMIN)
def new_code(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """A code for one more machine, shown this once."""
    try:
        code = gateways.new_code(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _gateways_page(request, services, status=status_of(error), error=said(error))
    return _gateways_page(request, services, code=code)


@post("/gateways/{name:str}/revoke", **ADMIN)
def revoke(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Shut out one machine of a gateway, or all of them."""
    try:
        gateways.revoke(services.database, form.text("member") or name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _gateways_page(request, services, status=status_of(error), error=said(error))
    return go("/gateways", "revoked")


@post("/gateways/{name:str}/remove", **ADMIN)
def remove(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Forget a gateway that no connection names."""
    try:
        gateways.remove(services.database, name, services.now, actor_of(request))
    except CioReplicateError as error:
        return _gateways_page(request, services, status=status_of(error), error=said(error))
    return go("/gateways", "deleted")


def _gateways_page(
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


HANDLERS = [
    secrets,
    put_secret,
    remove_secret,
    audit_log,
    about,
    users,
    invite,
    link_for_password,
    change_role,
    shut_out,
    channels,
    keep_channel,
    test_channel,
    delete_channel,
    all_gateways,
    create,
    new_code,
    revoke,
    remove,
]
