"""Requests, answers and paging: what an error status means, and where a list continues or ends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from cio_replicate.base.errors import (
    ChildGoneError,
    CioReplicateError,
    CursorRejectedError,
    DailyQuotaError,
    EndlessListError,
    EndpointNotFoundError,
    NoReadAccessError,
    PageShapeError,
    RequestRejectedError,
    TransientError,
    UnauthorizedError,
)
from cio_replicate.base.text import quoted, with_literal_surrogates

# What one request to the App API is, before it is sent.

_DAILY = re.compile(r"\bdaily\b|per (?:1 ?)?d(?:ay)?\b|per (?:24 ?h|86400 ?s)|\bday\b", re.IGNORECASE)


def names_daily_quota(detail: str) -> bool:
    """Whether the text of a 429 speaks of a quota per day, for which waiting seconds does not help."""
    return _DAILY.search(detail) is not None


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` may hold `{name}` places, filled from `path_values` and percent-encoded one by one.

    `resumes` says that it carries a page token, so that a 400 means the token; `part` that it reads one part of a
    table, so that a 404 means this part and not the table; `extra` that it carries a parameter which not every
    generation of the API knows, so that a 400 means that parameter.
    """

    method: str
    path: str
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    resumes: bool = False
    part: bool = False
    extra: bool = False

    @property
    def target(self) -> str:
        """Path and query as they go over the wire.

        An id that is not encoded reads as an empty 200 or a 404, not as an error (live), so every part is encoded.
        """
        path = self.path
        for name, value in self.path_values.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def label(self) -> str:
        """The request in a message: method and path, without the query, whose tokens say nothing to a reader."""
        return f"{self.method} {self.target.partition('?')[0]}"


@dataclass(slots=True)
class RequestCounter:
    """Counts what one caller sent: every attempt, and those that were answered 429."""

    requests: int = 0
    throttled: int = 0


# What an answer that is not a 200 means, and what the reader can do about it.


PLACES = frozenset({"limit", "offset", "start"})  # parameters that every list knows


def error_of(request: Request, host: str, status: int, detail: str, wait: float | None) -> CioReplicateError:
    """The error that an answer with this status stands for. `detail` is the API's own text, already scrubbed."""
    said = f": {quoted(detail)}" if detail else ""
    if status == 401:
        return unauthorized(host)
    if status == 403:
        return NoReadAccessError(
            f"The access token may not read {request.label} (403{said}).",
            "Give the App API key this scope, allow this machine's address, or leave the table out with ‹exclude›.",
        )
    if status == 429 and wait is None and names_daily_quota(detail):
        return daily_quota(request, detail)
    if 200 < status < 300:
        return TransientError(f"{status}, an answer without the list that was asked for", status=status)
    if status in (408, 425, 429) or status >= 500:
        return TransientError(f"{status}{said}", retry_after=wait, status=status)
    if request.resumes and status in (400, 404, 410):
        return CursorRejectedError(f"{request.label} no longer accepts the page token ({status}{said}).")
    if (status == 400 and request.extra) or status in (404, 410):
        return _absent(request, status, said)
    if 300 <= status < 400:
        return RequestRejectedError(
            f"{request.label} was redirected ({status}), which this API never does.",
            "Check ‹region› and ‹api_url›, and whether a proxy stands in between.",
        )
    return RequestRejectedError(
        f"The API rejected {request.label} ({status}{said}).",
        "If the release notes of cio-replicate do not mention it, please report it with this line.",
    )


def _absent(request: Request, status: int, said: str) -> CioReplicateError:
    """What a table, one of its parts, or a parameter that the API does not know comes to."""
    if status == 400:
        parameters = "&".join(f"{name}={value}" for name, value in request.query.items() if name not in PLACES)
        what = f"does not take {parameters}" if parameters else "is not known"
        return ChildGoneError(f"{request.label} {what} ({status}{said}); this part was skipped.")
    if request.part:
        return ChildGoneError(f"{request.label} does not exist ({status}{said}); this part was skipped.")
    return EndpointNotFoundError(
        f"{request.label} does not exist for this workspace ({status}{said}).",
        "The feature is off or the address is wrong: leave the table out with ‹exclude›, or check ‹api_url›.",
    )


def unauthorized(host: str) -> UnauthorizedError:
    """401: by live observation four causes look alike, so the message names them all."""
    return UnauthorizedError(
        f"{host} does not accept the access token (401).",
        "It must be an App API key (not a Track API key) of this region (else ‹region› us or eu), not expired, and "
        "allowed for this machine's address.",
    )


def daily_quota(request: Request, detail: str = "") -> DailyQuotaError:
    """429 that names no time to wait: a daily quota is used up (specification of 2026)."""
    said = f": {quoted(detail)}" if detail else ""
    return DailyQuotaError(
        f"{request.label} answers 429 without a time to wait{said}: a daily quota is used up.",
        "Run again tomorrow; what is landed is kept.",
    )


def detail_of(body: bytes) -> str:
    """The API's own words in an error body: any of its known shapes, or nothing."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    if not isinstance(answer, dict):
        return ""
    errors = answer.get("errors")
    texts = [
        str(error.get("detail", ""))
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    ]
    meta = answer.get("meta")
    if isinstance(meta, dict):
        many = meta.get("errors")
        texts.extend(str(one) for one in ([meta.get("error")] + (many if isinstance(many, list) else [])) if one)
    return "; ".join(text for text in texts if text)


MOST_EMPTY_PAGES = 200  # in a row, each with a new token
MOST_KEYS_SHOWN = 10
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw] | None)
_token = msgspec.json.Decoder(str | int | None)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a list: its items as raw JSON, in the order received, and the token of the next page, if any."""

    items: list[msgspec.Raw]
    next: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page of a partition starts: the token or row count to send, and whether its end was reached.

    A range of a list by offset ends before the row number `last`.
    """

    token: str = ""
    offset: int = 0
    empty_pages: int = 0
    done: bool = False
    last: int | None = None


def read_page(body: bytes, key: str) -> Page:
    """The page in `body`, its items under `key`.

    `null` counts as an empty list (live). Raises TransientError when the body is not JSON, since it was cut or
    garbled on the way, and PageShapeError when it is JSON but not such a page: that is never an end of a list.
    """
    quick = _whole_page(body, key)
    if quick is not None:
        return quick
    envelope = read_envelope(body)
    if key not in envelope:
        has = quoted(", ".join(list(envelope)[:MOST_KEYS_SHOWN])) if envelope else "nothing"
        raise PageShapeError(f"An answer lacks {key!r}; it has {has}.")
    try:
        items = _items.decode(envelope[key]) or []
        return Page(items, _named(envelope["next"]) if "next" in envelope else "")
    except msgspec.ValidationError as error:
        raise PageShapeError(f"An answer's {key!r} or 'next' is not of the promised type ({quoted(error)}).") from None


def _whole_page(body: bytes, key: str) -> Page | None:
    """The page, if nothing at all is odd about it: a third of the time that it takes to find out what is."""
    try:
        if not body.isascii():
            body.decode()
        page = _page_decoder(key).decode(body)
        return None if page.items is msgspec.UNSET else Page(page.items or [], _named(page.next))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@cache
def _page_decoder(key: str) -> msgspec.json.Decoder[Any]:  # Any: a struct made for this key
    fields = [("items", list[msgspec.Raw] | None, msgspec.UNSET), ("next", msgspec.Raw, msgspec.Raw(b"null"))]
    return msgspec.json.Decoder(msgspec.defstruct("Answer", fields, rename={"items": key}))


def _named(token: msgspec.Raw) -> str:
    named = str(_token.decode(token) or "")  # 0 leads nowhere either
    return named if named.strip() else ""


def read_envelope(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of the JSON object in `body`; errors as in `read_page`."""
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        body.decode()
        return _envelope.decode(body)
    except msgspec.ValidationError:
        raise PageShapeError("An answer is not a JSON object.") from None
    except RecursionError:
        raise PageShapeError("An answer is nested too deep to be read.") from None
    except UnicodeDecodeError:
        raise TransientError("an answer that is not UTF-8") from None
    except msgspec.DecodeError as error:
        readable = with_literal_surrogates(body)
        if readable == body:
            raise TransientError(f"an answer that is not JSON ({quoted(error)})") from None
        return read_envelope(readable)


def fingerprint(page: Page) -> bytes:
    """What tells the items of a page from those of another in this process; nothing for an empty page."""
    return hash(b",".join(page.items)).to_bytes(8, "big", signed=True) if page.items else b""


def next_cursor(cursor: Cursor, page: Page, seen: set[str]) -> Cursor:
    """The cursor that follows `page`, read at `cursor`. `seen` holds the tokens used so far and gains the new one.

    A list ends only on an empty token: an empty page with a token is not the end (live), and the token after the last
    sender leads to an empty page (live). Raises EndlessListError when a token comes again or empty pages do not stop.
    """
    if not page.next:
        return replace(cursor, done=True)
    if page.next in seen:
        raise EndlessListError(
            "A list does not end: the same page token came twice.", "Run again; if it stays, report it to Customer.io."
        )
    empty = 0 if page.items else cursor.empty_pages + 1
    if empty > MOST_EMPTY_PAGES:
        raise EndlessListError(f"A list does not end: {empty} empty pages in a row, each naming a next one.")
    seen.add(page.next)
    return Cursor(token=page.next, empty_pages=empty)
