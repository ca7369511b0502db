"""Pages for secrets, the audit log, users, channels and gateways."""

from __future__ import annotations

import platform
from typing import Annotated

from litestar.params import FromPath, FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError, InvalidSettings, NotFound
from cio_replicate.base.text import Secret
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import EVENTS, PREFIX, ChannelSettings
from cio_replicate.console import gateways
from cio_replicate.console.notifications import scrubbed, send_by_apprise
from cio_replicate.console.web.authorization import Id, Name
from cio_replicate.console.web.rendering import go
from cio_replicate.console.web.routes import Page, Routes, Visiting
from cio_replicate.database import audit_log as audit
from cio_replicate.database.actor import Role

ROUTES = route = Routes()

LINES = 100  # of the audit log on a page
MOST_PAGES = 10_000


@route("GET /secrets", Role.ADMIN)
def secrets(visit: Visiting) -> Page:
    """Show the names of the stored secrets."""
    return visit.page("secrets.html", secrets=visit.services.secrets.all(), name="")


@route("POST /secrets", Role.ADMIN, on_error=secrets, fields=("name",))
def put_secret(visit: Visiting) -> Page:
    """Store a secret, or replace one."""
    visit.services.secrets.put(visit.form.text("name"), Secret(visit.form.raw("value")), visit.by)
    return go("/secrets", "saved")


@route("POST /secrets/remove", Role.ADMIN, on_error=secrets)
def remove_secret(visit: Visiting) -> Page:
    """Remove a secret that nothing uses."""
    visit.services.secrets.remove(visit.form.text("name"), visit.by)
    return go("/secrets", "deleted")


@route("GET /audit", Role.ADMIN)
def audit_log(visit: Visiting, sheet: Annotated[int, QueryParameter(name="page", ge=0, le=MOST_PAGES)] = 0) -> Page:
    """Show who did what, the newest first."""
    with visit.services.database.reading() as connection:
        found = audit.entries(connection, LINES + 1, sheet * LINES)
    return visit.page("audit.html", entries=found[:LINES], sheet=sheet, more=len(found) > LINES)


@route("GET /about", Role.VIEWER)
def about(visit: Visiting) -> Page:
    """Show what this console is, where it keeps things, and how it is watched."""
    services = visit.services
    return visit.page(
        "about.html",
        version=__version__,
        python=platform.python_version(),
        store=services.database.shown,
        keys=services.keys.shown,
        site_url=services.site.url,
        users=services.people.count(),
    )


@route("GET /users", Role.ADMIN)
def users(visit: Visiting) -> Page:
    """Show all users, and the form to invite one."""
    return visit.page("users.html", users=visit.services.people.all(), name="", role=Role.VIEWER, link="", invited="")


@route("POST /users", Role.ADMIN, on_error=users, fields=("name", "role"))
def invite(visit: Visiting) -> Page:
    """Invite a user, and show the link this once."""
    name = visit.form.text("name")
    link = visit.services.people.invite(name, role_of(visit.form.text("role")), visit.by)
    return users(visit.showing(link=visit.services.password_link(link), invited=name))


@route("POST /users/{user_id:str}/link", Role.ADMIN)
def link_for_password(visit: Visiting, user_id: Id) -> Page:
    """Show a link by which a user chooses a new password, this once."""
    people = visit.services.people
    link = people.invite_again(user_id, visit.by)
    return users(visit.showing(link=visit.services.password_link(link), invited=people.user(user_id).name))


@route("POST /users/{user_id:str}/role", Role.ADMIN, on_error=users)
def change_role(visit: Visiting, user_id: Id) -> Page:
    """Give a user another role."""
    visit.services.people.change_role(user_id, role_of(visit.form.text("role")), visit.by)
    return go("/users", "changed")


@route("POST /users/{user_id:str}/{what:str}", Role.ADMIN, on_error=users)
def shut_out(visit: Visiting, user_id: Id, what: FromPath[str]) -> Page:
    """Shut a user out, let them in again, or remove them."""
    people = visit.services.people
    if what == "remove":
        people.remove(user_id, visit.by)
    elif what in ("shut-out", "let-in"):
        people.disable(user_id, visit.by, disabled=what == "shut-out")
    else:
        raise NotFound("Nothing of that name can be done with a user.", "Go back to the list of users.")
    return go("/users", "changed")


def role_of(text: str) -> Role:
    """Return the role of that name, or the least one for any other text."""
    return Role(text) if text in list(Role) else Role.VIEWER


@route("GET /channels", Role.ADMIN)
def channels(visit: Visiting, edit: FromQuery[str] = "") -> Page:
    """Show all channels, and the form to make or edit one."""
    written: dict[str, object] = {"name": "", "url": "", "events": set(EVENTS)}
    if edit:
        settings = visit.services.channels.named(edit).settings
        url = "" if settings.url.startswith(PREFIX) else settings.url
        written = {"name": edit, "url": url, "events": set(settings.events)}
    used: dict[str, list[str]] = {}
    for task in visit.services.tasks.all():
        for channel in task.settings.notify:
            used.setdefault(channel, []).append(task.name)
    found = visit.services.channels.all()
    return visit.page("channels.html", channels=found, used=used, editing=edit, written=written)


@route("POST /channels", Role.ADMIN)
def save_channel(visit: Visiting) -> Page:
    """Make a channel, or edit one."""
    form, services = visit.form, visit.services
    editing, name, events = form.text("editing"), form.text("editing") or form.text("name"), form.texts("events")
    secret = Secret(form.text("secret_url")) if form.text("secret_url") else None
    try:
        url = form.text("url") or (services.channels.named(editing).settings.url if editing else "")
        if secret is None and not url:
            raise InvalidSettings("The channel has no address.", "Write it, or where it is kept.")
        save = services.channels.edit if editing else services.channels.create
        save(name, ChannelSettings(url=url or f"{PREFIX}{name}", events=events), visit.by, secret)
    except CioReplicateError as error:
        written = {"name": name, "url": form.text("url"), "events": set(events)}
        return channels(visit.failed(error, editing=editing, written=written))
    return go("/channels", "saved")


@route("POST /channels/{name:str}/test", Role.ADMIN, on_error=channels)
def test_channel(visit: Visiting, name: Name) -> Page:
    """Send a notification that says only that this works."""
    address = visit.services.channels.address(name)
    failed = send_by_apprise(address, "cio-replicate: a test", f"The channel {name} works.")
    if failed is not None:
        cause = f"The test was not taken: {scrubbed(failed, address)}."
        raise InvalidSettings(cause, "Check the address, and that this machine may reach it.")
    return go("/channels", "sent")


@route("POST /channels/{name:str}/delete", Role.ADMIN, on_error=channels)
def delete_channel(visit: Visiting, name: Name) -> Page:
    """Delete a channel that no task names."""
    visit.services.channels.delete(name, visit.by)
    return go("/channels", "deleted")


ALIVE = 120  # seconds since a machine was seen in which it is taken for running


@route("GET /gateways", Role.ADMIN)
def all_gateways(visit: Visiting) -> Page:
    """Show all gateways with their machines."""
    services = visit.services
    return visit.page(
        "gateways.html",
        gateways=gateways.listed(services.database, services.now),
        alive_since=services.now - ALIVE,
        name="",
        code=None,
        site_url=services.site.url,
    )


@route("POST /gateways", Role.ADMIN, on_error=all_gateways, fields=("name",))
def create(visit: Visiting) -> Page:
    """Make a gateway, and show its code this once."""
    code = gateways.create(visit.services.database, visit.form.text("name"), visit.services.now, visit.by)
    return all_gateways(visit.showing(code=code))


@route("POST /gateways/{name:str}/code", Role.ADMIN, on_error=all_gateways)
def new_code(visit: Visiting, name: Name) -> Page:
    """Show a code for one more machine, this once."""
    code = gateways.new_code(visit.services.database, name, visit.services.now, visit.by)
    return all_gateways(visit.showing(code=code))


@route("POST /gateways/{name:str}/revoke", Role.ADMIN, on_error=all_gateways)
def revoke(visit: Visiting, name: Name) -> Page:
    """Shut out one machine of a gateway, or all of them."""
    gateways.revoke(visit.services.database, visit.form.text("member") or name, visit.services.now, visit.by)
    return go("/gateways", "revoked")


@route("POST /gateways/{name:str}/remove", Role.ADMIN, on_error=all_gateways)
def remove(visit: Visiting, name: Name) -> Page:
    """Remove a gateway that no connection names."""
    gateways.remove(visit.services.database, name, visit.services.now, visit.by)
    return go("/gateways", "deleted")
