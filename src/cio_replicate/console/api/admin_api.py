"""API endpoints for channels, secrets, gateways, the audit log, users and tokens."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar.params import JSONBody, QueryParameter

from cio_replicate.base.errors import NotFound
from cio_replicate.base.text import Secret
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console import gateways
from cio_replicate.console.api.workspace_api import BodyName, BodySecret, secret_of
from cio_replicate.console.gateways import EnrolmentCode, Gateway
from cio_replicate.console.secrets import StoredSecret
from cio_replicate.console.sessions import Token
from cio_replicate.console.users import User
from cio_replicate.console.web.authorization import Id, Name
from cio_replicate.console.web.routes import By, Routes
from cio_replicate.console.web.services import With
from cio_replicate.database import audit_log
from cio_replicate.database.actor import Role
from cio_replicate.database.audit_log import AuditEntry
from cio_replicate.database.rows import StoredChannel

CHANNELS = Routes("/api/v1/channels", "Channels")
SECRETS = Routes("/api/v1/secrets", "Secrets")
GATEWAYS = Routes("/api/v1/gateways", "Gateways")
AUDIT = Routes("/api/v1/audit", "Audit")
ME, USERS = Routes("/api/v1/me", "Users"), Routes("/api/v1/users", "Users")
TOKENS = Routes("/api/v1/tokens", "Tokens")
ROUTES = (CHANNELS, SECRETS, GATEWAYS, AUDIT, ME, USERS, TOKENS)

SecretName = Annotated[
    str, QueryParameter(name="name", pattern=r"^[a-z0-9][a-z0-9/-]{0,199}$", description="The secret's name.")
]


class EditedChannel(msgspec.Struct, forbid_unknown_fields=True):
    """All settings of a channel. `address` takes the place of the one that is stored for it."""

    settings: ChannelSettings
    address: BodySecret | None = None


class NewChannel(EditedChannel, kw_only=True):
    """A channel to be made. `address` is stored, encrypted, and named in the settings by itself."""

    name: BodyName


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """A secret to be stored."""

    value: BodySecret


@CHANNELS("GET", Role.ADMIN)
def list_channels(services: With) -> list[StoredChannel]:
    """List all channels; an address that is stored is not shown."""
    return services.channels.all()


@CHANNELS("POST", Role.ADMIN, settings=ChannelSettings)
def create_channel(services: With, by: By, data: JSONBody[NewChannel]) -> StoredChannel:
    """Make a channel."""
    return services.channels.create(data.name, data.settings, by, secret_of(data.address))


@CHANNELS("PUT /{name:str}", Role.ADMIN, settings=ChannelSettings)
def edit_channel(services: With, by: By, name: Name, data: JSONBody[EditedChannel]) -> StoredChannel:
    """Give a channel these settings."""
    services.channels.edit(name, data.settings, by, secret_of(data.address))
    return services.channels.named(name)


@CHANNELS("DELETE /{name:str}", Role.ADMIN)
def delete_channel(services: With, by: By, name: Name) -> None:
    """Delete a channel that no task names."""
    services.channels.delete(name, by)


@SECRETS("GET", Role.ADMIN)
def list_secrets(services: With) -> list[StoredSecret]:
    """List the stored secrets by name, and what uses them; never what they are."""
    return services.secrets.all()


@SECRETS("PUT", Role.ADMIN, status_code=204)
def put_secret(services: With, by: By, name: SecretName, data: JSONBody[SecretBody]) -> None:
    """Store a secret, or replace one; it cannot be read back."""
    services.secrets.put(name, Secret(data.value), by)


@SECRETS("DELETE", Role.ADMIN)
def remove_secret(services: With, by: By, name: SecretName) -> None:
    """Forget a secret that nothing uses."""
    services.secrets.remove(name, by)


@GATEWAYS("GET", Role.ADMIN)
def list_gateways(services: With) -> list[Gateway]:
    """List all data gateways with their machines."""
    return gateways.listed(services.database, services.now)


@GATEWAYS("POST /{name:str}", Role.ADMIN)
def create_gateway(services: With, by: By, name: Name) -> EnrolmentCode:
    """Make a gateway; the answer has the code for its first machine, this once."""
    return gateways.create(services.database, name, services.now, by)


@GATEWAYS("POST /{name:str}/codes", Role.ADMIN)
def create_code(services: With, by: By, name: Name) -> EnrolmentCode:
    """Make a code for one more machine, within the hour."""
    return gateways.new_code(services.database, name, services.now, by)


@GATEWAYS("DELETE /{name:str}", Role.ADMIN)
def remove_gateway(services: With, by: By, name: Name) -> None:
    """Forget a gateway that no connection names."""
    gateways.remove(services.database, name, services.now, by)


@GATEWAYS("DELETE /{name:str}/machines/{member:str}", Role.ADMIN)
def revoke_machine(services: With, by: By, name: Name, member: Id) -> None:
    """Shut out a machine of a gateway at once."""
    gateways.revoke(services.database, member, services.now, by, of=name)


@AUDIT("GET", Role.ADMIN)
def list_audit(
    services: With,
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 100,
    offset: Annotated[int, QueryParameter(ge=0, le=10_000_000)] = 0,
) -> list[AuditEntry]:
    """List who did what, the newest first."""
    with services.database.reading() as connection:
        return audit_log.entries(connection, limit, offset)


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


@ME("GET", Role.VIEWER)
def show_caller(by: By) -> CurrentUser:
    """Show who calls, and what they may do."""
    return CurrentUser(name=by.name, role=by.role, version=__version__)


@USERS("GET", Role.ADMIN)
def list_users(services: With) -> list[User]:
    """List all users."""
    return services.people.all()


@USERS("POST", Role.ADMIN)
def invite_user(services: With, by: By, data: JSONBody[InvitationBody]) -> PasswordLink:
    """Make a user; the answer has the link by which they choose a password."""
    return PasswordLink(link=services.password_link(services.people.invite(data.name, data.role, by)))


@USERS("POST /{user_id:str}/link", Role.ADMIN)
def make_link(services: With, by: By, user_id: Id) -> PasswordLink:
    """Make a link by which a user chooses a new password; those made before no longer count."""
    return PasswordLink(link=services.password_link(services.people.invite_again(user_id, by)))


@USERS("PUT /{user_id:str}", Role.ADMIN)
def change_user(services: With, by: By, user_id: Id, data: JSONBody[UserPatch]) -> User:
    """Give a user another role, shut them out, or let them in again."""
    if data.role is not None:
        services.people.change_role(user_id, data.role, by)
    if data.disabled is not None:
        services.people.disable(user_id, by, disabled=data.disabled)
    return services.people.user(user_id)


@USERS("DELETE /{user_id:str}", Role.ADMIN)
def remove_user(services: With, by: By, user_id: Id) -> None:
    """Remove a user with sessions and tokens; the audit log keeps the name."""
    services.people.remove(user_id, by)


@TOKENS("GET", Role.ADMIN)
def list_tokens(services: With) -> list[Token]:
    """List the tokens of all users; never what they are. They are made on the page of one's account."""
    return services.tokens.all()


@TOKENS("DELETE /{token_id:str}", Role.ADMIN)
def revoke_token(services: With, by: By, token_id: Id) -> None:
    """End a token at once."""
    if not services.tokens.revoke(token_id, by):
        raise NotFound("There is no such token.", "It may have ended already.")
