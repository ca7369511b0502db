"""Read people: requests for the list and for attributes, people named by the activity log, and fetching."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import msgspec

from cio_replicate.base.errors import PageShapeError
from cio_replicate.base.runtime import together
from cio_replicate.source.client import Client
from cio_replicate.source.decode import key_text
from cio_replicate.source.pages import Page, Request, RequestCounter, read_page
from cio_replicate.source.strategies.base import PageContent, Priority

BATCH = 100  # ids that one request may name
PREFIX = "cio_"  # goes with a cio_id everywhere else, but not here (live)

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class ListedPeople:
    """People of one page of the list: their identifiers by `cio_id`, and records that name none."""

    by_id: Mapping[str, msgspec.Raw]
    nameless: Sequence[msgspec.Raw]


def listed_people(items: Sequence[msgspec.Raw]) -> ListedPeople:
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


# Whom the activity log names as changed: pure decisions.


#: Entries about something that happened to a person, to an object or to a relationship, but not in the person's own
#: record. Of all others, also of types not known yet, it is taken that they changed the person.
_CHANGES_NOBODY = re.compile(
    r"(attempted|bounced|clicked|converted|deferred|delivered|drafted|dropped|failed|opened|sent|undeliverable|viewed)_"
    r"|(event|page|screen|webhook_event|skipped_update)$"
    r"|_[or]:"
)
DELETED, MERGED = "profile_delete", "profile_merge"

_roles = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What an entry of the log says of a person: its type, when it happened (unix seconds), and whom it names."""

    type: str | None
    at: int | None
    cio_id: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class ChangedPeople:
    """People whom the log names: by `cio_id`, and by their own `id` where an entry lacks the other."""

    cio_ids: tuple[str, ...]
    ids: tuple[str, ...]


def changed_people(entries: Iterable[LogEntry]) -> ChangedPeople:
    """The people who were created or changed, or into whom another was merged, but for those deleted later.

    Who is deleted needs no asking: the list of people no longer has them.
    """
    changed: dict[tuple[str, str], int] = {}
    gone: dict[tuple[str, str], int] = {}
    for entry in entries:
        who = _who(entry)
        if who is None or (entry.type is not None and _CHANGES_NOBODY.match(entry.type)):
            continue
        when = gone if entry.type == DELETED else changed
        when[who] = max(when.get(who, 0), entry.at or 0)
    stay = sorted(who for who, at in changed.items() if who not in gone or gone[who] < at)
    return ChangedPeople(
        tuple(name for kind, name in stay if kind == "cio_id"), tuple(name for kind, name in stay if kind == "id")
    )


def _who(entry: LogEntry) -> tuple[str, str] | None:
    if entry.cio_id:
        return "cio_id", entry.cio_id.removeprefix(PREFIX)
    return ("id", entry.id) if entry.id else None


@dataclass(frozen=True, slots=True)
class DeletedPerson:
    """A person who is gone by the log's word: when (unix seconds), and into whom, if it was a merge; by which entry."""

    cio_id: str
    at: int
    into: str | None
    entry: str


def departure(
    entry: LogEntry, key: str, data: str | None, as_copied: Callable[[str], str] = lambda name: name
) -> DeletedPerson | None:
    """Who is gone by an entry of the log; None where it does not tell.

    Whom it names is deleted by `profile_delete`. Of `profile_merge` the API's description has no more than the name:
    in its `data` the one who was merged is called `secondary` and the one who stays `primary`, as where merges are
    asked for, and whoever is not there is the one whom the entry names. Where neither is there, nobody is known to be
    gone. `as_copied` makes of a `cio_id` in `data` what the copy has of it, such as a hash, as the entry's own is.
    """
    named = entry.cio_id.removeprefix(PREFIX) if entry.cio_id else ""
    if entry.type == DELETED and named:
        return DeletedPerson(named, entry.at or 0, None, key)
    if entry.type != MERGED:
        return None
    primary, secondary = (as_copied(one) if one else "" for one in (_in(data, "primary"), _in(data, "secondary")))
    gone, into = secondary or (named if primary else ""), primary or named
    return DeletedPerson(gone, entry.at or 0, into or None, key) if gone and gone != into else None


def alive_after(entries: Iterable[LogEntry]) -> dict[str, int]:
    """Until when the log shows people to be there: the last moment (unix seconds) at which it names each as changed."""
    last: dict[str, int] = {}
    for entry in entries:
        who = _who(entry)
        changes = entry.type is None or not (entry.type == DELETED or _CHANGES_NOBODY.match(entry.type))
        if who is not None and who[0] == "cio_id" and changes:
            last[who[1]] = max(last.get(who[1], 0), entry.at or 0)
    return last


def _in(data: str | None, role: str) -> str:
    """The `cio_id` of the person in this role of a merge; "" where `data` does not tell."""
    try:
        who = _roles.decode(data or "").get(role)
    except msgspec.DecodeError:
        return ""
    cio_id = who.get("cio_id") if isinstance(who, dict) else who
    return cio_id.removeprefix(PREFIX) if isinstance(cio_id, str) else ""


# Fetches people: the attributes of everybody on a page, of those of whom too little is known, or of a list of ids.


NO_CHANCE = 10  # people of one page who do not all happen to be deleted since they were listed


class KnownPeople(Protocol):
    """What the copy knows of people, and what its activity log says of them."""

    async def unknown(self, listed: Mapping[str, msgspec.Raw]) -> set[str]:
        """The `cio_id`s of a list page whom the copy does not have as they are listed: new, back, or renamed."""
        ...

    async def identifiers(self, cio_ids: Sequence[str]) -> Mapping[str, msgspec.Raw]:
        """The identifiers of people as the copy has them, each as one JSON object."""
        ...

    async def named(self) -> ChangedPeople | None:
        """Whom the log names since people were last read; waits for the log. None when it cannot be relied on."""
        ...


class PeopleStrategy:
    """Asks for the attributes of people, a hundred a request, as many requests at once as the budget lets through.

    Ids that the API does not know it leaves out of a 200 in silence (live), so listed people who are left out are
    asked for once more before they count as left out. Raises ReadError and AccessError as the client does.
    """

    def __init__(self, client: Client, meter: RequestCounter) -> None:
        self._client = client
        self._meter = meter
        self._wanted: dict[str, msgspec.Raw] = {}  # listed people whose turn has not come
        self._asked: set[str] = set()

    async def everybody(self, page: Page, known: KnownPeople | None) -> PageContent:
        """The people of a list page, each with all attributes; `known` hears of them."""
        listed = listed_people(page.items)
        if known is not None:
            await known.unknown(listed.by_id)
        landed = await self._whole(listed)
        if len(landed.seen) == len(listed.by_id) >= NO_CHANCE:
            raise PageShapeError(
                f"The API lists {len(listed.by_id)} people and hands over the attributes of none of them."
            )
        return landed

    async def changed(self, page: Page, known: KnownPeople) -> PageContent:
        """The people of a list page as seen only, but for those whom the copy does not have so.

        They come with attributes, with this page or a later one: full requests are what counts. Who is left comes
        with those whom the log names.
        """
        listed = listed_people(page.items)
        unknown = await known.unknown(listed.by_id)
        seen = [only_listed(entry) for cio_id, entry in listed.by_id.items() if cio_id not in unknown]
        self._wanted |= {cio_id: listed.by_id[cio_id] for cio_id in unknown}
        full = len(self._wanted) // BATCH * BATCH
        now = ListedPeople({cio_id: self._wanted.pop(cio_id) for cio_id in list(self._wanted)[:full]}, listed.nameless)
        self._asked |= now.by_id.keys()
        landed = await self._whole(now)
        return PageContent(landed.records, [*landed.seen, *seen], landed.left_out)

    def not_asked(self, named: ChangedPeople) -> ChangedPeople:
        """Those of the people named who were not asked for yet and are not left over from the list."""
        done = self._asked | self._wanted.keys()
        return ChangedPeople(tuple(cio_id for cio_id in named.cio_ids if cio_id not in done), named.ids)

    async def named(self, named: ChangedPeople, known: KnownPeople) -> PageContent:
        """The people whom the log names, and those who were left over from the list.

        Of the former, those left out of the answers are gone since, which the list tells.
        """
        left, self._wanted = ListedPeople(self._wanted, []), {}
        cio_ids = [*left.by_id, *named.cio_ids]
        items = await self._send([*attribute_requests(cio_ids), *requests_by_id(named.ids)])
        found = {cio_id for item in items if (cio_id := cio_id_of(item))}
        identifiers = {**await known.identifiers(sorted(found)), **left.by_id}
        records = [person(item, identifiers)[1] for item in items]
        again = await self._once_more({one: entry for one, entry in left.by_id.items() if one not in found}, left)
        return PageContent([*records, *again.records], again.seen, again.left_out)

    async def _whole(self, listed: ListedPeople) -> PageContent:
        found, unnamed = await self._people(attribute_requests(list(listed.by_id)), listed)
        again = await self._once_more({one: entry for one, entry in listed.by_id.items() if one not in found}, listed)
        alone = [only_listed(entry) for entry in listed.nameless]
        records = [*found.values(), *unnamed, *again.records, *alone]
        return PageContent(records, again.seen, again.left_out + len(alone))

    async def _once_more(self, missing: Mapping[str, msgspec.Raw], listed: ListedPeople) -> PageContent:
        """Those of the missing whom a second request brings; the others as seen, and counted."""
        found, unnamed = await self._people(requests_once_more(missing), listed)
        seen = [only_listed(entry) for cio_id, entry in missing.items() if cio_id not in found]
        return PageContent([*found.values(), *unnamed], seen, len(seen))

    async def _people(self, requests: Iterable[Request], listed: ListedPeople) -> tuple[dict[str, bytes], list[bytes]]:
        """The people in the answers to these requests: by `cio_id`, and those whom an answer does not name."""
        found: dict[str, bytes] = {}
        unnamed: list[bytes] = []
        for item in await self._send(requests):
            cio_id, record = person(item, listed.by_id)
            if cio_id:
                found[cio_id] = record
            else:
                unnamed.append(record)
        return found, unnamed

    async def _send(self, requests: Iterable[Request]) -> list[msgspec.Raw]:
        read: Callable[[bytes], Page] = partial(read_page, key="customers")
        calls = [partial(self._client.send, one, read, self._meter, Priority.FAN) for one in requests]
        return [item for answer in await together(calls) for item in answer.items]
