"""People: who is listed, asked for by the hundred, and put together with what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cio_replicate.base.errors import PageShapeError
from cio_replicate.source.decode import key_text
from cio_replicate.source.request import Request

BATCH = 100  # ids that one request may name
PREFIX = "cio_"  # goes with a cio_id everywhere else, but not here (live)

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class ListedPeople:
    """People of one page of the list: their identifiers by `cio_id`, and records that name none."""

    by_id: Mapping[str, msgspec.Raw]
    nameless: Sequence[msgspec.Raw]


def listed(items: Sequence[msgspec.Raw]) -> ListedPeople:
    """Sort the entries of a list page. Raises PageShapeError for an entry that is not an object."""
    by_id: dict[str, msgspec.Raw] = {}
    nameless = []
    for item in items:
        cio_id = _cio_id(_object(item))
        if cio_id:
            by_id[cio_id] = item
        else:
            nameless.append(item)
    return ListedPeople(by_id, nameless)


def attribute_requests(cio_ids: Sequence[str]) -> list[Request]:
    """The requests that fetch these people, a hundred at a time."""
    return _asking(cio_ids, {"id_type": "cio_id"})


def requests_once_more(entries: Mapping[str, msgspec.Raw]) -> list[Request]:
    """The requests that ask again for listed people whom the first answers left out.

    An API of the older generation takes an `id` only and knows no `id_type` (specification), so people who have an
    `id` are asked for by that; the others as before.
    """
    ids = {cio_id: key_text(_object(entry), ("id",)) for cio_id, entry in entries.items()}
    by_id = [known for known in ids.values() if known]
    return [*requests_by_id(by_id), *attribute_requests([cio_id for cio_id, known in ids.items() if not known])]


def requests_by_id(ids: Sequence[str]) -> list[Request]:
    """The requests that fetch the people whom you gave these ids."""
    return _asking(ids, {})


def _asking(ids: Sequence[str], query: Mapping[str, str]) -> list[Request]:
    return [
        Request("POST", "/v1/customers/attributes", query=query, body={"ids": list(ids[first : first + BATCH])})
        for first in range(0, len(ids), BATCH)
    ]


def person(item: msgspec.Raw, identifiers: Mapping[str, msgspec.Raw]) -> tuple[str, bytes]:
    """The `cio_id` and the whole record of one person in an attributes answer; the id is "" when it names nobody.

    The specification wraps each in `customer`, live they come flat; the official example has no `identifiers`. So
    both shapes are taken, and what an answer lacks comes from the list.
    """
    record = _unwrapped(item)
    cio_id = _named(record)
    extra: dict[str, object] = {"cio_id": cio_id} if cio_id else {}
    if bytes(record.get("identifiers", b"null")) == b"null" and cio_id in identifiers:
        extra["identifiers"] = identifiers[cio_id]
    return cio_id, msgspec.json.encode({**record, **extra})


def cio_id_of(item: msgspec.Raw) -> str:
    """The `cio_id` of one person in an attributes answer; "" when it names nobody."""
    return _named(_unwrapped(item))


def _unwrapped(item: msgspec.Raw) -> dict[str, msgspec.Raw]:
    record = _object(item)
    inner = record.get("customer")
    if inner is not None and "attributes" not in record:
        return {**_object(inner), **{name: raw for name, raw in record.items() if name != "customer"}}
    return record


def _named(record: Mapping[str, msgspec.Raw]) -> str:
    for place in ("identifiers", "attributes"):
        cio_id = _cio_id(_opened(record.get(place)))
        if cio_id:
            return cio_id
    return _cio_id(record)


def _cio_id(record: Mapping[str, msgspec.Raw]) -> str:
    """The `cio_id` in an object, also where it has drifted into a list of its own; "" when there is none."""
    raw = record.get("cio_id")
    if raw is not None and bytes(raw)[:1] == b"[":
        inner = msgspec.json.decode(raw, type=list[msgspec.Raw])
        record = {"cio_id": inner[0]} if len(inner) == 1 else {}
    return key_text(record, ("cio_id",)).removeprefix(PREFIX)


def _opened(raw: msgspec.Raw | None) -> Mapping[str, msgspec.Raw]:
    """The object that a value is, or that it holds as JSON text; nothing for all else."""
    try:
        text = raw if raw is None or bytes(raw)[:1] == b"{" else _text.decode(raw)
        return _record.decode(text) if text is not None else {}
    except msgspec.DecodeError:
        return {}


def only_listed(item: msgspec.Raw) -> bytes:
    """The record of a person of whom only the list's entry is known."""
    cio_id = key_text(_object(item), ("cio_id",)).removeprefix(PREFIX)
    return msgspec.json.encode({"cio_id": cio_id, "identifiers": item} if cio_id else {"identifiers": item})


def _object(item: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _record.decode(item)
    except msgspec.ValidationError:
        raise PageShapeError("A list of people holds something that is not a record.") from None
