"""The API of users and tokens, and of who calls."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.params import JSONBody

from cio_replicate.base.errors import NotThereError
from cio_replicate.base.version import __version__
from cio_replicate.console.sessions import Token
from cio_replicate.console.users import User
from cio_replicate.console.web.authorization import ADMIN, VIEWER, AnyRequest, actor_of
from cio_replicate.console.web.finding import there
from cio_replicate.console.web.naming import Id
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Role


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
    there(services.people.user, user_id)
    return _link(services, services.people.invite_again(user_id, actor_of(request)))


@put("/api/v1/users/{user_id:str}", tags=["Users"], **ADMIN)
def change_user(request: AnyRequest, services: With, user_id: Id, data: JSONBody[UserPatch]) -> User:
    """Give a user another role, shut them out, or let them in again."""
    there(services.people.user, user_id)
    if data.role is not None:
        services.people.change_role(user_id, data.role, actor_of(request))
    if data.disabled is not None:
        services.people.disable(user_id, actor_of(request), disabled=data.disabled)
    return services.people.user(user_id)


@delete("/api/v1/users/{user_id:str}", tags=["Users"], **ADMIN)
def remove_user(request: AnyRequest, services: With, user_id: Id) -> None:
    """Remove a user with sessions and tokens; the audit log keeps the name."""
    there(services.people.user, user_id)
    services.people.remove(user_id, actor_of(request))


@get("/api/v1/tokens", tags=["Tokens"], **ADMIN)
def list_tokens(services: With) -> list[Token]:
    """List the tokens of all users; never what they are. They are made on the page of one's account."""
    return services.tokens.all()


@delete("/api/v1/tokens/{token_id:str}", tags=["Tokens"], **ADMIN)
def revoke_token(request: AnyRequest, services: With, token_id: Id) -> None:
    """End a token at once."""
    if not services.tokens.revoke(token_id, actor_of(request)):
        raise NotThereError("There is no such token.", "It may have ended already.")


def _link(services: WebServices, value: str) -> PasswordLink:
    return PasswordLink(link=f"{services.site.url}/welcome/{value}")


HANDLERS = (
    show_caller,
    list_users,
    invite_user,
    make_link,
    change_user,
    remove_user,
    list_tokens,
    revoke_token,
)
