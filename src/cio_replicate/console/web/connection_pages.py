"""Pages for connections, and for the metadata and first rows of their tables."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError, InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console import gateways
from cio_replicate.console import gateways as inquiries
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import ADMIN, OPERATOR, VIEWER, AnyRequest, Id, Name, actor_of
from cio_replicate.console.web.forms import Sent, SubmittedForm, said_by, settings_of, shown_fields
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.rows import StoredConnection
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult
from cio_replicate.source.catalog import TABLES

TYPED, REFERENCE = "typed", "reference"


@get("/connections", **VIEWER)
def connections(request: AnyRequest, services: With) -> Response[Any]:
    """All connections."""
    found = services.connections.all()
    used: dict[str, int] = {}
    for task in services.tasks.all():
        used[task.settings.connection] = used.get(task.settings.connection, 0) + 1
    return page(request, "connections.html", connections=found, used=used)


@get("/new-connection", **ADMIN)
def new_connection(request: AnyRequest, services: With) -> Response[Any]:
    """The form that makes a connection."""
    return _form(request, services, None, {"access_from": TYPED, "open_metadata": True})


@post("/new-connection", **ADMIN)
def create_connection(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Make a connection, or test what the form says."""
    if form.has("test"):
        return _tested(request, services, form, None)
    name = form.text("name")
    try:
        settings, token = _said(form, None)
        services.connections.create(name, settings, actor_of(request), token)
    except CioReplicateError as error:
        return _form(request, services, None, _written(form), status=status_of(error), error=said(error))
    if form.has("open_metadata"):
        return _opened(request, services, name)
    return go(f"/connections/{name}", "created")


@get("/connections/{name:str}", **VIEWER)
def connection(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """One connection: what it is, what uses it, whether it works."""
    return _shown(request, services, name)


@post("/connections/{name:str}/test", **OPERATOR)
def test_connection(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Find out whether the key works."""
    kept = services.connections.named(name)
    if kept.settings.gateway is not None:
        number = inquiries.ask(services.database, kept.settings, ProbeRequest.ACCESS, services.now)
        return go(f"/connections/{name}?asked={number}")
    return _shown(request, services, name, found=services.connections.test(name, actor_of(request)))


@get("/connections/{name:str}/edit", **ADMIN)
def edit_form(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """The form that edits a connection."""
    kept = services.connections.named(name)
    return _form(request, services, kept, {"access_from": REFERENCE})


@post("/connections/{name:str}/edit", **ADMIN)
def edit_connection(request: AnyRequest, services: With, name: Name, form: Sent) -> Response[Any]:
    """Give a connection other settings, or test them."""
    kept = services.connections.named(name)
    if form.has("test"):
        return _tested(request, services, form, kept)
    try:
        settings, token = _said(form, kept)
        services.connections.edit(name, settings, actor_of(request), token)
    except CioReplicateError as error:
        return _form(request, services, kept, _written(form), status=status_of(error), error=said(error))
    return go(f"/connections/{name}", "saved")


@post("/connections/{name:str}/delete", **ADMIN)
def delete_connection(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Delete a connection that no task uses."""
    try:
        services.connections.delete(name, actor_of(request))
    except CioReplicateError as error:
        return _shown(request, services, name, status=status_of(error), error=said(error))
    return go("/connections", "deleted")


def _said(form: SubmittedForm, kept: StoredConnection | None) -> tuple[ConnectionSettings, Secret | None]:
    """The settings that a form brings, and the token that was typed into it. Raises Refused."""
    typed = form.text("access_from") == TYPED
    token = Secret(form.text("token")) if typed and form.text("token") else None
    if typed and token is None and kept is None:
        raise InvalidSettings("The access token is missing.", "Paste the App API key, or say where it is kept.")
    if not typed and not form.text("access_token_from"):
        raise InvalidSettings("It is not said where the access token is kept.", "Write env:NAME or file:/path.")
    without = {"access_token_from"} if typed else set()
    more = {"access_token_from": kept.settings.access_token_from} if typed and kept is not None else {}
    return settings_of(form, ConnectionSettings, more, without), token


def _written(form: SubmittedForm) -> dict[str, Any]:
    return {
        **said_by(form, ConnectionSettings),
        "name": form.text("name"),
        "access_from": form.text("access_from"),
        "open_metadata": form.has("open_metadata"),
    }


def _form(
    request: AnyRequest,
    services: WebServices,
    kept: StoredConnection | None,
    written: dict[str, Any],
    *,
    status: int = 200,
    **more: Any,  # noqa: ANN401 - what else the template shows
) -> Response[Any]:
    values = written if "start_date" in written else kept.settings if kept is not None else None
    return page(
        request,
        "connection_form.html",
        status,
        kept=kept,
        written=written,
        fields=shown_fields(ConnectionSettings, values),
        gateways=_gateways(services),
        **{"tested": None, **more},
    )


def _gateways(services: WebServices) -> list[tuple[str, str]]:
    """What a connection may be reached by, as a form offers it; nothing where there is only this machine."""
    names = [one.name for one in gateways.listed(services.database, services.now)]
    return [("", "None: on this machine"), *((name, f"Gateway {name}") for name in names)] if names else []


def _tested(
    request: AnyRequest, services: WebServices, form: SubmittedForm, kept: StoredConnection | None
) -> Response[Any]:
    """What came of trying the settings of a form, which are not kept."""
    try:
        settings, token = _said(form, kept)
        found = services.connections.inquire(settings, ProbeRequest.ACCESS, actor_of(request), token)
    except CioReplicateError as error:
        found = ProbeResult(cause=error.cause, fix=error.fix)
    if request.headers.get("hx-request"):
        return page(request, "tested.html", found=found)
    return _form(request, services, kept, _written(form), tested=found)


def _opened(request: AnyRequest, services: WebServices, name: Name) -> Response[Any]:
    """To the metadata of a connection that was just made; when that fails, the connection is there all the same."""
    kept = services.connections.named(name)
    if kept.settings.gateway is not None:
        number = inquiries.ask(services.database, kept.settings, ProbeRequest.TABLES, services.now)
        return go(f"/connections/{name}/metadata/{number}", "created")
    services.connections.open_metadata(name, actor_of(request))
    return go(f"/connections/{name}/metadata", "created")


def _shown(
    request: AnyRequest,
    services: WebServices,
    name: Name,
    *,
    status: int = 200,
    found: ProbeResult | None = None,
    error: dict[str, str] | None = None,
) -> Response[Any]:
    kept = services.connections.named(name)
    number = request.query_params.get("asked", "")
    reply = inquiries.reply(services.database, number, services.now, kept.settings) if number else None
    tasks = [task for task in services.tasks.all() if task.settings.connection == name]
    return page(
        request,
        "connection.html",
        status,
        kept=kept,
        fields=shown_fields(ConnectionSettings, kept.settings),
        tasks=tasks,
        found=found if reply is None else reply.found,
        asked=number if reply is not None and reply.waiting else "",
        unanswered=reply is not None and reply.found is None and not reply.waiting,
        error=error,
    )


# Pages of what the tables of a connection hold: their metadata, and their first rows.


ROWS = 10
LONGEST_VALUE = 120


@get("/connections/{name:str}/metadata", **VIEWER)
def metadata(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """What is known of each table, and what was found out with the connection's key."""
    kept = services.connections.named(name)
    opened = services.connections.last_metadata(name)
    return page(request, "metadata.html", kept=kept, opened=opened, asked="", late=False)


@get("/connections/{name:str}/metadata/{number:str}", **OPERATOR)
def metadata_of_gateway(request: AnyRequest, services: With, name: Name, number: Id) -> Response[Any]:
    """The same, while a gateway is asked, and with its answer."""
    kept = services.connections.named(name)
    reply = inquiries.reply(services.database, number, services.now, kept.settings, ProbeRequest.TABLES)
    if reply.found is not None:
        opened = services.connections.keep_metadata(kept.id, reply.found)
        if reply.found.works:
            return go(f"/connections/{name}/metadata")
        return _metadata_page(request, kept, opened)
    opened = services.connections.last_metadata(name)
    if reply.waiting:
        return page(request, "metadata.html", kept=kept, opened=opened, asked=number, late=False)
    return page(request, "metadata.html", kept=kept, opened=opened, asked="", late=True)


@post("/connections/{name:str}/metadata", **OPERATOR)
def open_metadata(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Find out with the connection's key what the tables hold and cost."""
    kept = services.connections.named(name)
    if kept.settings.gateway is not None:
        number = inquiries.ask(services.database, kept.settings, ProbeRequest.TABLES, services.now)
        return go(f"/connections/{name}/metadata/{number}")
    opened = services.connections.open_metadata(name, actor_of(request))
    if opened.cause:
        return _metadata_page(request, kept, opened)
    return go(f"/connections/{name}/metadata")


@get("/connections/{name:str}/rows", **OPERATOR)
def preview(
    request: AnyRequest,
    services: With,
    name: Name,
    table: FromQuery[str] = "",
    as_task: Annotated[str, QueryParameter(name="task")] = "",
) -> Response[Any]:
    """The first rows of a table, as the copy would have them."""
    kept = services.connections.named(name)
    tasks = [one for one in services.tasks.all() if one.settings.connection == name]
    task = next((one for one in tasks if one.name == as_task), None)
    shown: dict[str, Any] = {"kept": kept, "tasks": tasks, "task": task, "tables": TABLES, "table": table}
    if not table:
        return page(request, "rows.html", found=None, **shown)
    try:
        found = services.probes.rows(kept, task, table, ROWS, actor_of(request))
    except CioReplicateError as error:
        return page(request, "rows.html", status_of(error), found=None, error=said(error), **shown)
    names = [one.name for one in found.table.columns if any(row.get(one.name) is not None for row in found.rows)]
    rows = [[_short(row.get(one)) for one in names] for row in found.rows]
    hidden = len(found.table.columns) - len(names)
    return page(request, "rows.html", found=found, names=names, rows=rows, empty=hidden, **shown)


def _metadata_page(request: AnyRequest, kept: StoredConnection, opened: Metadata) -> Response[Any]:
    """The page with what went wrong."""
    error = {"message": opened.cause, "fix": opened.fix}
    return page(request, "metadata.html", 422, kept=kept, opened=opened, asked="", late=False, error=error)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


HANDLERS = [
    connections,
    new_connection,
    create_connection,
    connection,
    test_connection,
    edit_form,
    edit_connection,
    delete_connection,
    metadata,
    metadata_of_gateway,
    open_metadata,
    preview,
]
