"""Pages of what the tables of a connection hold: their metadata, and their first rows."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get, post
from litestar.params import FromQuery, QueryParameter

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.console import inquiries
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import OPERATOR, VIEWER, AnyRequest, actor_of
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Id, Name
from cio_replicate.console.web.rendering import go, page, said
from cio_replicate.console.web.services import With
from cio_replicate.database.rows import StoredConnection
from cio_replicate.jobs.ports import ProbeRequest
from cio_replicate.source.catalog import TABLES

ROWS = 10
LONGEST_VALUE = 120


@get("/connections/{name:str}/metadata", **VIEWER)
def metadata(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """What is known of each table, and what was found out with the connection's key."""
    kept = there(services.connections.named, name)
    opened = services.connections.last_metadata(name)
    return page(request, "metadata.html", kept=kept, opened=opened, asked="", late=False)


@get("/connections/{name:str}/metadata/{number:str}", **OPERATOR)
def metadata_of_gateway(request: AnyRequest, services: With, name: Name, number: Id) -> Response[Any]:
    """The same, while a gateway is asked, and with its answer."""
    kept = there(services.connections.named, name)
    reply = inquiries.reply(services.database, number, services.now, kept.settings, ProbeRequest.TABLES)
    if reply.found is not None:
        opened = services.connections.keep_metadata(kept.id, reply.found)
        if reply.found.works:
            return go(f"/connections/{name}/metadata")
        return _shown(request, kept, opened)
    opened = there(services.connections.last_metadata, name)
    if reply.waiting:
        return page(request, "metadata.html", kept=kept, opened=opened, asked=number, late=False)
    return page(request, "metadata.html", kept=kept, opened=opened, asked="", late=True)


@post("/connections/{name:str}/metadata", **OPERATOR)
def open_metadata(request: AnyRequest, services: With, name: Name) -> Response[Any]:
    """Find out with the connection's key what the tables hold and cost."""
    kept = there(services.connections.named, name)
    if kept.settings.gateway is not None:
        number = inquiries.ask(services.database, kept.settings, ProbeRequest.TABLES, services.now)
        return go(f"/connections/{name}/metadata/{number}")
    opened = services.connections.open_metadata(name, actor_of(request))
    if opened.cause:
        return _shown(request, kept, opened)
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
    kept = there(services.connections.named, name)
    tasks = [one for one in services.tasks.all() if one.settings.connection == name]
    task = next((one for one in tasks if one.name == as_task), None)
    shown: dict[str, Any] = {"kept": kept, "tasks": tasks, "task": task, "tables": TABLES, "table": table}
    if not table:
        return page(request, "rows.html", found=None, **shown)
    try:
        found = services.previews.rows(kept, task, table, ROWS, actor_of(request))
    except CioReplicateError as error:
        return page(request, "rows.html", status_of(error), found=None, error=said(error), **shown)
    names = [one.name for one in found.table.columns if any(row.get(one.name) is not None for row in found.rows)]
    rows = [[_short(row.get(one)) for one in names] for row in found.rows]
    hidden = len(found.table.columns) - len(names)
    return page(request, "rows.html", found=found, names=names, rows=rows, empty=hidden, **shown)


def _shown(request: AnyRequest, kept: StoredConnection, opened: Metadata) -> Response[Any]:
    """The page with what went wrong."""
    error = {"message": opened.cause, "fix": opened.fix}
    return page(request, "metadata.html", 422, kept=kept, opened=opened, asked="", late=False, error=error)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


HANDLERS = (metadata, metadata_of_gateway, open_metadata, preview)
