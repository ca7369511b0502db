"""Render pages: templates, formatted values, texts about runs, and static files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar.enums import MediaType
from litestar.response import Redirect, Response
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER
from markupsafe import Markup, escape

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config.documents import as_labels
from cio_replicate.console.web.authorization import AnyRequest, services_of, visitor_of
from cio_replicate.database.actor import Role

NONE = "–"
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def moment(seconds: float | None, zone: str, *, with_seconds: bool = False) -> Markup | str:
    """Return a moment as `<time>`: 31 January 2026, 14:05."""
    if seconds is None:
        return NONE
    there = datetime.fromtimestamp(seconds, zone_of(zone))
    text = f"{there.day} {there:%B %Y}, {there:{'%H:%M:%S' if with_seconds else '%H:%M'}}"
    return _time(seconds, f"{iso(seconds)}, {there.tzname()} shown", text)


def since(seconds: float | None, now: float, zone: str) -> Markup | str:
    """Return a moment by how long ago it is, or how soon it comes; its `title` has it in full."""
    if seconds is None:
        return NONE
    there, away = datetime.fromtimestamp(seconds, zone_of(zone)), now - seconds
    text = "now" if abs(away) < 5 else f"{span(away)} ago" if away > 0 else f"in {span(-away)}"
    return _time(seconds, f"{there.day} {there:%B %Y}, {there:%H:%M} {there.tzname()}", text)


def _time(seconds: float, title: str, text: str) -> Markup:
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso(seconds), title, text)


def span(seconds: float | None) -> str:
    """Return a length of time in its two largest units: 2 h 05 min."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < MINUTE:
        return f"{seconds:.1f} s" if 0 < seconds < 10 else f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02} s" if whole < 10 * MINUTE else f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02} min"
    days, hours = whole // DAY, whole % DAY // HOUR
    return f"{days} d {hours} h" if hours and days < 10 else f"{days} d"


def number(value: float | None) -> str:
    """Return a number with commas; whole ones without a fraction."""
    if value is None:
        return NONE
    return f"{int(value):,}" if value == int(value) else f"{value:,.1f}"


def round_number(value: float | None) -> str:
    """Return a number without its fraction."""
    return NONE if value is None else f"{round(value):,}"


def iso(seconds: float) -> str:
    """Return a moment for a `datetime` attribute."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def hour(seconds: float, zone: str) -> str:
    """Return the time of day of a moment, to the second."""
    return datetime.fromtimestamp(seconds, zone_of(zone)).strftime("%H:%M:%S")


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in percent."""
    return NONE if share is None else f"{100 * share:.0f} %"


def counted(count: int, word: str, many: str = "") -> str:
    """Return a number and its word, in the right number: 1 table, 2 tables."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def codes(text: str) -> Markup:
    """Return a sentence with what is in backquotes as code. What is markup already stays as it is."""
    if isinstance(text, Markup):
        return text
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", escape(text)))  # noqa: S704 - escaped above


TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "txt": "text/plain"}
FOR_GOOD = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content: bytes
    media_type: str
    version: str  # differs when the content does


def read_assets() -> dict[str, Asset]:
    """Return every file that may be served, by name: nothing else is looked for, so no name leads out of the folder."""
    assets: dict[str, Asset] = {}
    for file in (resources.files("cio_replicate.console.web") / "static").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            assets[file.name] = Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])
    return assets


THEMES = ("auto", "light", "dark")
THEME_COOKIE, NOTICE_COOKIE = "cio-theme", "cio-told"


def environment(assets: Mapping[str, Asset]) -> Environment:
    """Return what renders the templates: a name that a template misspells is an error, and all text is escaped."""
    made = Environment(
        loader=PackageLoader("cio_replicate.console.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (codes, hour, iso, number, pairs, percent, round_number, same, span)
    made.filters.update({one.__name__: one for one in filters}, labels=as_labels)
    made.globals.update(counted=counted, asset=lambda name: f"/static/{name}?v={assets[name].version}")
    return made


def page(request: AnyRequest, template: str, status: int = HTTP_200_OK, **context: Any) -> Response[str]:  # noqa: ANN401 - what a template shows
    """Return a page for the user who looks at it."""
    services, visitor = services_of(request.app.state), visitor_of(request)
    zone = visitor.zone if visitor is not None else "UTC"
    now = services.clock.now()
    theme = request.cookies.get(THEME_COOKIE, "")
    notice = request.cookies.get(NOTICE_COOKIE, "")
    known: dict[str, Any] = {
        "visitor": visitor,
        "may": lambda role: visitor is not None and visitor.role.covers(Role(role)),
        "path": request.url.path,
        "theme": theme if theme in THEMES else "auto",
        "notice": notice,
        "zone": zone,
        "now": now,
        "moment": lambda seconds, **options: moment(seconds, zone, **options),
        "since": lambda seconds: since(seconds, now, zone),
        "error": None,
    }
    text = request.app.state.templates.get_template(template).render({**known, **context})
    response = Response(text, media_type=MediaType.HTML, status_code=status)
    if notice:
        response.delete_cookie(NOTICE_COOKIE)
    return response


def go(path: str, notice: str = "") -> Redirect:
    """Go to a page of the console after something was done; the page shows the notice of that name."""
    response = Redirect(path, status_code=HTTP_303_SEE_OTHER)
    if notice:
        response.set_cookie(key=NOTICE_COOKIE, value=notice, max_age=60, httponly=True, samesite="lax")
    return response


def path_within(text: str) -> str:
    """Return the path if it is one of this console, else the first page: no other host, scheme or trick of slashes."""
    inside = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if inside and text.isprintable() and "\\" not in text and len(text) < 500 else "/"


def error_shown(error: CioReplicateError) -> dict[str, str]:
    """Return an error as a form shows it."""
    return {"message": as_labels(error.cause), "fix": as_labels(error.fix)}


def pairs(values: Iterable[str], labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return values with their labels, as a choice shows them."""
    return [(value, labels.get(value, value)) for value in values]


def same(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return values that are their own labels."""
    return [(value, value) for value in values]
