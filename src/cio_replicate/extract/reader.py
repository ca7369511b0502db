"""Reads one table: its parts side by side, each page by page, every page landed before the next is counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from cio_replicate.api.client import Client
from cio_replicate.api.paging import Page, Place, after, fingerprint, read_page
from cio_replicate.api.request import Meter, Request
from cio_replicate.base.clock import Clock
from cio_replicate.base.errors import (
    ChildGoneError,
    CursorRejectedError,
    EndlessListError,
    GaveUpError,
    PageShapeError,
    ReadError,
)
from cio_replicate.base.threads import OnThread
from cio_replicate.extract import people
from cio_replicate.extract.lander import Landed, Lander
from cio_replicate.extract.parts import request_for, slice_of
from cio_replicate.extract.rows import key_text
from cio_replicate.extract.together import together
from cio_replicate.landing.read import Part
from cio_replicate.tables.declare import Paging, Reading, Table

PARTS_AT_ONCE = 6
MOST_RESTARTS = 3  # of one part, when the API no longer knows a page token
NO_CHANCE = 10  # people of one page who do not all happen to be deleted since they were listed
MOST_UNCHANGED = 2  # pages in a row that hold just what the one before held

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reader works with.

    `first_answer` is called when the API has let the table in. `ready` returns when pages may be landed. `on_thread`
    runs a call on the landing thread. `landed` is called after each page with its part, row count and oldest moment.
    """

    client: Client
    clock: Clock
    meter: Meter
    first_answer: Callable[[], None]
    ready: Callable[[], Awaitable[None]]
    on_thread: OnThread
    landed: Callable[[Part, int, int | None], None]


class TableReader:
    """Reads what is left of one read, from wherever its parts stand to their ends.

    Pages of a part are read in the order of the list; the parts of a table side by side. A page's position moves only
    with its rows. Raises ReadError when the table cannot be read to its end, AccessError when the key is refused.
    """

    def __init__(self, table: Table, lander: Lander, around: Surroundings) -> None:
        self._table = table
        self._lander = lander
        self._around = around

    async def read(self) -> None:
        """Read every part to its end."""
        parts = [part for part in self._lander.read.parts if not part.place.done]
        first = await self._first_pages(parts)
        await together([partial(self._read_part, part, first.get(part.name)) for part in parts], PARTS_AT_ONCE)

    async def read_again(self) -> None:
        """Read every part once more from its beginning, for a list of which nothing came."""
        for part in self._lander.read.parts:
            await self._around.on_thread(partial(self._lander.move, part, Place(), self._now()))
        await self.read()

    async def _first_pages(self, parts: Sequence[Part]) -> dict[str, Page]:
        """The first pages of parts of which one may hold all that the other does; a part so covered is done."""
        by_name = {part.name: part for part in parts}
        first: dict[str, Page] = {}
        for part in parts:
            whole = by_name.get(slice_of(self._table, part).covered_by or "")
            if whole is None or part.place != Place() or whole.place != Place():
                continue
            try:
                mine, theirs = await together([partial(self._fetch, part), partial(self._fetch, whole)])
            except ChildGoneError:
                continue
            first |= {part.name: mine, whole.name: theirs}
            if self._keys(mine) & self._keys(theirs):
                del first[part.name]
                await self._around.ready()
                await self._around.on_thread(partial(self._lander.move, part, Place(done=True), self._now()))
        return first

    def _keys(self, page: Page) -> set[str]:
        try:
            keys = {key_text(_record.decode(item), self._table.key) for item in page.items}
        except msgspec.ValidationError:
            raise PageShapeError("A list holds something that is not a record.") from None
        return keys - {""}

    async def _read_part(self, part: Part, page: Page | None) -> None:
        seen = {part.place.token} - {""}
        restarts = repeats = unchanged = 0
        before = b""
        while not part.place.done:
            try:
                page = page or await self._fetch(part)
                place = after(
                    part.place,
                    page,
                    by_offset=self._table.paging is Paging.OFFSET,
                    seen=seen,
                )
            except EndlessListError:
                repeats += 1
                if repeats > 1:  # the same page said it twice, so it was no passing fault
                    raise
                page = None
                continue
            except CursorRejectedError as error:
                restarts += 1
                if restarts > MOST_RESTARTS:
                    raise GaveUpError(error.message, "Run again; if it stays, report it.") from None
                seen.clear()
                await self._around.on_thread(lambda: self._lander.move(part, Place(), self._now()))
                continue
            except ChildGoneError as gone:
                await self._around.ready()
                await self._around.on_thread(partial(self._lander.skip, part, gone.message, self._now()))
                return
            repeats = 0
            mark = fingerprint(page)
            unchanged = unchanged + 1 if mark and mark == before else 0
            if unchanged > MOST_UNCHANGED:
                raise EndlessListError(
                    "A list does not end: the same page came again and again, as the next one of itself.",
                    "Report it to Customer.io, or leave the table out with --exclude.",
                )
            before = mark
            await self._land(part, page, place)
            page = None

    async def _fetch(self, part: Part) -> Page:
        request = request_for(self._table, part, part.place)
        try:
            page = await self._around.client.send(
                request, lambda body: read_page(body, self._table.records), self._around.meter
            )
        except ReadError:
            self._around.first_answer()
            raise
        self._around.first_answer()
        return page

    async def _land(self, part: Part, page: Page, place: Place) -> None:
        await self._around.ready()
        records: Sequence[bytes | msgspec.Raw] = page.items
        seen: list[bytes] = []
        left_out = 0
        if self._table.reading is Reading.PEOPLE:
            records, seen, left_out = await self._people(page)
        landed = Landed(records, seen, left_out)
        rows, oldest = await self._around.on_thread(lambda: self._lander.land(part, landed, place, self._now()))
        self._around.landed(part, rows, oldest)

    async def _people(self, page: Page) -> tuple[list[bytes], list[bytes], int]:
        """The people of a list page: whole records, entries whose attributes did not come, and how many lack something.

        Ids that the API does not know it leaves out of a 200 in silence (live), so those left out are asked for once
        more before they count as left out.
        """
        listed = people.listed(page.items)
        found, unnamed = await self._asked(people.attribute_requests(list(listed.by_id)), listed)
        missing = {cio_id: entry for cio_id, entry in listed.by_id.items() if cio_id not in found}
        if missing:
            again, more = await self._asked(people.requests_once_more(missing), listed)
            found, unnamed = found | again, unnamed + more
            missing = {cio_id: entry for cio_id, entry in missing.items() if cio_id not in again}
        if len(missing) >= NO_CHANCE and not found:
            raise PageShapeError(f"The API lists {len(missing)} people and hands over the attributes of none of them.")
        alone = [people.only_listed(entry) for entry in listed.nameless]
        seen = [people.only_listed(entry) for entry in missing.values()]
        return [*found.values(), *unnamed, *alone], seen, len(missing) + len(alone)

    async def _asked(self, requests: Sequence[Request], listed: people.Listed) -> tuple[dict[str, bytes], list[bytes]]:
        """The people in the answers to these requests: by `cio_id`, and those whom an answer does not name."""
        send, read = self._around.client.send, partial(read_page, key="customers")
        found: dict[str, bytes] = {}
        unnamed: list[bytes] = []
        for answer in await together([partial(send, one, read, self._around.meter) for one in requests]):
            for item in answer.items:
                cio_id, record = people.person(item, listed.by_id)
                if cio_id:
                    found[cio_id] = record
                else:
                    unnamed.append(record)
        return found, unnamed

    def _now(self) -> int:
        return int(self._around.clock.now())
