"""Read people: requests for the list and for attributes, people named by the activity log, and fetching."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import msgspec

from cio_replicate.base.errors import PageShapeError
from cio_replicate.base.runtime import together
from cio_replicate.config.table_options import PeopleRefresh
from cio_replicate.schema.table import Table
from cio_replicate.source.pages import Page, Request, read_page
from cio_replicate.source.strategies.base import (
    COUNTED,
    IN_COPY,
    START,
    ChangedPeople,
    Estimate,
    FetchPage,
    PageContent,
    Partition,
    PastReads,
    Pieces,
    Priority,
    ReadScope,
    ReadState,
    Send,
    Strategy,
)
from cio_replicate.source.strategies.log import is_due_whole
from cio_replicate.source.values import key_text, record_of

BATCH = 100  # ids that one request may name
PAGES_AHEAD = 4  # list pages whose attributes are asked for at once: ten requests each
NAMED_AT_ONCE = 1000
#: The partitions of a read that asks for the attributes of some people only: who is listed, and whom the log names.
LISTED, NAMED = "listed", "named"
PEOPLE_LIST = "A list of people"
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
        cio_id = _cio_id(record_of(item, PEOPLE_LIST))
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
    ids = {cio_id: key_text(record_of(entry, PEOPLE_LIST), ("id",)) for cio_id, entry in entries.items()}
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
    record = record_of(item, PEOPLE_LIST)
    inner = record.get("customer")
    if inner is not None and "attributes" not in record:
        return {**record_of(inner, PEOPLE_LIST), **{name: raw for name, raw in record.items() if name != "customer"}}
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
    cio_id = key_text(record_of(item, PEOPLE_LIST), ("cio_id",)).removeprefix(PREFIX)
    return msgspec.json.encode({"cio_id": cio_id, "identifiers": item} if cio_id else {"identifiers": item})


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
    asked for, and the one who is missing there is whom the entry names. Where neither is there, nobody is known to be
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


class PeopleStrategy(Strategy):
    """List everybody, and ask for attributes a hundred people a request, as many at once as the rate limit allows.

    Either of everybody, or of those whom the copy does not have as they are listed (`LISTED`), and then of those whom
    the activity log names (`NAMED`). Ids that the API does not know it leaves out of a 200 in silence (live), so listed
    people who are left out are asked for once more before they count as left out.
    """

    chained = False  # the list is short beside what it brings
    countable = False
    counts_seen = True
    counted_by_account = True

    def __init__(self, table: Table, scope: ReadScope) -> None:
        super().__init__(table, scope)
        self._wanted: dict[str, msgspec.Raw] = {}  # listed people whose turn has not come
        self._asked: set[str] = set()

    def partitions(self) -> list[Partition]:
        """Everybody, or who is listed and whom the log names."""
        return super().partitions() if self.reads_all else [Partition(LISTED), Partition(NAMED)]

    @property
    def reads_all(self) -> bool:
        """Whether everybody's attributes are asked for."""
        return self.scope.rules.people is PeopleRefresh.FULL or is_due_whole(self.scope)

    def has_read_all(self, partitions: Sequence[Partition]) -> bool:
        """Whether one of the partitions is that of everybody: it is added when the log cannot be relied on."""
        return any(one.name not in (LISTED, NAMED) for one in partitions)

    def continues(self, partitions: Sequence[Partition]) -> bool:
        """Not when everybody is wanted and the earlier read asks for some only."""
        return self.scope.rules.people is PeopleRefresh.CHANGES or not any(one.name == LISTED for one in partitions)

    def to_restart(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The list, if some of whom it named are not asked for yet: who they were ended with the process."""
        waiting = any(one.name == NAMED and not one.cursor.done for one in partitions)
        return [one for one in partitions if waiting and one.name == LISTED and one.cursor != START]

    def waits(self, partition: Partition) -> bool:
        """The log is asked when everybody is listed."""
        return partition.name == NAMED

    @property
    def ahead(self) -> int:
        """Pages of the list are cheap beside the attributes that they ask for."""
        return PAGES_AHEAD

    async def complete(
        self, partition: Partition, items: Sequence[msgspec.Raw], send: Send, state: ReadState | None
    ) -> PageContent:
        """The people of a list page, with the attributes of all or of some."""
        if partition.name == LISTED and state is not None:
            return await self._changed(items, send, state)
        return await self._everybody(items, send, state)

    async def pieces(self, partition: Partition, send: Send, state: ReadState | None) -> Pieces | None:
        """The people whom the log names, a thousand at a time; everybody where it cannot be relied on."""
        if partition.name != NAMED:
            return None
        named = await state.named() if state is not None else None
        if state is None or named is None:
            return Pieces(partitions=tuple(super().partitions()))
        done = self._asked | self._wanted.keys()
        left = ChangedPeople(tuple(cio_id for cio_id in named.cio_ids if cio_id not in done), named.ids)
        return Pieces([partial(self._named, some, send, state) for some in _by(NAMED_AT_ONCE, left)])

    async def _everybody(self, items: Sequence[msgspec.Raw], send: Send, state: ReadState | None) -> PageContent:
        """The people of a list page, each with all attributes; `state` hears of them."""
        listed = listed_people(items)
        if state is not None:
            await state.unknown(listed.by_id)
        content = await self._whole(listed, send)
        if len(content.seen) == len(listed.by_id) >= NO_CHANCE:
            raise PageShapeError(
                f"The API lists {len(listed.by_id)} people and hands over the attributes of none of them."
            )
        return content

    async def _changed(self, items: Sequence[msgspec.Raw], send: Send, state: ReadState) -> PageContent:
        """The people of a list page as seen only, but for those whom the copy does not have so.

        They come with attributes, with this page or a later one: full requests are what counts. Who is left comes
        with those whom the log names.
        """
        listed = listed_people(items)
        unknown = await state.unknown(listed.by_id)
        seen = [only_listed(entry) for cio_id, entry in listed.by_id.items() if cio_id not in unknown]
        self._wanted |= {cio_id: listed.by_id[cio_id] for cio_id in unknown}
        full = len(self._wanted) // BATCH * BATCH
        now = ListedPeople({cio_id: self._wanted.pop(cio_id) for cio_id in list(self._wanted)[:full]}, listed.nameless)
        self._asked |= now.by_id.keys()
        content = await self._whole(now, send)
        return PageContent(content.records, [*content.seen, *seen], content.left_out)

    async def _named(self, named: ChangedPeople, send: Send, state: ReadState) -> PageContent:
        """The people whom the log names, and those who were left over from the list.

        Of the former, those left out of the answers are gone since, which the list tells.
        """
        left, self._wanted = ListedPeople(self._wanted, []), {}
        cio_ids = [*left.by_id, *named.cio_ids]
        items = await _sent([*attribute_requests(cio_ids), *requests_by_id(named.ids)], send)
        found = {cio_id for item in items if (cio_id := cio_id_of(item))}
        identifiers = {**await state.identifiers(sorted(found)), **left.by_id}
        records = [person(item, identifiers)[1] for item in items]
        missing = {one: entry for one, entry in left.by_id.items() if one not in found}
        again = await self._once_more(missing, left, send)
        return PageContent([*records, *again.records], again.seen, again.left_out)

    async def _whole(self, listed: ListedPeople, send: Send) -> PageContent:
        found, unnamed = await _people(attribute_requests(list(listed.by_id)), listed, send)
        missing = {one: entry for one, entry in listed.by_id.items() if one not in found}
        again = await self._once_more(missing, listed, send)
        alone = [only_listed(entry) for entry in listed.nameless]
        records = [*found.values(), *unnamed, *again.records, *alone]
        return PageContent(records, again.seen, again.left_out + len(alone))

    async def _once_more(self, missing: Mapping[str, msgspec.Raw], listed: ListedPeople, send: Send) -> PageContent:
        """Those of the missing whom a second request brings; the others as seen, and counted."""
        found, unnamed = await _people(requests_once_more(missing), listed, send)
        seen = [only_listed(entry) for cio_id, entry in missing.items() if cio_id not in found]
        return PageContent([*found.values(), *unnamed], seen, len(seen))

    def estimate(self, past: PastReads) -> Estimate | None:
        """By the people in the copy, and by how many the log named in as much time."""
        if self.scope.base is None:
            return None
        people = past.rows(self.table)
        if self.reads_all:
            requests = people_requests(self.table, people)
            return Estimate(self.table.name, requests, requests, people, IN_COPY)
        changed = past.changed_people(self.scope.base.through, self.scope.now)
        requests = changes_requests(self.table, people, changed)
        return Estimate(self.table.name, requests, requests, changed, IN_COPY)

    async def probe(self, fetch: FetchPage, people: Callable[[], Awaitable[Sequence[int]]]) -> Estimate:
        """By the list of workspaces."""
        return estimate_of_people(self.table, await people())

    def estimate_of_pages(self, first: Sequence[tuple[Partition, Page]]) -> Estimate | None:
        """A first page does not tell how many people there are."""
        return None


def people_requests(table: Table, people: int) -> int:
    """The requests that reading so many people costs: the list, and their attributes."""
    return max(1, ceil(people / (table.page_size or 1))) + ceil(people / BATCH)


def changes_requests(table: Table, people: int, changed: int) -> int:
    """The requests that it costs to list so many people, and to read the attributes of those who have changed."""
    return ceil(people / (table.page_size or 1)) + ceil(changed / BATCH)


def estimate_of_people(table: Table, people: Sequence[int]) -> Estimate:
    """The cost of reading everybody. `people` are the counts of all workspaces, and only one of them is the key's."""
    costs = [people_requests(table, count) for count in people]
    if len(people) == 1:
        return Estimate(table.name, costs[0], costs[0], people[0], COUNTED)
    if not people:
        return Estimate(table.name, 1, None, None, "no workspace is listed")
    return Estimate(table.name, min(costs), max(costs), None, f"one of {len(people)} workspaces")


async def _people(
    requests: Iterable[Request], listed: ListedPeople, send: Send
) -> tuple[dict[str, bytes], list[bytes]]:
    """The people in the answers to these requests: by `cio_id`, and those whom an answer does not name."""
    found: dict[str, bytes] = {}
    unnamed: list[bytes] = []
    for item in await _sent(requests, send):
        cio_id, record = person(item, listed.by_id)
        if cio_id:
            found[cio_id] = record
        else:
            unnamed.append(record)
    return found, unnamed


async def _sent(requests: Iterable[Request], send: Send) -> list[msgspec.Raw]:
    read: Callable[[bytes], Page] = partial(read_page, key="customers")
    answers = await together([partial(send, one, read, Priority.FAN) for one in requests])
    return [item for answer in answers for item in answer.items]


def _by(most: int, named: ChangedPeople) -> list[ChangedPeople]:
    """The same people, some at a time; at least once."""
    count = max(len(named.cio_ids), len(named.ids))
    return [
        ChangedPeople(named.cio_ids[at : at + most], named.ids[at : at + most]) for at in range(0, max(1, count), most)
    ]
