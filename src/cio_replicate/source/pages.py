"""Pages and what follows them: pure decisions on where a list goes on and when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import msgspec

from cio_replicate.base.errors import EndlessListError, PageShapeError, TransientError
from cio_replicate.base.quoting import quoted
from cio_replicate.base.surrogates import with_literal_surrogates

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
    """Where a part of a table is to be read on: the token and row count to send, and whether its end was reached.

    A part of a list by offset ends before the row number `last`, if it has one.
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
        mended = with_literal_surrogates(body)
        if mended == body:
            raise TransientError(f"an answer that is not JSON ({quoted(error)})") from None
        return read_envelope(mended)


def fingerprint(page: Page) -> bytes:
    """What tells the items of a page from those of another in this process; nothing for an empty page."""
    return hash(b",".join(page.items)).to_bytes(8, "big", signed=True) if page.items else b""


def after(place: Cursor, page: Page, *, by_offset: bool, seen: set[str], longest: int = 0) -> Cursor:
    """The place after `page` was read at `place`. `seen` holds the tokens used so far and gains the new one.

    A cursor list ends only on an empty token: an empty page with a token is not the end (live), and the token after
    the last sender leads to an empty page (live). A list by offset ends on a page that is shorter than `longest`, the
    rows of the longest page that the server is known to give, or on an empty page: the last page is shorter than asked
    for (live), but so is every page of a server with a smaller page size of its own.
    Raises EndlessListError when a token comes again or empty pages do not stop.
    """
    if by_offset:
        offset = place.offset + len(page.items)
        over = place.last is not None and offset >= place.last
        return replace(place, offset=offset, done=over or not page.items or len(page.items) < longest)
    if not page.next:
        return replace(place, done=True)
    if page.next in seen:
        raise EndlessListError(
            "A list does not end: the same page token came twice.", "Run again; if it stays, report it to Customer.io."
        )
    empty = 0 if page.items else place.empty_pages + 1
    if empty > MOST_EMPTY_PAGES:
        raise EndlessListError(f"A list does not end: {empty} empty pages in a row, each naming a next one.")
    seen.add(page.next)
    return Cursor(token=page.next, empty_pages=empty)
