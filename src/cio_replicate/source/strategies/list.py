"""Read a list that gives its pages one after another, whole each time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from cio_replicate.base.runtime import together
from cio_replicate.source.pages import Page
from cio_replicate.source.strategies.base import START, FetchPage, Opening, Partition, Strategy
from cio_replicate.source.values import key_text, record_of


class ListStrategy(Strategy):
    """Read every declared partition from its first page to its last, but for one that another one holds."""

    async def opening(self, new: Sequence[Partition], fetch: FetchPage) -> Opening:
        """Request first pages of partitions that can only be read well when those of others are known too."""
        by_name = {one.name: one for one in new}
        pages: dict[str, Page] = {}
        covered: list[Partition] = []
        for mine in new:
            theirs = by_name.get(self.declared(mine).covered_by or "")
            if theirs is None:
                continue
            found = await together([partial(fetch, one, START) for one in (theirs, mine)])
            pages |= {one.name: page for one, page in zip((theirs, mine), found, strict=True) if page is not None}
            if all(page is not None for page in found) and self._keys(found[0]) & self._keys(found[1]):
                covered.append(mine)
        return Opening(pages, covered)

    def _keys(self, page: Page | None) -> set[str]:
        return {key_text(record_of(item), self.table.key) for item in (page.items if page else ())} - {""}
