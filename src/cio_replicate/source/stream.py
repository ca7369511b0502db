"""Reads one table: its parts side by side, each page by page, every page landed before the next is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import msgspec

from cio_replicate.base.errors import (
    ChildGoneError,
    CursorRejectedError,
    EndlessListError,
    GaveUpError,
    PageShapeError,
    ReadError,
)
from cio_replicate.base.runtime import Clock, OnThread, tasks, together
from cio_replicate.schema.table import Paging, Reading, Table
from cio_replicate.source.client import Client
from cio_replicate.source.conveyor import Conveyor
from cio_replicate.source.decode import Chunk, RowDecoder, key_text, times_reader
from cio_replicate.source.pages import Cursor, Page, RequestCounter, after, fingerprint, read_page
from cio_replicate.source.strategies.base import (
    LISTED,
    NAMED,
    PageContent,
    Partition,
    bounds_of,
    request_for,
    slice_of,
    span,
    urgency_of,
    window_of,
)
from cio_replicate.source.strategies.people import ChangedPeople, KnownPeople, PeopleStrategy
from cio_replicate.source.strategies.windows import Density, PageSpan, divided, in_order, left_over, lies_before, ranges

PARTS_AT_ONCE = 12  # at 800 ms an answer and 10 requests a second, eight are under way at any time
ROWS_AHEAD = 1000  # of a part, that may wait in memory until they land
PEOPLE_AHEAD = 4  # list pages whose attributes are asked for at once: ten requests each
NAMED_AT_ONCE = 1000
MOST_RESTARTS = 3  # of one part, when the API no longer knows a page token
MOST_UNCHANGED = 2  # pages in a row that hold just what the one before held

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reader works with.

    `first_answer` is called when the API has let the table in. `ready` returns when pages may be landed. `on_thread`
    runs a call on the landing thread. `landed` is called after each page with its part, row count and oldest moment.
    `first_page` is called with each part's first page that comes. `until`, in unix seconds, is how far back a log is
    read. `known` tells of people what is known, if not all of them are to be asked for.
    """

    client: Client
    clock: Clock
    meter: RequestCounter
    first_answer: Callable[[], None]
    ready: Callable[[], Awaitable[None]]
    on_thread: OnThread
    landed: Callable[[Partition, int, int | None], None]
    first_page: Callable[[Partition, Page], None] = lambda _part, _page: None
    until: int | None = None
    known: KnownPeople | None = None


class ChunkWriter(Protocol):
    """What makes the chunks of one read durable; its methods run on the thread of `Surroundings.on_thread`."""

    @property
    def parts(self) -> list[Partition]:
        """The partitions of the read, those that chunks have added included."""
        ...

    def append(self, chunk: Chunk, at: int) -> None:
        """Make a chunk durable together with the cursor of its partition."""
        ...

    def skip(self, part: Partition, reason: str, at: int) -> None:
        """Record that a partition does not exist."""
        ...

    def move(self, part: Partition, cursor: Cursor, at: int) -> None:
        """Move a partition without a page."""
        ...


class TableStream:
    """Reads what is left of one read, from wherever its parts stand to their ends.

    Pages of a part land in the order of the list, the next being asked for while one lands; the parts of a table are
    read side by side. A page's position moves only with its rows. Raises ReadError when the table cannot be read to its
    end, AccessError when the key is refused; what was read before that has landed.
    """

    def __init__(self, table: Table, decoder: RowDecoder, writer: ChunkWriter, around: Surroundings) -> None:
        self._table = table
        self._decoder = decoder
        self._writer = writer
        self._around = around
        self._people = PeopleStrategy(around.client, around.meter)
        self._times = times_reader(table)
        self._density = Density()
        self._longest = 0  # rows of the longest page so far
        self._handed_over: set[bytes] = set()  # pages by offset after which new parts read on
        self._slots = asyncio.Semaphore(PARTS_AT_ONCE)
        self._open = 0  # parts that wait for a slot or have one

    async def read(self) -> None:
        """Read every part to its end."""
        await self._list_people_anew()
        parts = [part for part in self._writer.parts if not part.place.done]
        first = await self._first_pages(parts)
        async with tasks() as group:
            for part in first.covered:
                group.create_task(self._left_out(part))
            for part in parts:
                if part.name != NAMED and part not in first.covered:
                    self._start(group, part, first.pages.get(part.name))
        async with tasks() as group:
            for part in parts:
                if part.name == NAMED:
                    self._start(group, part)

    async def _list_people_anew(self) -> None:
        """Of people who are to be asked for after they were listed, a process that died has left no note."""
        waiting = any(part.name == NAMED and not part.place.done for part in self._writer.parts)
        for part in self._writer.parts:
            if waiting and part.name == LISTED and part.place != Cursor():
                await self._around.ready()
                await self._around.on_thread(partial(self._writer.move, part, Cursor(), self._now()))

    async def read_again(self) -> None:
        """Read every part once more from its beginning, for a list of which nothing came."""
        for part in self._writer.parts:
            await self._around.on_thread(partial(self._writer.move, part, Cursor(), self._now()))
        await self.read()

    def _start(self, group: asyncio.TaskGroup, part: Partition, page: Page | None = None) -> None:
        self._open += 1

        async def read() -> None:
            async with self._slots:
                more = await (self._read_named(part) if part.name == NAMED else self._read_part(part, page))
            self._open -= 1
            for one in more:
                self._start(group, one)

        group.create_task(read())

    async def _first_pages(self, parts: Sequence[Partition]) -> FirstPages:
        """The first pages of parts that can only be read well when those of others are known too."""
        new = {part.name: part for part in parts if part.place == Cursor()}
        first = FirstPages()
        if self._table.paging is Paging.OFFSET:
            pages = await together([partial(self._first_page, part) for part in new.values()])
            first.pages = {name: page for name, page in zip(new, pages, strict=True) if page is not None}
            await self._find_page_size(new, first.pages)
            return first
        for part in new.values():
            whole = new.get(slice_of(self._table, part).covered_by or "")
            if whole is None:
                continue
            theirs, mine = await together([partial(self._first_page, whole), partial(self._first_page, part)])
            first.pages |= {one.name: page for one, page in ((part, mine), (whole, theirs)) if page is not None}
            if mine is not None and theirs is not None and self._keys(mine) & self._keys(theirs):
                first.covered.append(part)
        return first

    async def _first_page(self, part: Partition) -> Page | None:
        try:
            return await self._fetch(part, part.place)
        except ChildGoneError:
            return None

    async def _find_page_size(self, parts: Mapping[str, Partition], pages: Mapping[str, Page]) -> None:
        """Find out by one request whether lists by offset may end with a page shorter than asked for.

        The longest first page is either the whole list, and then the shorter ones are too, or as long as this server
        makes a page.
        """
        name = max(pages, key=lambda one: len(pages[one].items), default=None)
        if name is None or not 0 < len(pages[name].items) < (self._table.page_size or 0):
            return
        with suppress(ChildGoneError):
            behind = await self._fetch(parts[name], Cursor(offset=len(pages[name].items)))
            self._longest += not behind.items

    async def _left_out(self, part: Partition) -> None:
        """Record that a part is read with another one."""
        await self._around.ready()
        await self._around.on_thread(partial(self._writer.move, part, Cursor(done=True), self._now()))

    def _keys(self, page: Page) -> set[str]:
        try:
            keys = {key_text(_record.decode(item), self._table.key) for item in page.items}
        except msgspec.ValidationError:
            raise PageShapeError("A list holds something that is not a record.") from None
        return keys - {""}

    async def _read_part(self, part: Partition, page: Page | None) -> list[Partition]:
        """Read a part to its end, or until it hands over to other parts, which are returned."""
        if part.place.done:
            return []
        async with tasks() as group:
            belt = Conveyor(group, self._ahead())
            try:
                more = await self._read_pages(part, page, belt)
            except ReadError:
                await belt.emptied()  # what came before the failure counts
                raise
        return more

    def _ahead(self) -> int:
        if self._table.reading is Reading.PEOPLE:
            return PEOPLE_AHEAD
        return max(1, ROWS_AHEAD // (self._table.page_size or ROWS_AHEAD))

    async def _read_pages(self, part: Partition, page: Page | None, belt: Conveyor) -> list[Partition]:
        place = part.place
        course = LoopGuard({place.token} - {""})
        while not place.done:
            try:
                page = page or await self._fetch(part, place)
                beyond = self._after(place, page, course)
            except EndlessListError:
                course.repeats += 1
                if course.repeats > 1:  # the same page said it twice, so it was no passing fault
                    raise
                page = None
                continue
            except CursorRejectedError as error:
                course.restarted(error)
                await belt.emptied()
                place = Cursor()
                await self._around.on_thread(partial(self._writer.move, part, place, self._now()))
                continue
            except ChildGoneError as gone:
                await belt.emptied()
                await self._around.ready()
                await self._around.on_thread(partial(self._writer.skip, part, gone.cause, self._now()))
                return []
            course.passed(page)
            if self._table.paging is Paging.OFFSET:
                more = self._further(part, page, beyond)
            else:
                more = self._onward(part, page, ended=beyond.done)
                if more and not beyond.done:
                    page = self._without(page, bounds_of(more[0])[1])
            place = replace(beyond, done=beyond.done or bool(more))
            await belt.put(partial(self._made_ready, part, page, more), partial(self._land, part, place))
            page = None
            if more:
                return more
        return []

    def _after(self, place: Cursor, page: Page, course: LoopGuard) -> Cursor:
        beyond = after(
            place,
            page,
            by_offset=self._table.paging is Paging.OFFSET,
            seen=course.tokens,
            longest=self._longest,
        )
        until = self._around.until
        if until is not None and not beyond.done:
            times = self._times(page)
            course.first_times = course.first_times or times
            if lies_before(until, times, course.first_times):
                return replace(beyond, done=True)
        return beyond

    def _onward(self, part: Partition, page: Page, *, ended: bool) -> list[Partition]:
        """The parts that read on in the place of a span: what its window leaves, or several that are read at once."""
        if self._table.reading is not Reading.WINDOWS:
            return []
        first, window_first = bounds_of(part)[0], window_of(part)[0]
        ends = self._times(replace(page, items=[page.items[0], page.items[-1]])) if page.items else []
        if ends:
            self._density.add(len(page.items), ends[0], ends[-1])
        room = self._room()
        spans: list[tuple[int, int]] = []
        if ended:
            spans = left_over(first, window_first, self._density, room)
        elif ends:
            seen = PageSpan(len(page.items), ends[0], ends[-1], lambda: in_order(self._times(page)))
            spans = divided(bounds_of(part), window_first, seen, self._density, room)
        return [span(*bounds) for bounds in spans]

    def _further(self, part: Partition, page: Page, beyond: Cursor) -> list[Partition]:
        """The parts that read on in the place of a long list by offset: what follows at once, and what follows that."""
        full = len(page.items) == self._table.page_size
        mark = fingerprint(page)
        if not full or beyond.done or beyond.last is not None or self._room() < 1 or mark in self._handed_over:
            return []  # the same page again: the offset is ignored, which shows soonest by reading on
        self._handed_over.add(mark)
        name = part.name.partition(" from ")[0]
        return [
            Partition(f"{name} from {first}", part.query, part.path, Cursor(offset=first, last=last))
            for first, last in ranges(beyond.offset, len(page.items))
        ]

    def _room(self) -> int:
        """How many more parts may be open."""
        client = self._around.client
        # unless turns are to spare, only as many chains as would use up the budget by themselves
        return (PARTS_AT_ONCE if client.spare else min(PARTS_AT_ONCE, client.chains)) - self._open

    def _without(self, page: Page, oldest: int) -> Page:
        """The page but for the rows of its oldest second, which come again where it is read on."""
        rows = zip(page.items, self._times(page), strict=True)
        return replace(page, items=[item for item, at in rows if at != oldest])

    async def _fetch(self, part: Partition, place: Cursor) -> Page:
        request = request_for(self._table, part, place)
        try:
            page = await self._around.client.send(
                request,
                lambda body: read_page(body, self._table.records),
                self._around.meter,
                urgency_of(self._table, place),
            )
        except ReadError:
            self._around.first_answer()
            raise
        self._around.first_answer()
        self._longest = max(self._longest, len(page.items))
        if place == Cursor():
            self._around.first_page(part, page)
        return page

    async def _made_ready(self, part: Partition, page: Page, more: Sequence[Partition]) -> PageContent:
        if self._table.reading is not Reading.PEOPLE:
            return PageContent(page.items, more=more)
        if part.name == LISTED and self._around.known is not None:
            await self._around.ready()
            return await self._people.changed(page, self._around.known)
        return await self._people.everybody(page, self._around.known)

    async def _land(self, part: Partition, place: Cursor, landed: PageContent) -> None:
        await self._around.ready()
        oldest = await self._around.on_thread(lambda: self._append(part, landed, place))
        self._around.landed(part, len(landed.records), oldest)

    def _append(self, part: Partition, content: PageContent, cursor: Cursor) -> int | None:
        """Decode a page and make it durable; return its oldest moment."""
        at = self._now()
        chunk = self._decoder.decode(part, content, cursor, at)
        self._writer.append(chunk, at)
        return chunk.oldest

    async def _read_named(self, part: Partition) -> list[Partition]:
        """Ask for the people whom the log names, or return the part that reads everybody when it cannot be told."""
        known = self._around.known
        named = await known.named() if known is not None else None
        await self._around.ready()
        if known is None or named is None:
            more = [Partition(one.name, one.query, one.path) for one in self._table.slices]
            await self._around.on_thread(lambda: self._append(part, PageContent([], more=more), Cursor(done=True)))
            return more
        async with tasks() as group:
            belt = Conveyor(group, PEOPLE_AHEAD)
            for some in _by(NAMED_AT_ONCE, self._people.not_asked(named)):
                await belt.put(partial(self._people.named, some, known), partial(self._land, part, Cursor()))
            await belt.emptied()
        await self._around.on_thread(partial(self._writer.move, part, Cursor(done=True), self._now()))
        return []

    def _now(self) -> int:
        return int(self._around.clock.now())


@dataclass(slots=True)
class FirstPages:
    """First pages by the names of their parts, and the parts of which another one holds all."""

    pages: dict[str, Page] = field(default_factory=dict)
    covered: list[Partition] = field(default_factory=list)


class LoopGuard:
    """What is remembered of a part while it is read, to tell when it turns in circles."""

    def __init__(self, tokens: set[str]) -> None:
        self.tokens = tokens
        self.first_times: Sequence[int] = ()
        self.repeats = 0
        self._restarts = 0
        self._unchanged = 0
        self._before = b""

    def restarted(self, error: CursorRejectedError) -> None:
        """The API no longer knows a token, so the part begins anew; an error when that happens too often."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise GaveUpError(error.cause, "Run again; if it stays, report it.") from None
        self.tokens.clear()

    def passed(self, page: Page) -> None:
        """A page was read; an error when it is the same again and again."""
        self.repeats = 0
        mark = fingerprint(page)
        self._unchanged = self._unchanged + 1 if mark and mark == self._before else 0
        if self._unchanged > MOST_UNCHANGED:
            raise EndlessListError(
                "A list does not end: the same page came again and again, as the next one of itself.",
                "Report it to Customer.io, or leave the table out with --exclude.",
            )
        self._before = mark


def _by(most: int, named: ChangedPeople) -> list[ChangedPeople]:
    """The same people, some at a time; at least once."""
    count = max(len(named.cio_ids), len(named.ids))
    return [
        ChangedPeople(named.cio_ids[at : at + most], named.ids[at : at + most]) for at in range(0, max(1, count), most)
    ]
