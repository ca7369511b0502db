"""People: who is listed, asked for by the hundred, and put together with what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cio_replicate.api.request import Request
from cio_replicate.base.errors import PageShapeError
from cio_replicate.extract.rows import key_text

BATCH = 100  # ids that one request may name
PREFIX = "cio_"  # goes with a cio_id everywhere else, but not here (live)

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Listed:
    """People of one page of the list: their identifiers by `cio_id`, and records that name none."""

    by_id: Mapping[str, msgspec.Raw]
    nameless: Sequence[msgspec.Raw]


def listed(items: Sequence[msgspec.Raw]) -> Listed:
    """Sort the entries of a list page. Raises PageShapeError for an entry that is not an object."""
    by_id: dict[str, msgspec.Raw] = {}
    nameless = []
    for item in items:
        cio_id = key_text(_object(item), ("cio_id",)).removeprefix(PREFIX)
        if cio_id:
            by_id[cio_id] = item
        else:
            nameless.append(item)
    return Listed(by_id, nameless)


def attribute_requests(ids: Sequence[str]) -> list[Request]:
    """The requests that fetch these people, a hundred at a time."""
    return [
        Request(
            "POST",
            "/v1/customers/attributes",
            query={"id_type": "cio_id"},
            body={"ids": list(ids[first : first + BATCH])},
        )
        for first in range(0, len(ids), BATCH)
    ]


def person(item: msgspec.Raw, identifiers: Mapping[str, msgspec.Raw]) -> tuple[str, bytes]:
    """The `cio_id` and the whole record of one person in an attributes answer.

    The specification wraps each in `customer`, live they come flat; the official example has no `identifiers`. So
    both shapes are taken, and what an answer lacks comes from the list. Raises PageShapeError when it names nobody.
    """
    record = _object(item)
    inner = record.get("customer")
    if inner is not None and "attributes" not in record:
        record = {**_object(inner), **{name: raw for name, raw in record.items() if name != "customer"}}
    cio_id = _named(record)
    if not cio_id:
        raise PageShapeError("An answer about people names one without a cio_id.")
    extra: dict[str, object] = {"cio_id": cio_id}
    if bytes(record.get("identifiers", b"null")) == b"null" and cio_id in identifiers:
        extra["identifiers"] = identifiers[cio_id]
    return cio_id, msgspec.json.encode({**record, **extra})


def _named(record: Mapping[str, msgspec.Raw]) -> str:
    for place in ("identifiers", "attributes"):
        raw = record.get(place)
        if raw is not None and bytes(raw)[:1] == b"{":
            cio_id = key_text(_record.decode(raw), ("cio_id",))
            if cio_id:
                return cio_id.removeprefix(PREFIX)
    return key_text(record, ("cio_id",)).removeprefix(PREFIX)


def only_listed(item: msgspec.Raw) -> bytes:
    """The record of a person of whom only the list's entry is known."""
    cio_id = key_text(_object(item), ("cio_id",)).removeprefix(PREFIX)
    return msgspec.json.encode({"cio_id": cio_id, "identifiers": item} if cio_id else {"identifiers": item})


def _object(item: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _record.decode(item)
    except msgspec.ValidationError:
        raise PageShapeError("A list of people holds something that is not a record.") from None
