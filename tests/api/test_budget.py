"""The request budget."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.api.budget import SLACK, Budget
from tests.manual_clock import ManualClock


async def _turns(budget: Budget, clock: ManualClock, callers: int, each: int, late: float = 0.0) -> list[float]:
    given: list[float] = []

    async def caller() -> None:
        for _ in range(each):
            await budget.turn()
            given.append(clock.monotonic())
            clock.time += late
            await asyncio.sleep(0)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return given


def _most_in_a_second(moments: list[float]) -> int:
    return max(sum(1 for other in moments if start <= other < start + 1.0 - 1e-6) for start in moments)


@given(
    rate=st.sampled_from([0.5, 1.0, 3.0, 10.0, 50.0]),
    callers=st.integers(1, 6),
    late=st.floats(0.0, 0.3),
)
def test_no_second_holds_more_than_the_budget(rate: float, callers: int, late: float) -> None:
    """However many callers there are and however late they wake up, no second holds more turns than the budget."""
    clock = ManualClock(1000.0)
    moments = asyncio.run(_turns(Budget(rate, clock), clock, callers, 8, late))
    assert _most_in_a_second(moments) <= max(1, rate)


def test_the_whole_budget_is_used() -> None:
    """Callers that always have work get every turn there is, but for the slack that keeps the API from saying 429."""
    clock = ManualClock(0.0)
    moments = asyncio.run(_turns(Budget(10.0, clock), clock, callers=4, each=25))
    assert moments[-1] == pytest.approx(9.9 * SLACK)


def test_an_idle_time_saves_nothing_up() -> None:
    """After a rest there is no burst."""

    async def scenario() -> list[float]:
        clock = ManualClock(0.0)
        budget = Budget(10.0, clock)
        await budget.turn()
        clock.time = 100.0
        return await _turns(budget, clock, callers=3, each=2)

    moments = asyncio.run(scenario())
    assert [round(moment - 100.0, 6) for moment in moments] == [round(0.1 * SLACK * turn, 6) for turn in range(6)]


def test_a_pause_holds_everybody() -> None:
    """When the API says that its bucket is empty, nobody sends until it has room again."""

    async def scenario() -> float:
        clock = ManualClock(0.0)
        budget = Budget(10.0, clock)
        await budget.turn()
        budget.pause(7.0)
        await budget.turn()
        return clock.time

    assert asyncio.run(scenario()) == pytest.approx(7.0)


def test_the_most_urgent_goes_first() -> None:
    """Of those who wait, the lowest urgency has the next turn, and equals have it in the order of asking."""

    async def scenario() -> list[str]:
        clock = ManualClock(0.0)
        budget = Budget(10.0, clock)
        came: list[str] = []

        async def caller(name: str, urgency: int) -> None:
            await budget.turn(urgency)
            came.append(name)

        await budget.turn()
        await asyncio.gather(caller("last", 2), caller("second", 1), caller("third", 1), caller("first", -1))
        return came

    assert asyncio.run(scenario()) == ["first", "second", "third", "last"]


def test_who_gives_up_spends_no_turn() -> None:
    """A cancelled caller loses its place, whether it waits or its turn has just come, and the next one gains by it."""

    async def scenario(steps: int) -> float:
        clock = ManualClock(0.0)
        budget = Budget(10.0, clock)
        await budget.turn()
        gone = asyncio.create_task(budget.turn())
        for _ in range(steps):
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        await budget.turn()
        return clock.time if gone.cancelled() else -1.0

    for steps in range(1, 4):
        assert asyncio.run(scenario(steps)) in (pytest.approx(0.1 * SLACK), -1.0)


def test_a_spare_turn_is_one_that_nobody_waits_for() -> None:
    """There is one at the start and after a rest, and none while the next is in the future or somebody waits."""

    async def scenario() -> list[bool]:
        clock = ManualClock(0.0)
        budget = Budget(10.0, clock)
        seen = [budget.spare]
        await budget.turn()
        seen.append(budget.spare)
        waits = asyncio.create_task(budget.turn())
        await asyncio.sleep(0)
        clock.time = 50.0
        seen.append(budget.spare)
        await waits
        clock.time = 100.0
        return [*seen, budget.spare]

    assert asyncio.run(scenario()) == [True, False, False, True]
