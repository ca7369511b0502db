"""Pages from templates: what all of them have, and how one is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.enums import MediaType
from litestar.response import Redirect, Response
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.base.version import __version__
from cio_replicate.config.documents import as_labels
from cio_replicate.console.web import run_words, words
from cio_replicate.console.web.assets import Asset
from cio_replicate.console.web.authorization import AnyRequest, services_of, visitor_of
from cio_replicate.database.actor import Role

THEMES = ("auto", "light", "dark")
THEME_COOKIE, TOLD_COOKIE = "cio-theme", "cio-told"


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An entry of the menu."""

    path: str
    label: str
    role: Role = Role.VIEWER


MENU: tuple[tuple[str, tuple[MenuEntry, ...]], ...] = (
    (
        "",
        (
            MenuEntry("/", "Overview"),
            MenuEntry("/connections", "Connections"),
            MenuEntry("/tasks", "Tasks"),
            MenuEntry("/runs", "Runs"),
        ),
    ),
    (
        "Settings",
        (
            MenuEntry("/gateways", "Data gateways", Role.ADMIN),
            MenuEntry("/channels", "Notifications", Role.ADMIN),
            MenuEntry("/secrets", "Secrets", Role.ADMIN),
            MenuEntry("/users", "Users", Role.ADMIN),
            MenuEntry("/audit", "Audit log", Role.ADMIN),
            MenuEntry("/about", "About"),
        ),
    ),
)


def environment(assets: Mapping[str, Asset]) -> Environment:
    """What the templates are rendered with. A name that a template misspells is an error, and all text is escaped."""
    made = Environment(
        loader=PackageLoader("cio_replicate.console.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        codes=words.codes,
        hour=words.hour,
        iso=words.iso,
        labels=as_labels,
        number=words.number,
        percent=words.percent,
        round_number=words.round_number,
        span=words.span,
        state=words.state,
        doing=run_words.doing,
        time_left=run_words.time_left,
        pairs=_pairs,
        same=_same,
    )
    made.globals.update(
        counted=words.counted,
        asset=lambda name: f"/static/{name}?v={assets[name].version}",
        version=__version__,
        menu=MENU,
        roles=list(Role),
    )
    return made


def page(request: AnyRequest, template: str, status: int = HTTP_200_OK, **context: Any) -> Response[str]:  # noqa: ANN401 - what a template shows
    """A page, for whoever looks at it."""
    services, visitor = services_of(request.app), visitor_of(request)
    zone = visitor.zone if visitor is not None else "UTC"
    now = services.clock.now()
    theme = request.cookies.get(THEME_COOKIE, "")
    told = request.cookies.get(TOLD_COOKIE, "")
    known: dict[str, Any] = {
        "visitor": visitor,
        "may": lambda role: visitor is not None and visitor.role.covers(Role(role)),
        "path": request.url.path,
        "theme": theme if theme in THEMES else "auto",
        "themes": THEMES,
        "told": TOLD.get(told, ""),
        "zone": zone,
        "now": now,
        "moment": lambda seconds, **options: words.moment(seconds, zone, **options),
        "since": lambda seconds: words.since(seconds, now, zone),
        "error": None,
    }
    text = request.app.state.templates.get_template(template).render({**known, **context})
    response = Response(text, media_type=MediaType.HTML, status_code=status)
    if told:
        response.delete_cookie(TOLD_COOKIE)
    return response


#: What a page says after something was done, by the short word that a cookie carries to it.
TOLD = {
    "saved": "Saved.",
    "created": "Created.",
    "deleted": "Deleted.",
    "asked": "The run is waiting for its turn.",
    "merged": "A run of this task waits already; it does for this as well.",
    "cancelling": "The run is being stopped: what is under way is finished first.",
    "paused": "Paused: the task does not run until it is resumed.",
    "resumed": "Resumed.",
    "revoked": "Revoked at once.",
    "changed": "Changed.",
    "sent": "A test notification is on its way.",
    "password": "Your password is changed; your other sessions have ended.",
}


def go(path: str, told: str = "") -> Redirect:
    """Go to a page of the console after something was done, which then says so."""
    response = Redirect(path, status_code=HTTP_303_SEE_OTHER)
    if told:
        response.set_cookie(key=TOLD_COOKIE, value=told, max_age=60, httponly=True, samesite="lax")
    return response


def path_within(text: str) -> str:
    """The path, if it is one of this console; else the first page. No other host, scheme or trick of slashes passes."""
    inside = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if inside and text.isprintable() and "\\" not in text and len(text) < 500 else "/"


def said(error: CioReplicateError) -> dict[str, str]:
    """An error as a form shows it."""
    return {"message": as_labels(error.message), "fix": as_labels(error.fix)}


def _pairs(values: Iterable[str], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Values with their labels, as a choice shows them."""
    return [(value, labels.get(value, value)) for value in values]


def _same(values: Iterable[str]) -> list[tuple[str, str]]:
    """Values that are their own labels."""
    return [(value, value) for value in values]
