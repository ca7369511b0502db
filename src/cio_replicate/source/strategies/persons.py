"""Fetches people: the attributes of everybody on a page, of those of whom too little is known, or of a list of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from cio_replicate.base.errors import PageShapeError
from cio_replicate.base.together import together
from cio_replicate.source.client import Client
from cio_replicate.source.lander import PageContent
from cio_replicate.source.pages import Page, read_page
from cio_replicate.source.request import Request, RequestCounter
from cio_replicate.source.strategies import people
from cio_replicate.source.strategies.base import Priority
from cio_replicate.source.strategies.people_log import ChangedPeople

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
        listed = people.listed(page.items)
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
        listed = people.listed(page.items)
        unknown = await known.unknown(listed.by_id)
        seen = [people.only_listed(entry) for cio_id, entry in listed.by_id.items() if cio_id not in unknown]
        self._wanted |= {cio_id: listed.by_id[cio_id] for cio_id in unknown}
        full = len(self._wanted) // people.BATCH * people.BATCH
        now = people.ListedPeople(
            {cio_id: self._wanted.pop(cio_id) for cio_id in list(self._wanted)[:full]}, listed.nameless
        )
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
        left, self._wanted = people.ListedPeople(self._wanted, []), {}
        cio_ids = [*left.by_id, *named.cio_ids]
        items = await self._send([*people.attribute_requests(cio_ids), *people.requests_by_id(named.ids)])
        found = {cio_id for item in items if (cio_id := people.cio_id_of(item))}
        identifiers = {**await known.identifiers(sorted(found)), **left.by_id}
        records = [people.person(item, identifiers)[1] for item in items]
        again = await self._once_more({one: entry for one, entry in left.by_id.items() if one not in found}, left)
        return PageContent([*records, *again.records], again.seen, again.left_out)

    async def _whole(self, listed: people.ListedPeople) -> PageContent:
        found, unnamed = await self._people(people.attribute_requests(list(listed.by_id)), listed)
        again = await self._once_more({one: entry for one, entry in listed.by_id.items() if one not in found}, listed)
        alone = [people.only_listed(entry) for entry in listed.nameless]
        records = [*found.values(), *unnamed, *again.records, *alone]
        return PageContent(records, again.seen, again.left_out + len(alone))

    async def _once_more(self, missing: Mapping[str, msgspec.Raw], listed: people.ListedPeople) -> PageContent:
        """Those of the missing whom a second request brings; the others as seen, and counted."""
        found, unnamed = await self._people(people.requests_once_more(missing), listed)
        seen = [people.only_listed(entry) for cio_id, entry in missing.items() if cio_id not in found]
        return PageContent([*found.values(), *unnamed], seen, len(seen))

    async def _people(
        self, requests: Iterable[Request], listed: people.ListedPeople
    ) -> tuple[dict[str, bytes], list[bytes]]:
        """The people in the answers to these requests: by `cio_id`, and those whom an answer does not name."""
        found: dict[str, bytes] = {}
        unnamed: list[bytes] = []
        for item in await self._send(requests):
            cio_id, record = people.person(item, listed.by_id)
            if cio_id:
                found[cio_id] = record
            else:
                unnamed.append(record)
        return found, unnamed

    async def _send(self, requests: Iterable[Request]) -> list[msgspec.Raw]:
        read: Callable[[bytes], Page] = partial(read_page, key="customers")
        calls = [partial(self._client.send, one, read, self._meter, Priority.FAN) for one in requests]
        return [item for answer in await together(calls) for item in answer.items]
