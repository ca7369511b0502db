"""Pages that overlap, and land in order."""

from __future__ import annotations

import asyncio

import pytest

from cio_replicate.base.runtime import tasks
from cio_replicate.source.stream import Conveyor


def test_pages_land_in_order_whatever_gets_ready_first() -> None:
    """A later page that is ready waits for the earlier ones."""
    landed: list[int] = []

    async def scenario() -> None:
        ready = [asyncio.Event() for _ in range(5)]

        async def make(number: int) -> int:
            await ready[number].wait()
            return number

        async def land(number: int) -> None:
            landed.append(number)

        async with tasks() as group:
            belt = Conveyor(group, 5)
            for number in range(5):
                await belt.put(lambda number=number: make(number), land)  # type: ignore[misc]
            for event in reversed(ready):
                assert landed == []
                event.set()
                await asyncio.sleep(0)
            await belt.emptied()

    asyncio.run(scenario())
    assert landed == [0, 1, 2, 3, 4]


def test_no_more_pages_are_under_way_than_there_is_room_for() -> None:
    """So memory is bounded by their number."""
    most = 0

    async def scenario() -> None:
        under_way = 0

        async def make() -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)

        async def land(_: None) -> None:
            nonlocal under_way
            await asyncio.sleep(0)
            under_way -= 1

        async with tasks() as group:
            belt = Conveyor(group, 3)
            for _ in range(20):
                await belt.put(make, land)
            await belt.emptied()

    asyncio.run(scenario())
    assert most == 3


def test_after_a_page_that_fails_nothing_lands() -> None:
    """Its own error is raised, and a page behind it would leave a gap."""
    landed: list[int] = []

    async def scenario() -> None:
        async def make(number: int) -> int:
            if number == 1:
                raise ValueError("this one")
            return number

        async def land(number: int) -> None:
            await asyncio.sleep(0)
            landed.append(number)

        async with tasks() as group:
            belt = Conveyor(group, 10)
            for number in range(4):
                await belt.put(lambda number=number: make(number), land)  # type: ignore[misc]
            await belt.emptied()

    with pytest.raises(ValueError, match="this one"):
        asyncio.run(scenario())
    assert landed in ([], [0])
