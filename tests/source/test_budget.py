"""The request budget."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.runtime import SystemClock
from cio_replicate.source.rate_limiter import SLACK, Permit, RateLimiter
from customerio_simulator.gate import SlidingWindow
from tests.manual_clock import ManualClock


class LateClock(ManualClock):
    """Wakes sleepers late, as a busy event loop does."""

    def __init__(self, late: float) -> None:
        super().__init__(0.0)
        self.late = late

    async def sleep(self, seconds: float) -> None:
        """Move on by more than was asked for."""
        await super().sleep(seconds + self.late)


async def _turns(budget: RateLimiter, clock: ManualClock, callers: int, each: int, late: float = 0.0) -> list[float]:
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
    moments = asyncio.run(_turns(RateLimiter(rate, clock), clock, callers, 8, late))
    assert _most_in_a_second(moments) <= max(1, rate)


def test_the_whole_budget_is_used() -> None:
    """Callers that always have work get every turn there is, but for the slack that keeps the API from saying 429."""
    clock = ManualClock(0.0)
    moments = asyncio.run(_turns(RateLimiter(10.0, clock), clock, callers=4, each=25))
    assert moments[-1] == pytest.approx(9.9 * SLACK)


def test_an_idle_time_saves_nothing_up() -> None:
    """After a rest there is no burst."""

    async def scenario() -> list[float]:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        await budget.turn()
        clock.time = 100.0
        return await _turns(budget, clock, callers=3, each=2)

    moments = asyncio.run(scenario())
    assert [round(moment - 100.0, 6) for moment in moments] == [round(0.1 * SLACK * turn, 6) for turn in range(6)]


def test_a_pause_holds_everybody() -> None:
    """When the API says that its bucket is empty, nobody sends until it has room again."""

    async def scenario() -> float:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        await budget.turn()
        budget.pause(7.0)
        await budget.turn()
        return clock.time

    assert asyncio.run(scenario()) == pytest.approx(7.0)


def test_the_most_urgent_goes_first() -> None:
    """Of those who wait, the lowest urgency has the next turn, and equals have it in the order of asking."""

    async def scenario() -> list[str]:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
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
        budget = RateLimiter(10.0, clock)
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
        budget = RateLimiter(10.0, clock)
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


@pytest.mark.parametrize(("rate", "late"), [(10.0, 0.01), (10.0, 0.03), (1_000.0, 0.0012)])
def test_waking_up_late_costs_nothing(rate: float, late: float) -> None:
    """Turns are counted from when they were due, so a loop that wakes up late does not lower the rate."""
    clock = LateClock(late)
    turns = round(rate * 5)
    moments = asyncio.run(_turns(RateLimiter(rate, clock), clock, callers=5, each=turns // 5))
    assert turns / (moments[-1] - moments[0]) >= 0.95 * rate
    assert _most_in_a_second(moments) <= rate


def test_a_standstill_is_not_made_up_for() -> None:
    """After the machine slept for an hour, turns do not come in a crowd."""

    async def scenario() -> float:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        await budget.turn()
        caller = asyncio.create_task(_turns(budget, clock, callers=1, each=6))
        await asyncio.sleep(0)
        clock.time += 3_600.0
        moments = await caller
        return moments[-1] - moments[0]

    assert asyncio.run(scenario()) >= 0.2


def test_a_request_counts_from_when_it_went_out() -> None:
    """A connection that takes long to make moves its request into a later second, which then has room for fewer."""

    async def scenario() -> list[float]:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        first = await budget.turn()
        clock.time = 0.09
        budget.sent(first)
        return [0.09, *await _turns(budget, clock, callers=2, each=10)]

    moments = asyncio.run(scenario())
    assert moments[10] - moments[0] >= 1.0
    assert moments[9] == pytest.approx(0.9 * SLACK)


def test_refusals_of_one_moment_are_one_cut() -> None:
    """Requests that were under way together are refused together, which says the same thing only once."""

    async def scenario() -> tuple[float, float, float]:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        turns = [await budget.turn() for _ in range(12)]
        budget.refused(turns[-1], 1.0)
        first = budget.rate
        for turn in turns:
            budget.refused(turn, 1.0)
        same = budget.rate
        budget.refused(await budget.turn(), 1.0)
        return first, same, budget.rate

    first, same, later = asyncio.run(scenario())
    assert 10.0 > first == same > later


def test_a_pause_is_no_sign_of_traffic() -> None:
    """The second after a pause holds few requests because of the pause, so the cut does not go by them."""

    async def scenario() -> float:
        clock = ManualClock(0.0)
        budget = RateLimiter(10.0, clock)
        budget.refused(await budget.turn(), 1.0)
        rate = budget.rate
        budget.refused(await budget.turn(), 1.0)
        return budget.rate / rate

    assert asyncio.run(scenario()) > 0.9


async def _beside(others: dict[float, float], seconds: float, answer_time: float) -> tuple[list[float], list[float]]:
    """When requests passed and were refused beside traffic of `others`, requests per second from a moment on."""
    clock = ManualClock(0.0)
    budget, window = RateLimiter(10.0, clock), SlidingWindow()
    under_way: list[tuple[float, Permit]] = []
    passed, refused = [], []
    while clock.time < seconds:
        turn = await budget.turn()
        rate = [rate for since, rate in others.items() if since <= clock.time][-1]
        window.let_others(clock.time, 10, rate=rate)
        if window.passes(clock.time, 10):
            passed.append(clock.time)
        else:
            refused.append(clock.time)
            under_way.append((clock.time + answer_time, turn))
        while under_way and under_way[0][0] <= clock.time:
            budget.refused(under_way.pop(0)[1], 1.0)
    return passed, refused


@pytest.mark.parametrize("answer_time", [0.05, 0.15, 0.8])
def test_it_takes_what_others_leave(answer_time: float) -> None:
    """Beside the customer's four requests a second it soon sends the other six or nearly, and is seldom refused."""
    passed, refused = asyncio.run(_beside({0.0: 4.0}, 180.0, answer_time))
    settled = sum(moment >= 60.0 for moment in passed) / 120.0
    assert 5.3 <= settled <= 6.0
    assert len(refused) <= 0.04 * len(passed)


def test_it_takes_back_what_others_give_up() -> None:
    """When the customer's traffic ends, the whole rate is reached again within a minute."""
    passed, _ = asyncio.run(_beside({0.0: 4.0, 60.0: 0.0}, 180.0, 0.15))
    assert sum(120.0 <= moment < 180.0 for moment in passed) / 60.0 >= 9.5


def test_alone_it_is_never_refused() -> None:
    """A server that counts any second, wherever it begins, never refuses, and nearly all of its rate is used."""
    passed, refused = asyncio.run(_beside({0.0: 0.0}, 60.0, 0.15))
    assert refused == []
    assert len(passed) >= 0.95 * 600


def test_the_end_of_the_program_does_not_wait_for_turns() -> None:
    """A run that ends while somebody waits for a turn leaves nothing behind."""

    async def scenario() -> None:
        budget = RateLimiter(10.0, SystemClock())
        budget.pause(3_600.0)
        waits = asyncio.create_task(budget.turn())
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.wait([waits])

    asyncio.run(scenario())
