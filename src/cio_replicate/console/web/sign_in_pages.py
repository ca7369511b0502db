"""Pages for signing in and out, invitations, and a user's own account."""

from __future__ import annotations

from http import HTTPStatus
from zoneinfo import available_timezones

from litestar.params import FromPath
from litestar.response import Redirect

from cio_replicate.base.errors import CioReplicateError, InvalidSettings
from cio_replicate.console.oidc import PATH as OIDC_PATH
from cio_replicate.console.oidc import PATIENCE
from cio_replicate.console.sessions import ABSOLUTE
from cio_replicate.console.web.admin_pages import role_of
from cio_replicate.console.web.authorization import Id, visitor_of
from cio_replicate.console.web.rendering import THEME_COOKIE, THEMES, go, path_within, span
from cio_replicate.console.web.routes import Page, Routes, Visit, Visiting
from cio_replicate.console.web.services import WebServices
from cio_replicate.database.actor import Role

ROUTES = route = Routes()

OIDC_COOKIE = "cio-oidc"  # of a login that has begun at a provider
WRONG = {"message": "Name and password do not belong together.", "fix": "Type both again, or ask an admin for a link."}


@route("GET /welcome/{link:str}", None)
def welcome(visit: Visiting, link: FromPath[str]) -> Page:
    """Show where somebody who was invited chooses a password; the first user also a name."""
    invitation = visit.services.people.invitation(link)
    if invitation is None:
        return _no_longer(visit)
    return visit.page("welcome.html", user=invitation.user, name=visit.form.text("name"), link=link)


@route("POST /welcome/{link:str}", None)
def accept(visit: Visiting, link: FromPath[str]) -> Page:
    """Take the password, and begin a session."""
    form, people = visit.form, visit.services.people
    if people.invitation(link) is None:
        return _no_longer(visit)
    try:
        password = _chosen(visit, "password", "The two passwords differ.")
        user_id = people.accept(link, form.text("name"), password, form.text("zone"))
    except CioReplicateError as error:
        return welcome(visit.failed(error).showing(HTTPStatus.UNPROCESSABLE_ENTITY), link)
    return _entered(visit.services, user_id, "/")


@route("GET /login", None)
def login_page(visit: Visiting) -> Page:
    """Show where one logs in."""
    return go("/") if visitor_of(visit.request) is not None else _login_page(visit)


@route("POST /login", None)
def log_in(visit: Visiting) -> Page:
    """Begin a session for a name and a password, or say that they are wrong, and nothing else."""
    services, request = visit.services, visit.request
    name, address = visit.form.text("name"), request.client.host if request.client else ""
    wait = max(services.by_address.wait(address), services.by_name.wait(name.casefold()))
    if wait > 0:
        error = {"message": "Too many tries.", "fix": f"Wait {span(wait)} and try again; nobody is shut out for good."}
        response = _login_page(visit.showing(HTTPStatus.TOO_MANY_REQUESTS, error=error))
        response.headers["retry-after"] = str(int(wait) + 1)
        return response
    user_id = services.people.log_in(name, visit.form.raw("password"))
    if user_id is None:
        return _login_page(visit.showing(HTTPStatus.UNAUTHORIZED, error=WRONG))
    services.by_name.forget(name.casefold())
    services.by_address.give_back(address)
    return _entered(services, user_id, path_within(visit.form.text("next", "/")))


@route("GET /login/oidc", None)
def begin_oidc(visit: Visiting) -> Page:
    """Send the browser to the identity provider."""
    services = visit.services
    if services.oidc is None:
        return go("/login")
    try:
        url, holder = services.oidc.begin(services.database, services.site.url)
    except CioReplicateError as error:
        return _login_page(visit.failed(error).showing(HTTPStatus.UNPROCESSABLE_ENTITY))
    response = Redirect(url)
    secure = services.site.secure
    response.set_cookie(
        key=OIDC_COOKIE, value=holder, max_age=PATIENCE, path="/login", httponly=True, secure=secure, samesite="lax"
    )
    return response


@route(f"GET {OIDC_PATH}", None)
def end_oidc(visit: Visiting) -> Page:
    """Begin a session for the user whom the identity provider names."""
    services, people = visit.services, visit.services.people
    if services.oidc is None:
        return go("/login")
    try:
        query, holder = visit.request.query_params, visit.request.cookies.get(OIDC_COOKIE, "")
        state, code = query.get("state", ""), query.get("code", "")
        known = services.oidc.end(services.database, services.site.url, state, holder, code)
        user_id = people.log_in_as(known.subject, known.name, services.oidc.newcomers, verified=known.verified)
    except CioReplicateError as error:
        return _login_page(visit.failed(error).showing(HTTPStatus.UNAUTHORIZED))
    if user_id is None:
        unknown = {"message": f"{services.oidc.title} knows you, but you are no user here.", "fix": "Ask an admin."}
        return _login_page(visit.showing(HTTPStatus.UNAUTHORIZED, error=unknown))
    response = _entered(services, user_id, "/")
    response.delete_cookie(OIDC_COOKIE, path="/login")
    return response


@route("POST /logout", Role.VIEWER)
def log_out(visit: Visiting) -> Page:
    """End the session."""
    visit.services.people.log_out(visit.user)
    response = go("/login")
    response.delete_cookie(visit.services.site.session_cookie)
    return response


def _login_page(visit: Visit) -> Page:
    oidc, form = visit.services.oidc, visit.form
    following = path_within(form.text("next", "/"))
    return visit.page("login.html", next=following, name=form.text("name"), oidc=oidc and oidc.title)


def _entered(services: WebServices, user_id: str, path: str) -> Redirect:
    """Go to that page in a new session; a session that the browser brought is not continued."""
    response = go(path)
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


def _no_longer(visit: Visit) -> Page:
    return visit.showing(HTTPStatus.GONE).page(
        "failure.html",
        title="This link no longer counts",
        message="It was used, is too old, or a newer one was made.",
        fix="Log in if you have a password; else ask an admin for a new link. The first user's link stands where the "
        "console was started.",
        number=None,
    )


def _chosen(visit: Visit, field: str, differ: str) -> str:
    """Return the password that was typed twice. Raises InvalidSettings."""
    if visit.form.raw(field) != visit.form.raw("again"):
        raise InvalidSettings(differ, "Type the same one twice.")
    return visit.form.raw(field)


A_YEAR = 365 * 86_400


@route("GET /account", Role.VIEWER)
def account(visit: Visiting) -> Page:
    """Show what belongs to the one who looks."""
    services, user = visit.services, visit.user
    return visit.page(
        "account.html",
        user=services.people.user(user.user_id),
        tokens=services.tokens.all(user.user_id),
        zones=sorted(available_timezones()),
        role_choices=[(role, role) for role in Role if user.role.covers(role)],
        token="",
        site_url=services.site.url,
    )


@route("POST /account/password", Role.VIEWER, on_error=account)
def change_password(visit: Visiting) -> Page:
    """Set a new password, and end all other sessions."""
    new = _chosen(visit, "new", "The two new passwords differ.")
    visit.services.people.change_password(visit.user.user_id, visit.form.raw("old"), new, visit.user.session)
    return go("/account", "password")


@route("POST /account/zone", Role.VIEWER, on_error=account)
def change_zone(visit: Visiting) -> Page:
    """Set the time zone in which dates are shown."""
    visit.services.people.change_zone(visit.user.user_id, visit.form.text("zone"))
    return go("/account", "saved")


@route("POST /account/tokens", Role.VIEWER, on_error=account)
def create_token(visit: Visiting) -> Page:
    """Make a token for a program, and show it this once."""
    form, days, role = visit.form, visit.form.text("days"), role_of(visit.form.text("role"))
    if days and not days.isdecimal():
        raise InvalidSettings("The days that a token lasts are a number.", "Write 90, or nothing for no end.")
    lasts = int(days[:9]) if days else None
    value = visit.services.tokens.create(visit.user.user_id, form.text("name"), role, lasts, visit.by)
    return account(visit.showing(token=value))


@route("POST /account/tokens/{token_id:str}/revoke", Role.VIEWER)
def revoke_token(visit: Visiting, token_id: Id) -> Page:
    """End a token of one's own at once."""
    visit.services.tokens.revoke(token_id, visit.by, visit.user.user_id)
    return go("/account", "revoked")


@route("POST /theme", Role.VIEWER)
def change_theme(visit: Visiting) -> Page:
    """Choose light, dark, or as the machine has it; kept in this browser."""
    theme = visit.form.text("theme")
    response = go(path_within(visit.form.text("next", "/")))
    response.set_cookie(
        key=THEME_COOKIE, value=theme if theme in THEMES else "auto", max_age=A_YEAR, httponly=True, samesite="lax"
    )
    return response
