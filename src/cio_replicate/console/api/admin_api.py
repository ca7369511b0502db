"""API endpoints for channels, secrets, gateways, the audit log, users and tokens."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.params import JSONBody, QueryParameter

from cio_replicate.base.errors import NotFound
from cio_replicate.base.text import Secret
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console import gateways
from cio_replicate.console.api.api_models import EditedChannel, NewChannel, SecretBody
from cio_replicate.console.gateways import EnrolmentCode, Gateway
from cio_replicate.console.secrets import StoredSecret
from cio_replicate.console.sessions import Token
from cio_replicate.console.users import User
from cio_replicate.console.web.authorization import ADMIN, VIEWER, AnyRequest, Id, Name, actor_of, taking
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database import audit_log
from cio_replicate.database.actor import Role
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
    services.channels.named(name)
    address = Secret(data.address) if data.address is not None else None
    services.channels.edit(name, data.settings, actor_of(request), address)
    return services.channels.named(name)


@delete("/api/v1/channels/{name:str}", tags=["Channels"], **ADMIN)
def delete_channel(request: AnyRequest, services: With, name: Name) -> None:
    """Delete a channel that no task names."""
    services.channels.named(name)
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
        return audit_log.entries(connection, limit, offset)


# The API of users and tokens, and of who calls.


class CurrentUser(msgspec.Struct, kw_only=True):
    """Who calls, what they may do, and which version answers."""

    name: str
    role: Role
    version: str


class InvitationBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A user to be made."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    role: Role


class UserPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a user is to be; what is left out stays as it is."""

    role: Role | None = None
    disabled: bool | None = None


class PasswordLink(msgspec.Struct, kw_only=True):
    """A one-time link by which a user chooses a password, within 7 days."""

    link: str


@get("/api/v1/me", tags=["Users"], **VIEWER)
def show_caller(request: AnyRequest) -> CurrentUser:
    """Show who calls, and what they may do."""
    actor = actor_of(request)
    return CurrentUser(name=actor.name, role=actor.role, version=__version__)


@get("/api/v1/users", tags=["Users"], **ADMIN)
def list_users(services: With) -> list[User]:
    """List all users."""
    return services.people.all()


@post("/api/v1/users", tags=["Users"], **ADMIN)
def invite_user(request: AnyRequest, services: With, data: JSONBody[InvitationBody]) -> PasswordLink:
    """Make a user; the answer has the link by which they choose a password."""
    return _link(services, services.people.invite(data.name, data.role, actor_of(request)))


@post("/api/v1/users/{user_id:str}/link", tags=["Users"], **ADMIN)
def make_link(request: AnyRequest, services: With, user_id: Id) -> PasswordLink:
    """Make a link by which a user chooses a new password; those made before no longer count."""
    services.people.user(user_id)
    return _link(services, services.people.invite_again(user_id, actor_of(request)))


@put("/api/v1/users/{user_id:str}", tags=["Users"], **ADMIN)
def change_user(request: AnyRequest, services: With, user_id: Id, data: JSONBody[UserPatch]) -> User:
    """Give a user another role, shut them out, or let them in again."""
    services.people.user(user_id)
    if data.role is not None:
        services.people.change_role(user_id, data.role, actor_of(request))
    if data.disabled is not None:
        services.people.disable(user_id, actor_of(request), disabled=data.disabled)
    return services.people.user(user_id)


@delete("/api/v1/users/{user_id:str}", tags=["Users"], **ADMIN)
def remove_user(request: AnyRequest, services: With, user_id: Id) -> None:
    """Remove a user with sessions and tokens; the audit log keeps the name."""
    services.people.user(user_id)
    services.people.remove(user_id, actor_of(request))


@get("/api/v1/tokens", tags=["Tokens"], **ADMIN)
def list_tokens(services: With) -> list[Token]:
    """List the tokens of all users; never what they are. They are made on the page of one's account."""
    return services.tokens.all()


@delete("/api/v1/tokens/{token_id:str}", tags=["Tokens"], **ADMIN)
def revoke_token(request: AnyRequest, services: With, token_id: Id) -> None:
    """End a token at once."""
    if not services.tokens.revoke(token_id, actor_of(request)):
        raise NotFound("There is no such token.", "It may have ended already.")


def _link(services: WebServices, value: str) -> PasswordLink:
    return PasswordLink(link=f"{services.site.url}/welcome/{value}")


HANDLERS = [
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
    show_caller,
    list_users,
    invite_user,
    make_link,
    change_user,
    remove_user,
    list_tokens,
    revoke_token,
]
