"""Pages for signing in and out, invitations, and a user's own account."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from litestar import Response, get, post
from litestar.exceptions import NotAuthorizedException
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.status_codes import (
    HTTP_302_FOUND,
    HTTP_303_SEE_OTHER,
    HTTP_401_UNAUTHORIZED,
    HTTP_410_GONE,
    HTTP_422_UNPROCESSABLE_ENTITY,
    HTTP_429_TOO_MANY_REQUESTS,
)

from cio_replicate.base.errors import CioReplicateError, InvalidSettings
from cio_replicate.console.oidc import PATH as OIDC_PATH
from cio_replicate.console.oidc import PATIENCE
from cio_replicate.console.sessions import ABSOLUTE, SessionUser
from cio_replicate.console.web.admin_pages import role_of
from cio_replicate.console.web.authorization import ANYBODY, VIEWER, AnyRequest, Id, visitor_of
from cio_replicate.console.web.forms import Sent, SubmittedForm
from cio_replicate.console.web.http_errors import status_of
from cio_replicate.console.web.rendering import THEME_COOKIE, THEMES, go, page, path_within, said, span
from cio_replicate.console.web.services import WebServices, With
from cio_replicate.database.actor import Role

HELD = "cio-oidc"  # the cookie of a login that has begun at a provider
WRONG = {"message": "Name and password do not belong together.", "fix": "Type both again, or ask an admin for a link."}


@get("/welcome/{link:str}", **ANYBODY)
def welcome(request: AnyRequest, link: FromPath[str], services: With) -> Response[Any]:
    """Where somebody who was invited chooses a password; the first user also a name."""
    invitation = services.people.invitation(link)
    if invitation is None:
        return _no_longer(request)
    return page(request, "welcome.html", user=invitation.user, name="", link=link)


@post("/welcome/{link:str}", **ANYBODY)
def accept(request: AnyRequest, link: FromPath[str], services: With, form: Sent) -> Response[Any]:
    """Take the password, and begin a session."""
    invitation = services.people.invitation(link)
    if invitation is None:
        return _no_longer(request)
    name, password = form.text("name"), form.raw("password")
    if password != form.raw("again"):
        error = {"message": "The two passwords differ.", "fix": "Type the same one twice."}
    else:
        try:
            user_id = services.people.accept(link, name, password, form.text("zone"))
        except CioReplicateError as refused:
            error = said(refused)
        else:
            return _entered(services, user_id, "/")
    return page(
        request, "welcome.html", HTTP_422_UNPROCESSABLE_ENTITY, user=invitation.user, name=name, link=link, error=error
    )


@get("/login", **ANYBODY)
def login_page(request: AnyRequest, services: With) -> Response[Any]:
    """Where one logs in."""
    if visitor_of(request) is not None:
        return go("/")
    return _login_page(request, services, 200)


@post("/login", **ANYBODY)
def log_in(request: AnyRequest, services: With, form: Sent) -> Response[Any]:
    """Begin a session for a name and a password, or say that they are wrong, and nothing else."""
    name, address = form.text("name"), request.client.host if request.client else ""
    wait = max(services.by_address.wait(address), services.by_name.wait(name.casefold()))
    if wait > 0:
        error = {"message": "Too many tries.", "fix": f"Wait {span(wait)} and try again; nobody is shut out for good."}
        response = _login_page(request, services, HTTP_429_TOO_MANY_REQUESTS, name=name, form=form, error=error)
        response.headers["retry-after"] = str(int(wait) + 1)
        return response
    user_id = services.people.log_in(name, form.raw("password"))
    if user_id is None:
        return _login_page(request, services, HTTP_401_UNAUTHORIZED, name=name, form=form, error=WRONG)
    services.by_name.forget(name.casefold())
    services.by_address.give_back(address)
    return _entered(services, user_id, path_within(form.text("next", "/")))


@get("/login/oidc", **ANYBODY)
def begin_oidc(request: AnyRequest, services: With) -> Response[Any]:
    """Send the browser to the identity provider."""
    if services.oidc is None:
        return go("/login")
    try:
        url, holder = services.oidc.begin(services.site.url)
    except CioReplicateError as error:
        return _login_page(request, services, HTTP_422_UNPROCESSABLE_ENTITY, error=said(error))
    response = Redirect(url, status_code=HTTP_302_FOUND)
    secure = services.site.secure
    response.set_cookie(
        key=HELD, value=holder, max_age=int(PATIENCE), path="/login", httponly=True, secure=secure, samesite="lax"
    )
    return response


@get(OIDC_PATH, **ANYBODY)
def end_oidc(request: AnyRequest, services: With) -> Response[Any]:
    """Begin a session for whoever the identity provider says it is."""
    if services.oidc is None:
        return go("/login")
    try:
        asked, held = request.query_params, request.cookies.get(HELD, "")
        known = services.oidc.end(services.site.url, asked.get("state", ""), held, asked.get("code", ""))
        user_id = services.people.log_in_as(known.subject, known.name, services.oidc.newcomers, verified=known.verified)
    except CioReplicateError as error:
        return _login_page(request, services, HTTP_401_UNAUTHORIZED, error=said(error))
    if user_id is None:
        unknown = {"message": f"{services.oidc.title} knows you, but you are no user here.", "fix": "Ask an admin."}
        return _login_page(request, services, HTTP_401_UNAUTHORIZED, error=unknown)
    response = _entered(services, user_id, "/")
    response.delete_cookie(HELD, path="/login")
    return response


@post("/logout", **VIEWER)
def log_out(request: AnyRequest, services: With) -> Response[Any]:
    """End the session."""
    visitor = visitor_of(request)
    if visitor is not None:
        services.people.log_out(visitor)
    response = Redirect("/login", status_code=HTTP_303_SEE_OTHER)
    response.delete_cookie(services.site.session_cookie)
    return response


def _login_page(
    request: AnyRequest,
    services: WebServices,
    status: int,
    *,
    name: str = "",
    form: SubmittedForm | None = None,
    error: dict[str, str] | None = None,
) -> Response[Any]:
    wanted = path_within(form.text("next", "/")) if form is not None else "/"
    oidc = services.oidc
    return page(request, "login.html", status, next=wanted, name=name, oidc=oidc and oidc.title, error=error)


def _entered(services: WebServices, user_id: str, path: str) -> Redirect:
    """To that page, in a session of its own: whatever cookie the browser brought is not gone on with."""
    response = Redirect(path, status_code=HTTP_303_SEE_OTHER)
    response.set_cookie(
        key=services.site.session_cookie,
        value=services.sessions.begin(user_id),
        max_age=ABSOLUTE,
        path="/",
        httponly=True,
        secure=services.site.secure,
        samesite="lax",
    )
    return response


def _no_longer(request: AnyRequest) -> Response[Any]:
    return page(
        request,
        "failure.html",
        HTTP_410_GONE,
        title="This link no longer counts",
        message="It was used, is too old, or a newer one was made.",
        fix="Log in if you have a password; else ask an admin for a new link. The first user's link stands where the "
        "console was started.",
        number=None,
    )


# Pages of one's own account: password, time zone, look, tokens for programs.


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
            raise InvalidSettings("The two new passwords differ.", "Type the same one twice.")
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
            raise InvalidSettings("The days that a token lasts are a number.", "Write 90, or nothing for no end.")
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


HANDLERS = [
    welcome,
    accept,
    login_page,
    log_in,
    begin_oidc,
    end_oidc,
    log_out,
    account,
    change_password,
    change_zone,
    create_token,
    revoke_token,
    change_theme,
]
