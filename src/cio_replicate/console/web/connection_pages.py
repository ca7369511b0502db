"""Pages for connections, and for the metadata and first rows of their tables."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from litestar.params import FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError, InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console import gateways
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import Id, Name
from cio_replicate.console.web.forms import YES, SubmittedForm, form_with, settings_of, shown_fields
from cio_replicate.console.web.rendering import go
from cio_replicate.console.web.routes import Page, Routes, Visit, Visiting
from cio_replicate.database.actor import Role
from cio_replicate.database.rows import StoredConnection
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult
from cio_replicate.source.catalog import TABLES

ROUTES = route = Routes()

TYPED, REFERENCE = "typed", "reference"


@route("GET /connections", Role.VIEWER)
def connections(visit: Visiting) -> Page:
    """Show all connections."""
    used = Counter(task.settings.connection for task in visit.services.tasks.all())
    return visit.page("connections.html", connections=visit.services.connections.all(), used=used)


@route("GET /new-connection", Role.ADMIN)
def new_connection(visit: Visiting) -> Page:
    """Show the form that makes a connection."""
    return _form(visit, None)


@route("POST /new-connection", Role.ADMIN)
def create_connection(visit: Visiting) -> Page:
    """Make a connection, or test what the form says."""
    if visit.form.has("test"):
        return _tested(visit, None)
    services, name = visit.services, visit.form.text("name")
    try:
        settings, token = _settings_sent(visit.form, None)
        made = services.connections.create(name, settings, visit.by, token)
    except CioReplicateError as error:
        return _form(visit.failed(error), None)
    if not visit.form.has("open_metadata"):
        return go(f"/connections/{name}", "created")
    number = _gateway_asked(visit, made, ProbeRequest.TABLES)
    if number is not None:
        return go(f"/connections/{name}/metadata/{number}", "created")
    services.connections.open_metadata(name, visit.by)  # when nothing is found out, the page of the metadata offers it
    return go(f"/connections/{name}/metadata", "created")


@route("GET /connections/{name:str}", Role.VIEWER)
def connection(visit: Visiting, name: Name) -> Page:
    """Show one connection: what it is, what uses it, whether it works."""
    services = visit.services
    stored = services.connections.named(name)
    number = visit.request.query_params.get("asked", "")
    reply = gateways.reply(services.database, number, services.now, stored.settings) if number else None
    return visit.page(
        "connection.html",
        stored=stored,
        fields=shown_fields(ConnectionSettings, form_with(ConnectionSettings, stored.settings)),
        tasks=[task for task in services.tasks.all() if task.settings.connection == name],
        found=reply and reply.found,
        asked=number if reply is not None and reply.waiting else "",
        unanswered=reply is not None and reply.found is None and not reply.waiting,
    )


@route("POST /connections/{name:str}/test", Role.OPERATOR)
def test_connection(visit: Visiting, name: Name) -> Page:
    """Find out whether the key works."""
    number = _gateway_asked(visit, visit.services.connections.named(name), ProbeRequest.ACCESS)
    if number is not None:
        return go(f"/connections/{name}?asked={number}")
    return connection(visit.showing(found=visit.services.connections.test(name, visit.by)), name)


@route("GET /connections/{name:str}/edit", Role.ADMIN)
def edit_form(visit: Visiting, name: Name) -> Page:
    """Show the form that edits a connection."""
    return _form(visit, visit.services.connections.named(name))


@route("POST /connections/{name:str}/edit", Role.ADMIN, on_error=edit_form)
def edit_connection(visit: Visiting, name: Name) -> Page:
    """Give a connection other settings, or test them."""
    stored = visit.services.connections.named(name)
    if visit.form.has("test"):
        return _tested(visit, stored)
    settings, token = _settings_sent(visit.form, stored)
    visit.services.connections.edit(name, settings, visit.by, token)
    return go(f"/connections/{name}", "saved")


@route("POST /connections/{name:str}/delete", Role.ADMIN, on_error=connection)
def delete_connection(visit: Visiting, name: Name) -> Page:
    """Delete a connection that no task uses."""
    visit.services.connections.delete(name, visit.by)
    return go("/connections", "deleted")


def _settings_sent(form: SubmittedForm, stored: StoredConnection | None) -> tuple[ConnectionSettings, Secret | None]:
    """Return the settings that a form brings, and the token that was typed into it. Raises InvalidSettings."""
    typed = form.text("access_from") == TYPED
    token = Secret(form.text("token")) if typed and form.text("token") else None
    if typed and token is None and stored is None:
        raise InvalidSettings("The access token is missing.", "Paste the App API key, or say where it is stored.")
    if not typed and not form.text("access_token_from"):
        raise InvalidSettings("It is not said where the access token is stored.", "Write env:NAME or file:/path.")
    without = {"access_token_from"} if typed else set()
    more = {"access_token_from": stored.settings.access_token_from} if typed and stored is not None else {}
    return settings_of(form, ConnectionSettings, more, without), token


def _form(visit: Visit, stored: StoredConnection | None) -> Page:
    """Return the form of a connection, with what was sent, or its settings, or those of a new one."""
    if stored is not None:
        usual = form_with(ConnectionSettings, stored.settings, access_from=REFERENCE)
    else:
        usual = form_with(ConnectionSettings, None, access_from=TYPED, open_metadata=YES)
    own = visit.form or usual
    names = [one.name for one in gateways.listed(visit.services.database, visit.services.now)]
    return visit.page(
        "connection_form.html",
        stored=stored,
        own=own,
        fields=shown_fields(ConnectionSettings, own),
        gateways=[("", "None: on this machine"), *((name, f"Gateway {name}") for name in names)] if names else [],
        tested=None,
    )


def _tested(visit: Visit, stored: StoredConnection | None) -> Page:
    """Return what came of trying the settings of a form, which are not stored."""
    try:
        settings, token = _settings_sent(visit.form, stored)
        found = visit.services.connections.inquire(settings, ProbeRequest.ACCESS, visit.by, token)
    except CioReplicateError as error:
        found = ProbeResult(cause=error.cause, fix=error.fix)
    if visit.is_for_a_part:
        return visit.page("tested.html", found=found)
    return _form(visit.showing(tested=found), stored)


def _gateway_asked(visit: Visit, stored: StoredConnection, about: ProbeRequest) -> str | None:
    """Ask the gateway of a connection, and return the question's number; None for a connection without one."""
    if stored.settings.gateway is None:
        return None
    return gateways.ask(visit.services.database, stored.settings, about, visit.services.now)


ROWS = 10
LONGEST_VALUE = 120


@route("GET /connections/{name:str}/metadata", Role.VIEWER)
def metadata(visit: Visiting, name: Name) -> Page:
    """Show what is known of each table, and what was found out with the connection's key."""
    stored = visit.services.connections.named(name)
    opened = visit.services.connections.last_metadata(name)
    return visit.page("metadata.html", stored=stored, opened=opened, asked="", late=False)


@route("GET /connections/{name:str}/metadata/{number:str}", Role.OPERATOR)
def metadata_of_gateway(visit: Visiting, name: Name, number: Id) -> Page:
    """Show the same while a gateway is asked, and with its answer."""
    services = visit.services
    stored = services.connections.named(name)
    reply = gateways.reply(services.database, number, services.now, stored.settings, ProbeRequest.TABLES)
    if reply.found is None:
        return metadata(visit.showing(asked=number if reply.waiting else "", late=not reply.waiting), name)
    return _found_out(visit, name, services.connections.keep_metadata(stored.id, reply.found))


@route("POST /connections/{name:str}/metadata", Role.OPERATOR)
def open_metadata(visit: Visiting, name: Name) -> Page:
    """Find out with the connection's key what the tables hold and cost."""
    number = _gateway_asked(visit, visit.services.connections.named(name), ProbeRequest.TABLES)
    if number is not None:
        return go(f"/connections/{name}/metadata/{number}")
    return _found_out(visit, name, visit.services.connections.open_metadata(name, visit.by))


def _found_out(visit: Visit, name: str, opened: Metadata) -> Page:
    """Go to the metadata, or say why nothing was found out."""
    if not opened.cause:
        return go(f"/connections/{name}/metadata")
    error = {"message": opened.cause, "fix": opened.fix}
    return metadata(visit.showing(422, opened=opened, error=error), name)


@route("GET /connections/{name:str}/rows", Role.OPERATOR)
def preview(
    visit: Visiting,
    name: Name,
    table: FromQuery[str] = "",
    as_task: Annotated[str, QueryParameter(name="task")] = "",
) -> Page:
    """Show the first rows of a table, as the copy would have them."""
    stored = visit.services.connections.named(name)
    tasks = [one for one in visit.services.tasks.all() if one.settings.connection == name]
    task = next((one for one in tasks if one.name == as_task), None)
    shown: dict[str, Any] = {"stored": stored, "tasks": tasks, "task": task, "tables": TABLES, "table": table}
    shown["found"] = None
    if not table:
        return visit.page("rows.html", **shown)
    try:
        found = visit.services.probes.rows(stored, task, table, ROWS, visit.by)
    except CioReplicateError as error:
        return visit.failed(error).page("rows.html", **shown)
    names = [one.name for one in found.table.columns if any(row.get(one.name) is not None for row in found.rows)]
    rows = [[_short(row.get(one)) for one in names] for row in found.rows]
    empty = len(found.table.columns) - len(names)
    return visit.showing(found=found, names=names, rows=rows, empty=empty).page("rows.html", **shown)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
