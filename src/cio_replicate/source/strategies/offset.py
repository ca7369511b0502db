"""Read lists by row offset: long ones in ranges side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from cio_replicate.base.runtime import together
from cio_replicate.schema.table import Table
from cio_replicate.source.pages import Cursor, Page, fingerprint
from cio_replicate.source.strategies.base import START, FetchPage, Opening, Partition, ReadScope, Step, Strategy

#: A long list is read in ranges of so many pages: each costs its first answer's time until the next begins.
STRIDE = 5


def ranges(offset: int, page_rows: int) -> list[tuple[int, int | None]]:
    """A list from its row `offset` on: a range of some pages, and what follows it, whose end nobody knows.

    If the list ends within the range, the request for what follows was one too many.
    """
    middle = offset + STRIDE * page_rows
    return [(offset, middle), (middle, None)]


class OffsetStrategy(Strategy):
    """Read each partition until a page that is shorter than this server makes its pages."""

    chained = False  # a long list is read in ranges

    def __init__(self, table: Table, scope: ReadScope) -> None:
        super().__init__(table, scope)
        self._longest = 0  # rows of the longest page so far
        self._handed_over: set[bytes] = set()  # pages after which new partitions read on

    def place(self, cursor: Cursor) -> dict[str, str]:
        """Count rows, not pages."""
        return {"limit": str(self.table.page_size), "offset": str(cursor.offset)}

    async def opening(self, new: Sequence[Partition], fetch: FetchPage) -> Opening:
        """Request all first pages, and find out by one request whether they may be shorter than asked for."""
        pages = await together([partial(fetch, one, START) for one in new])
        first = {one.name: page for one, page in zip(new, pages, strict=True) if page is not None}
        await self._find_page_size({one.name: one for one in new}, first, fetch)
        return Opening(first)

    async def _find_page_size(
        self, partitions: Mapping[str, Partition], pages: Mapping[str, Page], fetch: FetchPage
    ) -> None:
        """The longest first page is either the whole list, and then the shorter ones are too, or a full page."""
        name = max(pages, key=lambda one: len(pages[one].items), default=None)
        if name is None:
            return
        self._longest = max(self._longest, len(pages[name].items))
        if 0 < len(pages[name].items) < (self.table.page_size or 0):
            behind = await fetch(partitions[name], Cursor(offset=len(pages[name].items)))
            self._longest += behind is not None and not behind.items

    def advance(self, partition: Partition, cursor: Cursor, page: Page, room: Callable[[], int]) -> Step:
        """Count on; hand a long list over to a range and what follows it, if there is room for two."""
        self._longest = max(self._longest, len(page.items))
        following = self._after(cursor, page)
        more = self._further(partition, page, following, room)
        return Step(page.items, replace(following, done=following.done or bool(more)), more)

    def _after(self, cursor: Cursor, page: Page) -> Cursor:
        """The end is a page shorter than the longest one, or an empty page.

        The last page is shorter than asked for (live), but so is every page of a server with a smaller page size.
        """
        offset = cursor.offset + len(page.items)
        over = cursor.last is not None and offset >= cursor.last
        return replace(cursor, offset=offset, done=over or not page.items or len(page.items) < self._longest)

    def _further(
        self, partition: Partition, page: Page, following: Cursor, room: Callable[[], int]
    ) -> tuple[Partition, ...]:
        full = len(page.items) == self.table.page_size
        mark = fingerprint(page)
        if not full or following.done or following.last is not None or room() < 1 or mark in self._handed_over:
            return ()  # the same page again: the offset is ignored, which shows soonest by reading on
        self._handed_over.add(mark)
        name = partition.name.partition(" from ")[0]
        return tuple(
            Partition(f"{name} from {first}", partition.query, partition.path, Cursor(offset=first, last=last))
            for first, last in ranges(following.offset, len(page.items))
        )

    def is_last(self, page: Page) -> bool:
        """A page shorter than asked for is the last one."""
        return len(page.items) < (self.table.page_size or 1)

    def extra_requests(self, first: Sequence[Page]) -> int:
        """One more, unless one list shows by its length how long a page can be."""
        return int(0 < max((len(page.items) for page in first), default=0) < (self.table.page_size or 1))
