"""The one request budget of a workspace, shared by every caller."""

from __future__ import annotations

import asyncio

from cio_replicate.base.clock import Clock

#: Requests arrive a little earlier or later than they were sent; without room for that, the API counts an eleventh in a
#: second now and then and answers 429, which costs more than these two per cent.
SLACK = 1.02


class Budget:
    """Hands out turns to send a request, in the order in which they were asked for.

    Two turns are never closer than `SLACK / per_second`, measured from when a turn was really given, so no span of one
    second holds more than `per_second` of them, however many callers there are and however late the loop wakes up.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self.per_second = per_second
        self._interval = SLACK / per_second
        self._clock = clock
        self._next = 0.0
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Return when the caller may send one request."""
        async with self._queue:
            while (wait := self._next - self._clock.monotonic()) > 0:
                await self._clock.sleep(wait)
            self._next = self._clock.monotonic() + self._interval

    def pause(self, seconds: float) -> None:
        """Give no turn to anybody for so long: the API said that the bucket is empty."""
        self._next = max(self._next, self._clock.monotonic() + seconds)
