"""Lets the pages of a part overlap, yet land in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Conveyor:
    """Each page is made ready while earlier ones still are, and lands once all earlier ones have landed.

    At most `ahead` pages are under way. The tasks belong to `group`, so that a page that fails ends all.
    """

    def __init__(self, group: asyncio.TaskGroup, ahead: int) -> None:
        self._group = group
        self._room = asyncio.Semaphore(ahead)
        self._last: asyncio.Task[None] | None = None

    async def put(self, ready: Callable[[], Awaitable[T]], land: Callable[[T], Awaitable[None]]) -> None:
        """Begin with a page, as soon as there is room for it."""
        await self._room.acquire()
        before = self._last

        async def page() -> None:
            try:
                result = await ready()
                if before is not None:
                    await asyncio.wait([before])
                    if before.cancelled() or before.exception() is not None:
                        return  # the group is about to end all
                await land(result)
            finally:
                self._room.release()

        self._last = self._group.create_task(page())

    async def emptied(self) -> None:
        """Return when all pages have landed."""
        if self._last is not None:
            await asyncio.wait([self._last])
