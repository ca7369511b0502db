"""Pages of one's own account: password, time zone, look, tokens for programs."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from litestar import Response, get, post
from litestar.exceptions import NotAuthorizedException

from cio_replicate.base.errors import CioReplicateError, SettingsError
from cio_replicate.console.control_sessions import SessionUser
from cio_replicate.console.web.authorization import VIEWER, AnyRequest, visitor_of
from cio_replicate.console.web.form import Sent
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.naming import Id
from cio_replicate.console.web.rendering import THEME_COOKIE, THEMES, go, page, path_within, said
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.console.web.users_pages import role_of
from cio_replicate.database.actor import Role

A_YEAR = 365 * 86_400


@get("/account", **VIEWER)
def account(request: AnyRequest, services: With) -> Response[Any]:
    """What belongs to the one who looks."""
    return _shown(request, services)


@post("/account/password", **VIEWER)
def change_password(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """A new password; all other sessions end."""
    visitor = _somebody(request)
    try:
        if form.raw("new") != form.raw("again"):
            raise SettingsError("The two new passwords differ.", "Type the same one twice.")
        services.people.change_password(visitor.user_id, form.raw("old"), form.raw("new"), visitor.session)
    except CioReplicateError as error:
        return _shown(request, services, status=status_of(error), error=said(error))
    return go("/account", "password")


@post("/account/zone", **VIEWER)
def change_zone(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """The time zone in which dates are shown."""
    try:
        services.people.change_zone(_somebody(request).user_id, form.text("zone"))
    except CioReplicateError as error:
        return _shown(request, services, status=status_of(error), error=said(error))
    return go("/account", "saved")


@post("/account/tokens", **VIEWER)
def create_token(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """A token for a program, shown this once."""
    visitor, days = _somebody(request), form.text("days")
    try:
        if days and not days.isdecimal():
            raise SettingsError("The days that a token lasts are a number.", "Write 90, or nothing for no end.")
        value = services.tokens.create(
            visitor.user_id,
            form.text("name"),
            role_of(form.text("role")),
            int(days[:9]) if days else None,
            visitor.actor,
        )
    except CioReplicateError as error:
        return _shown(request, services, status=status_of(error), error=said(error))
    return _shown(request, services, token=value)


@post("/account/tokens/{token_id:str}/revoke", **VIEWER)
def revoke_token(request: AnyRequest, services: With, token_id: Id) -> Response[Any]:
    """End a token of one's own at once."""
    visitor = _somebody(request)
    services.tokens.revoke(token_id, visitor.actor, visitor.user_id)
    return go("/account", "revoked")


@post("/theme", **VIEWER)
def change_theme(form: Sent) -> Response[Any]:
    """Light, dark, or as the machine has it; kept in this browser."""
    theme = form.text("theme")
    response = go(path_within(form.text("next", "/")))
    response.set_cookie(
        key=THEME_COOKIE, value=theme if theme in THEMES else "auto", max_age=A_YEAR, httponly=True, samesite="lax"
    )
    return response


def _somebody(request: AnyRequest) -> SessionUser:
    visitor = visitor_of(request)
    if visitor is None:
        raise NotAuthorizedException("Log in first.")
    return visitor


def _shown(
    request: AnyRequest,
    services: WebServices,
    *,
    status: int = 200,
    error: dict[str, str] | None = None,
    token: str = "",
) -> Response[Any]:
    visitor = _somebody(request)
    return page(
        request,
        "account.html",
        status,
        user=services.people.user(visitor.user_id),
        tokens=services.tokens.all(visitor.user_id),
        zones=sorted(available_timezones()),
        role_choices=[(role, role) for role in Role if visitor.role.covers(role)],
        error=error,
        token=token,
        site_url=services.site.url,
    )


HANDLERS = (account, change_password, change_zone, create_token, revoke_token, change_theme)
