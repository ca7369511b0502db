"""The API of what the console keeps besides: channels, secrets, gateways, the audit log."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, post, put
from litestar.params import JSONBody, QueryParameter

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console import gateways
from cio_replicate.console.api.api_models import EditedChannel, NewChannel, SecretBody
from cio_replicate.console.gateways import EnrolmentCode, Gateway
from cio_replicate.console.secrets import StoredSecret
from cio_replicate.console.web.authorization import ADMIN, AnyRequest, actor_of, taking
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.naming import Id, Name
from cio_replicate.console.web.services import With
from cio_replicate.database import audit_log as audit
from cio_replicate.database.audit_log import AuditEntry
from cio_replicate.database.rows import StoredChannel

SecretName = Annotated[
    str, QueryParameter(name="name", pattern=r"^[a-z0-9][a-z0-9/-]{0,199}$", description="The secret's name.")
]


@get("/api/v1/channels", tags=["Channels"], **ADMIN)
def list_channels(services: With) -> list[StoredChannel]:
    """List all channels; an address that is stored is not shown."""
    return services.channels.all()


@post("/api/v1/channels", tags=["Channels"], **taking(ChannelSettings, ADMIN))
def create_channel(request: AnyRequest, services: With, data: JSONBody[NewChannel]) -> StoredChannel:
    """Make a channel."""
    address = Secret(data.address) if data.address is not None else None
    return services.channels.create(data.name, data.settings, actor_of(request), address)


@put("/api/v1/channels/{name:str}", tags=["Channels"], **taking(ChannelSettings, ADMIN))
def edit_channel(request: AnyRequest, services: With, name: Name, data: JSONBody[EditedChannel]) -> StoredChannel:
    """Give a channel these settings."""
    there(services.channels.named, name)
    address = Secret(data.address) if data.address is not None else None
    services.channels.edit(name, data.settings, actor_of(request), address)
    return services.channels.named(name)


@delete("/api/v1/channels/{name:str}", tags=["Channels"], **ADMIN)
def delete_channel(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a channel that no task names."""
    there(services.channels.named, name)
    services.channels.delete(name, actor_of(request))


@get("/api/v1/secrets", tags=["Secrets"], **ADMIN)
def list_secrets(services: With) -> list[StoredSecret]:
    """List the stored secrets by name, and what uses them; never what they are."""
    return services.secrets.all()


@put("/api/v1/secrets", tags=["Secrets"], status_code=204, **ADMIN)
def put_secret(request: AnyRequest, services: With, name: SecretName, data: JSONBody[SecretBody]) -> None:
    """Store a secret, or replace one; it cannot be read back."""
    services.secrets.put(name, Secret(data.value), actor_of(request))


@delete("/api/v1/secrets", tags=["Secrets"], **ADMIN)
def remove_secret(request: AnyRequest, services: With, name: SecretName) -> None:
    """Forget a secret that nothing uses."""
    services.secrets.remove(name, actor_of(request))


@get("/api/v1/gateways", tags=["Gateways"], **ADMIN)
def list_gateways(services: With) -> list[Gateway]:
    """List all data gateways with their machines."""
    return gateways.listed(services.database, services.now)


@post("/api/v1/gateways/{name:str}", tags=["Gateways"], **ADMIN)
def create_gateway(request: AnyRequest, services: With, name: Name) -> EnrolmentCode:
    """Make a gateway; the answer has the code for its first machine, this once."""
    return gateways.create(services.database, name, services.now, actor_of(request))


@post("/api/v1/gateways/{name:str}/codes", tags=["Gateways"], **ADMIN)
def create_code(request: AnyRequest, services: With, name: Name) -> EnrolmentCode:
    """Make a code for one more machine, within the hour."""
    return gateways.new_code(services.database, name, services.now, actor_of(request))


@delete("/api/v1/gateways/{name:str}", tags=["Gateways"], **ADMIN)
def remove_gateway(request: AnyRequest, services: With, name: Name) -> None:
    """Forget a gateway that no connection names."""
    gateways.remove(services.database, name, services.now, actor_of(request))


@delete("/api/v1/gateways/{name:str}/machines/{member:str}", tags=["Gateways"], **ADMIN)
def revoke_machine(request: AnyRequest, services: With, name: Name, member: Id) -> None:
    """Shut out a machine of a gateway at once."""
    gateways.revoke(services.database, member, services.now, actor_of(request), of=name)


@get("/api/v1/audit", tags=["Audit"], **ADMIN)
def list_audit(
    services: With,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=10_000_000)] = 0,
) -> list[AuditEntry]:
    """List who did what, the newest first."""
    with services.database.reading() as connection:
        return audit.entries(connection, limit, offset)


HANDLERS = (
    list_channels,
    create_channel,
    edit_channel,
    delete_channel,
    list_secrets,
    put_secret,
    remove_secret,
    list_gateways,
    create_gateway,
    create_code,
    remove_gateway,
    revoke_machine,
    list_audit,
)
