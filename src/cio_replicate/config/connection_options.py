"""Check the settings of a connection and a run: token, region, start date, request rate, dataset, console address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.config.secret_references import resolved

TOKEN_VARIABLE = "CIO_ACCESS_TOKEN"  # noqa: S105 - a variable's name
EARLIEST = datetime(2012, 1, 1, tzinfo=UTC)  # Customer.io's first year
REGIONS = ("us", "eu", "auto")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Connection:
    """The settings that reach a workspace. `api_url` stands before `region`. `start` is unix seconds.

    `max_rps` is the most requests a second that may be sent, a share of the budget already taken.
    """

    token: Secret
    region: str
    start: int
    api_url: str | None = None
    max_rps: float = 10.0


def access_token(value: str | None) -> Secret:
    """The access token. Raises InvalidSettings when there is none, or when it cannot be one."""
    text = (value or "").strip()
    if not text:
        raise InvalidSettings(
            f"There is no access token: the environment variable {TOKEN_VARIABLE} is not set.",
            f"Make an App API key in Customer.io (Account settings, API credentials) and export {TOKEN_VARIABLE}=….",
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise InvalidSettings(
            f"The access token in {TOKEN_VARIABLE} has characters that no App API key has.", "Copy it again, whole."
        )
    return Secret(text)


def start_date(text: str, now: float, called: str = "The start date") -> int:
    """Unix seconds of a start date, or of another that is `called` so; it is midnight UTC unless it says a time.

    Taken are `2024-01-31`, `2024-01-31T00:00:00Z` (or with an offset) and `01/31/2024`.
    """
    moment = _parsed(text.strip())
    if moment is None:
        raise InvalidSettings(
            f"{called} {text!r} is not a date.", "Write it as 2024-01-31, 2024-01-31T00:00:00Z or 01/31/2024."
        )
    if moment.timestamp() > now:
        raise InvalidSettings(f"{called} {text!r} lies in the future.", "Choose a day that has come.")
    if moment < EARLIEST:
        raise InvalidSettings(
            f"{called} {text!r} lies before {EARLIEST.date()}, when Customer.io began.",
            "Each half year since the start date costs a request, so choose a later one.",
        )
    return int(moment.timestamp())


def _parsed(text: str) -> datetime | None:
    american = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    try:
        if american:
            month, day, year = map(int, american.groups())
            return datetime(year, month, day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def region(text: str) -> str:
    """A region's name in lower case."""
    if text.lower() not in REGIONS:
        raise InvalidSettings(f"The region {text!r} does not exist.", f"Choose {', '.join(REGIONS[:-1])} or auto.")
    return text.lower()


def api_url(text: str) -> str:
    """The address of an App API. A secret must not travel unprotected, so plain HTTP is for this machine only."""
    address = _web_address(
        text,
        "The API address",
        credentials=f"Put the access token into {TOKEN_VARIABLE}.",
        unprotected=("would send the access token unprotected.", "Use https:// for another machine."),
    )
    return address.removesuffix("/v1").rstrip("/")


def _web_address(text: str, called: str, *, credentials: str, unprotected: tuple[str, str]) -> str:
    """An address without a slash at its end; plain HTTP is for this machine only. Raises InvalidSettings.

    `credentials` is the fix for an address that holds some, `unprotected` cause and fix for one that must be HTTPS.
    """
    text = text.strip()
    if "@" in text:
        raise InvalidSettings(f"{called} holds credentials.", credentials)
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # looked at only now, and may be none
    except ValueError:
        parts, host = urlsplit(""), None
    whole = host is not None and text.isprintable() and parts.scheme in ("http", "https")
    if not whole or re.search(r"[\s?#\\]", text):
        shown = re.sub("[?#].*", "?…", text)  # what is cut off may be a secret
        raise InvalidSettings(
            f"{called} {shown!r} is no address.", "Write it as https://host or http://127.0.0.1:port."
        )
    if parts.scheme == "http" and host not in LOOPBACK:
        raise InvalidSettings(f"{called} {text!r} {unprotected[0]}", unprotected[1])
    return text.rstrip("/")


def requests_per_second(value: float) -> float:
    """The request budget; more than the API's 10 only makes it answer 429."""
    if not 0.01 <= value <= 1_000:
        raise InvalidSettings(
            f"The request budget {value} is out of range.", "Choose from 0.01 to 10 requests a second."
        )
    return value


def budget_share(text: str) -> float:
    """The part of the request budget that may be taken, above 0 and up to 1: `50%` and `50` are a half."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 1 <= percent <= 100:
        raise InvalidSettings(f"The budget share {text!r} is no share.", "Choose from 1% to 100%.")
    return percent / 100


def dataset(text: str) -> str:
    """The name of the schema that holds the tables."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", text):
        raise InvalidSettings(f"The dataset {text!r} cannot name a schema.", "Use letters, digits and underscores.")
    return text


def selected(names: tuple[str, ...], only: str | None, without: str | None) -> tuple[str, ...]:
    """The tables to replicate, in their order: all, only those named, or all but those named."""
    if only is not None and without is not None:
        raise InvalidSettings("‹tables› and ‹exclude› were both given.", "Use one of them.")
    chosen = _names(names, only, "‹tables›") if only is not None else names
    left_out = _names(names, without, "‹exclude›") if without is not None else ()
    result = tuple(name for name in names if name in chosen and name not in left_out)
    if not result:
        raise InvalidSettings("No table is left to replicate.", "Name at least one with ‹tables›.")
    return result


def refreshed(names: tuple[str, ...], text: str | None) -> tuple[str, ...]:
    """The tables that `--full-refresh` names; `all` names all of them."""
    if text is None:
        return ()
    return names if text.strip() == "all" else _names(names, text, "‹full_refresh›")


def _names(names: tuple[str, ...], text: str, option: str) -> tuple[str, ...]:
    given = tuple(name.strip() for name in text.split(",") if name.strip())
    if not given:
        raise InvalidSettings(f"{option} names no table.", f"Choose from: {', '.join(names)}.")
    for name in given:
        if name not in names:
            raise InvalidSettings(f"There is no table {name!r} ({option}).", f"The tables are: {', '.join(names)}.")
    return given


USUAL = f"env:{TOKEN_VARIABLE}"


def access_token_from(reference: str | None, environment: Mapping[str, str]) -> Secret:
    """The access token that is kept there, by default in the environment. Raises InvalidSettings, never showing it."""
    if reference in (None, USUAL):
        return access_token(environment.get(TOKEN_VARIABLE))
    found = resolved(reference or "", environment, "‹access_token_from›")
    try:
        return access_token(found.reveal())
    except InvalidSettings:
        raise InvalidSettings(
            f"What {reference} holds is no access token: it has characters that no App API key has.",
            "Copy it again, whole.",
        ) from None


def console_url(text: str) -> str:
    """The address of a console, without a slash at its end. Raises InvalidSettings.

    What a gateway says is signed, but not hidden by that, so plain HTTP is for this machine only.
    """
    return _web_address(
        text,
        "The console's address",
        credentials="Leave them out: a gateway shows who it is by its key.",
        unprotected=(
            "is not protected: others could read along and answer in its place.",
            "Use https:// for another machine; --ca-file names a private certificate authority.",
        ),
    )


def host_of(url: str) -> str:
    """The host of an address that `console_url` has returned, as both sides write it."""
    return (urlsplit(url).hostname or "").lower()
