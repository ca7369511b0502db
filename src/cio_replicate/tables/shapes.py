"""How an item of a list becomes the record of a row, where it is not one already."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

import msgspec

from cio_replicate.base.secret import MASK
from cio_replicate.tables.declare import Slice

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.encode


def ip_address(item: msgspec.Raw, _part: Slice) -> bytes:
    """An address is a bare string; it becomes the row's `id`."""
    return _encode({"id": item}) if bytes(item).lstrip()[:1] != b"{" else bytes(item)


def suppression(item: msgspec.Raw, part: Slice) -> bytes:
    """A suppressed address gets the list it stands in, and an `id` that is unique over lists and sending domains.

    The same address may stand in one list once per sending domain (live), so the domain is part of the id.
    """
    record = _record.decode(item)
    kind = part.path["suppression_type"]
    joined = "|".join((kind, _as_text(record.get("domain")), _as_text(record.get("email"))))
    return _encode({"id": joined, "suppression_type": kind, **record})


def webhook(item: msgspec.Raw, _part: Slice) -> bytes:
    """Credentials inside the endpoint never reach the copy (live: it may hold `user:password@`)."""
    record = _record.decode(item)
    endpoint = _as_text(record.get("endpoint"))
    masked = mask_credentials(endpoint)
    return bytes(item) if masked == endpoint else _encode({**record, "endpoint": masked})


def mask_credentials(address: str) -> str:
    """`address` with what stands before the `@` of its host masked; unchanged when there is nothing of the kind."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return re.sub(r"//[^/?#]*@", f"//{MASK}@", address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=f"{MASK}@{parts.netloc.rpartition('@')[2]}"))


def _as_text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        text = bytes(raw).decode()
        return "" if text == "null" else text
