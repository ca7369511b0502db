"""The API of connections: what the pages of connections do."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, post, put
from litestar.params import JSONBody, QueryParameter

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console import inquiries
from cio_replicate.console.api.api_models import (
    ConnectionBody,
    EditedConnection,
    NewConnection,
    PendingProbe,
    ProbeAnswerBody,
    ProbeBody,
    connection_shown,
)
from cio_replicate.console.metadata import Metadata
from cio_replicate.console.web.authorization import ADMIN, OPERATOR, VIEWER, AnyRequest, actor_of, taking
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.naming import Id, Name, TableName
from cio_replicate.console.web.services import With
from cio_replicate.jobs.ports import ProbeResult

TAGS = ["Connections"]
ON_GATEWAY = SettingsError(
    "The connection is reached from its data gateway alone.",
    "Ask it: POST …/inquiries, then GET …/inquiries/NUMBER.",
)


@get("/api/v1/connections", tags=TAGS, **VIEWER)
def list_connections(services: With) -> list[ConnectionBody]:
    """List all connections."""
    return [connection_shown(one) for one in services.connections.all()]


@post("/api/v1/connections", tags=TAGS, **taking(ConnectionSettings, ADMIN))
def create_connection(request: AnyRequest, services: With, data: JSONBody[NewConnection]) -> ConnectionBody:
    """Make a connection."""
    token = Secret(data.access_token) if data.access_token is not None else None
    return connection_shown(services.connections.create(data.name, data.settings, actor_of(request), token))


@get("/api/v1/connections/{name:str}", tags=TAGS, **VIEWER)
def show_connection(services: With, name: Name) -> ConnectionBody:
    """Show a connection; its access token is never shown."""
    return connection_shown(there(services.connections.named, name))


@put("/api/v1/connections/{name:str}", tags=TAGS, **taking(ConnectionSettings, ADMIN))
def edit_connection(
    request: AnyRequest, services: With, name: Name, data: JSONBody[EditedConnection]
) -> ConnectionBody:
    """Give a connection these settings."""
    there(services.connections.named, name)
    token = Secret(data.access_token) if data.access_token is not None else None
    services.connections.edit(name, data.settings, actor_of(request), token)
    return connection_shown(services.connections.named(name))


@delete("/api/v1/connections/{name:str}", tags=TAGS, **ADMIN)
def delete_connection(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a connection that no task uses; what was copied stays where it is."""
    there(services.connections.named, name)
    services.connections.delete(name, actor_of(request))


@post("/api/v1/connections/{name:str}/test", tags=TAGS, status_code=200, **OPERATOR)
def test_connection(request: AnyRequest, services: With, name: Name) -> ProbeResult:
    """Find out whether the key works, and which tables it may read: a request for each table.

    What is wrong with it is in the answer, with the cause and the fix.
    """
    if there(services.connections.named, name).settings.gateway is not None:
        raise ON_GATEWAY
    return services.connections.test(name, actor_of(request))


@get("/api/v1/connections/{name:str}/metadata", tags=TAGS, **VIEWER)
def show_metadata(services: With, name: Name) -> Metadata:
    """Show every table of a connection with its columns, and what was found out last."""
    return there(services.connections.last_metadata, name)


@post("/api/v1/connections/{name:str}/metadata", tags=TAGS, status_code=200, **OPERATOR)
def open_metadata(request: AnyRequest, services: With, name: Name) -> Metadata:
    """Find out anew what the tables hold and what a full read costs: some thirty requests."""
    if there(services.connections.named, name).settings.gateway is not None:
        raise ON_GATEWAY
    return services.connections.open_metadata(name, actor_of(request))


@post("/api/v1/connections/{name:str}/inquiries", tags=TAGS, **OPERATOR)
def ask_gateway(services: With, name: Name, data: JSONBody[ProbeBody]) -> PendingProbe:
    """Ask the data gateway of a connection whether its key works, or what its tables hold."""
    kept = there(services.connections.named, name)
    return PendingProbe(inquiry=inquiries.ask(services.database, kept.settings, data.about, services.now))


@get("/api/v1/connections/{name:str}/inquiries/{number:str}", tags=TAGS, **OPERATOR)
def show_answer(services: With, name: Name, number: Id) -> ProbeAnswerBody:
    """Show what a data gateway has answered; what it told of tables is kept as the connection's metadata."""
    kept = there(services.connections.named, name)
    reply = inquiries.reply(services.database, number, services.now, kept.settings)
    if reply.found is not None and any(one.basis for one in reply.found.tables):
        services.connections.keep_metadata(kept.id, reply.found)
    return ProbeAnswerBody(waiting=reply.waiting, found=reply.found)


@get("/api/v1/connections/{name:str}/rows/{table:str}", tags=TAGS, **OPERATOR)
def preview_rows(
    request: AnyRequest,
    services: With,
    name: Name,
    table: TableName,
    limit: Annotated[int, QueryParameter(ge=1, le=50)] = 10,
) -> list[dict[str, str | None]]:
    """Show the first rows of a table, as the source has them: one or two requests; nothing is kept."""
    kept = there(services.connections.named, name)
    found = services.previews.rows(kept, None, table, limit, actor_of(request))
    return [{column: None if value is None else str(value) for column, value in row.items()} for row in found.rows]


HANDLERS = (
    list_connections,
    create_connection,
    show_connection,
    edit_connection,
    delete_connection,
    test_connection,
    show_metadata,
    open_metadata,
    ask_gateway,
    show_answer,
    preview_rows,
)
