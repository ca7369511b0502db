"""The rate limiter that all requests of a workspace share, its adaptive rate, and its usage."""

from __future__ import annotations

import asyncio
import bisect
import heapq
import itertools
import math
from dataclasses import dataclass
from typing import Self

from cio_replicate.base.runtime import Clock

# How many requests a second may go out: cut when the API refuses one, climbing again afterwards.


REDUCED = 0.93  # of the rate at which a request was refused
NEAR = 0.98  # of the same: here the rate stays for some seconds
CLIMB = 1.5e-5  # of the allowed rate, per second cubed
LEAST = 0.1  # of the allowed rate: below it no cut goes


@dataclass(frozen=True, slots=True)
class AdaptiveRate:
    """The rate as a function of time. `allowed` is never exceeded; a new one starts with it.

    After a cut the rate comes back to just below where the refusal came, stays near it for some seconds, and then
    climbs ever faster, in search of room that others have left: the curve of TCP's CUBIC (RFC 9438). It takes no longer
    than a minute from anywhere to the allowed rate.
    """

    allowed: float
    refused: float = math.inf  # the rate at which the last refusal came
    since: float = -math.inf  # from when on it climbs

    def rate(self, now: float) -> float:
        """Requests per second at `now`, in monotonic seconds."""
        if self.refused == math.inf:
            return self.allowed
        growth = CLIMB * self.allowed
        level = math.cbrt((NEAR - REDUCED) * self.refused / growth)  # seconds until it is near again
        climbed = NEAR * self.refused + growth * (max(0.0, now - self.since) - level) ** 3
        return min(self.allowed, max(LEAST * self.allowed, climbed))

    def cut(self, now: float, sent: float, resumes: float) -> Self:
        """The pace after a refusal at `now`, when `sent` requests went out in the second before it.

        What was really sent counts rather than what was allowed: refused below the rate, others use the API too. One
        cut no more than halves, though, since a single second tells little. It climbs from `resumes` on, in monotonic
        seconds.
        """
        rate = self.rate(now)
        return type(self)(self.allowed, max(min(rate, sent), rate / 2), resumes)


# What became of a request budget: how much of it was used, and how much refusals took.


class RateUsage:
    """Keeps count of turns. All moments are monotonic seconds, and come in ascending order.

    `allowed` is requests per second, `spacing` the seconds between two turns when nobody refuses any.
    """

    def __init__(self, allowed: float, spacing: float) -> None:
        self.allowed = allowed
        self.turns = 0
        self.lost = 0.0  # seconds that callers waited longer than the spacing alone would have made them
        self._spacing = spacing
        self._last: float | None = None
        self._reading = 0.0
        self._idle = 0.0

    @property
    def reading(self) -> float:
        """Seconds from the first turn to the end of the last."""
        return self._reading + self._spacing if self.turns else 0.0

    @property
    def achieved(self) -> float:
        """Requests per second in the time when somebody waited for a turn, or the last one was not over yet."""
        return self.turns / (self.reading - self._idle) if self.turns else 0.0

    @property
    def used(self) -> float:
        """The share of the budget that was used while reading, from 0 to 1."""
        return min(1.0, self.turns / (self.allowed * self.reading)) if self.turns else 0.0

    def took(self, now: float, since: float, due: float) -> None:
        """A turn was given at `now`, waited for since `since`; pauses and pace had it due at `due`."""
        self.turns += 1
        if self._last is not None:
            over = self._last + self._spacing
            self._reading += now - self._last
            self._idle += max(0.0, since - over)
            self.lost += max(0.0, min(now, due) - max(over, since))
        self._last = now

    def took_back(self) -> None:
        """The caller of the last turn did not use it."""
        self.turns -= 1


#: Turns, and a whole second of them, are this much wider apart than the rate alone asks for. Requests take a little
#: longer or shorter to arrive; without room for that, the API counts an eleventh in a second now and then and answers
#: 429, which costs more than these two per cent.
SLACK = 1.022
MOST_LATE = 0.25  # seconds of lateness that are made up for: after a longer standstill turns do not come in a crowd


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one request.

    `at` is when it was given, in monotonic seconds; `sent` how many requests went out in the second up to it, this one
    included, or infinite if a pause makes that number mean nothing; `queued` how many seconds its caller waited for
    others, pauses not counted.
    """

    at: float
    sent: float
    queued: float = 0.0


class RateLimiter:
    """Hands out turns to send a request: the most urgent first, and in the order in which they were asked for.

    No span of one second holds more than `per_second` turns, measured from when a request was really sent, however many
    callers there are and however late the loop wakes up. Within that, turns are evenly spaced, and one that came late
    delays none of those that follow. Below `per_second` the rate follows the API's refusals (`Pace`).
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self.per_second = per_second
        self.account = RateUsage(per_second, SLACK / per_second)
        self._clock = clock
        self._pace = AdaptiveRate(per_second)
        self._next = 0.0
        self._paused_from = self._paused_until = self._paused_before = 0.0
        self._cut_at = float("-inf")
        self._most = max(1, int(per_second))
        self._window = SLACK * self._most / per_second
        self._sent: list[float] = []  # when the last `_most` requests were sent, in ascending order
        self._asked = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[Permit]]] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def rate(self) -> float:
        """Requests per second that may be sent now: `per_second`, or less after refusals."""
        return self._pace.rate(self._clock.monotonic())

    @property
    def spare(self) -> bool:
        """Whether a turn could be had right now: nobody waits for one, and the next is not in the future."""
        return not self._somebody_waits() and self._due() <= self._clock.monotonic()

    async def turn(self, urgency: int = 0) -> Permit:
        """Return when the caller may send one request; of those who wait, the lowest `urgency` goes first.

        A caller that is cancelled spends no turn.
        """
        now = self._clock.monotonic()
        if self.spare:
            return self._take(now, now)
        paused = self._paused(now)
        place: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._asked), place))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._give_turns(now))
        try:
            turn = await place
        except asyncio.CancelledError:
            if not place.cancelled():  # its turn had just come
                self._take_back(place.result())
            raise
        waited = turn.at - now - (self._paused(turn.at) - paused)
        return Permit(turn.at, turn.sent, max(0.0, waited))

    def sent(self, turn: Permit) -> None:
        """Tell that the request of `turn` went out only now: until then its connection was being made."""
        self._forget(turn.at)
        bisect.insort(self._sent, self._clock.monotonic())

    def refused(self, turn: Permit, seconds: float) -> None:
        """Give no turn to anybody for so long, and fewer afterwards: the API said that the bucket is empty.

        All refusals of requests that were sent before the last cut count as one with it.
        """
        self.pause(seconds)
        if turn.at > self._cut_at:
            self._cut_at = self._clock.monotonic()
            self._pace = self._pace.cut(self._cut_at, turn.sent, self._paused_until)

    def pause(self, seconds: float) -> None:
        """Give no turn to anybody for so long."""
        now = self._clock.monotonic()
        if now > self._paused_until:
            self._paused_before += self._paused_until - self._paused_from
            self._paused_from = self._paused_until = now
        self._paused_until = max(self._paused_until, now + seconds)
        self._next = max(self._next, self._paused_until)

    def _paused(self, now: float) -> float:
        """Seconds of all pauses up to now."""
        return self._paused_before + min(now, self._paused_until) - self._paused_from

    def _due(self) -> float:
        if len(self._sent) < self._most:
            return self._next
        return max(self._next, self._sent[-self._most] + self._window)

    def _somebody_waits(self) -> bool:
        while self._waiting and self._waiting[0][-1].done():
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def _take(self, now: float, since: float) -> Permit:
        """A turn at `now`, for which somebody has waited since `since`."""
        late = min(now - self._next, MOST_LATE) if now > since else 0.0
        self.account.took(now, since, self._next)
        self._next = now - late + SLACK / self._pace.rate(now)
        del self._sent[: -self._most]
        bisect.insort(self._sent, now)
        whole = now - self._paused_until >= 1.0
        return Permit(now, len(self._sent) - bisect.bisect_right(self._sent, now - 1.0) if whole else math.inf)

    def _take_back(self, turn: Permit) -> None:
        self._forget(turn.at)
        self.account.took_back()
        self._next = min(self._next, max(self._clock.monotonic(), self._paused_until))

    def _forget(self, moment: float) -> None:
        place = bisect.bisect_left(self._sent, moment)
        if self._sent[place : place + 1] == [moment]:
            del self._sent[place]

    async def _give_turns(self, since: float) -> None:
        """Live while somebody waits."""
        while self._somebody_waits():
            if (wait := self._due() - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
                continue
            heapq.heappop(self._waiting)[-1].set_result(self._take(self._clock.monotonic(), since))
            await asyncio.sleep(0)  # the caller sends before the next turn is thought of
