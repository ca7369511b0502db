"""Opaque paging tokens: where the next page of a list begins."""

from __future__ import annotations

import base64
from typing import NamedTuple
from zlib import crc32

from .ledger import Position


class BadCursorError(ValueError):
    """The `start` token was not given out for this list."""


class Cursor(NamedTuple):
    """Records strictly beyond `after` come next (from the beginning when None); `turn` only makes tokens differ."""

    after: Position | None
    turn: int = 0


def write_cursor(listing: str, cursor: Cursor) -> str:
    """The token as a client sees it: base64, bound to the list it belongs to."""
    place = "" if cursor.after is None else f"{cursor.after[0]}:{cursor.after[1]}"
    inner = f"{place}:{cursor.turn}"
    return base64.urlsafe_b64encode(f"{inner}:{_seal(listing, inner):08x}".encode()).decode().rstrip("=")


def read_cursor(listing: str, token: str) -> Cursor:
    """The place that a token stands for; raises `BadCursorError` for anything not written by `write_cursor`."""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
        inner, _, seal = text.rpartition(":")
        *place, turn = inner.split(":")
        if int(seal, 16) != _seal(listing, inner):
            raise BadCursorError(token)
        after = None if place == [""] else (int(place[0]), int(place[1]))
        return Cursor(after, int(turn))
    except (ValueError, IndexError) as error:
        raise BadCursorError(token) from error


def _seal(listing: str, inner: str) -> int:
    return crc32(f"{listing}|{inner}".encode())
