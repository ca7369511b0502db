"""The one request budget of a workspace, shared by every caller."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from cio_replicate.base.clock import Clock

#: Requests arrive a little earlier or later than they were sent; without room for that, the API counts an eleventh in a
#: second now and then and answers 429, which costs more than these two per cent.
SLACK = 1.02


class Budget:
    """Hands out turns to send a request: the most urgent first, and in the order in which they were asked for.

    Two turns are never closer than `SLACK / per_second`, measured from when a turn was really given, so no span of one
    second holds more than `per_second` of them, however many callers there are and however late the loop wakes up.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self.per_second = per_second
        self._interval = SLACK / per_second
        self._clock = clock
        self._next = 0.0
        self._asked = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._pump: asyncio.Task[None] | None = None

    @property
    def spare(self) -> bool:
        """Whether a turn could be had right now: nobody waits for one, and the next is not in the future."""
        return not self._somebody_waits() and self._next <= self._clock.monotonic()

    async def turn(self, urgency: int = 0) -> None:
        """Return when the caller may send one request; of those who wait, the lowest `urgency` goes first.

        A caller that is cancelled spends no turn.
        """
        if self.spare:
            self._take()
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._asked), place))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._give_turns())
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():  # its turn had just come
                self._next = self._clock.monotonic()
            raise

    def pause(self, seconds: float) -> None:
        """Give no turn to anybody for so long: the API said that the bucket is empty."""
        self._next = max(self._next, self._clock.monotonic() + seconds)

    def _somebody_waits(self) -> bool:
        while self._waiting and self._waiting[0][-1].done():
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def _take(self) -> None:
        self._next = self._clock.monotonic() + self._interval

    async def _give_turns(self) -> None:
        """Live while somebody waits."""
        while self._somebody_waits():
            if (wait := self._next - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
                continue
            self._take()
            heapq.heappop(self._waiting)[-1].set_result(None)
            await asyncio.sleep(0)  # the caller sends before the next turn is thought of
