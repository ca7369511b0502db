"""How often somebody may try to log in: a handful at once, then ever so often, and never not at all."""

from __future__ import annotations

import threading
from collections import OrderedDict

from cio_replicate.base.runtime import Clock

MOST_KEPT = 10_000


class LoginThrottle:
    """Lets a few tries of a key through at once, and then one per `pause` seconds.

    Of `MOST_KEPT` keys it is known how often they tried; a further one takes the place of the one seen longest ago.
    """

    def __init__(self, clock: Clock, at_once: int, pause: float) -> None:
        self._clock = clock
        self._at_once = at_once
        self._pause = pause
        self._free_at: OrderedDict[str, float] = OrderedDict()  # when all tries of a key will be there again
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until this key may try again; zero means that it may now, and that this counts as a try."""
        now = self._clock.monotonic()
        with self._lock:
            free_at = max(self._free_at.get(key, now), now) + self._pause
            late = free_at - now - self._at_once * self._pause
            if late > 0:
                return late
            self._free_at[key] = free_at
            self._free_at.move_to_end(key)
            while len(self._free_at) > MOST_KEPT:
                self._free_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """The last try of this key does not count: it was the right one, of however many others."""
        with self._lock:
            if key in self._free_at:
                self._free_at[key] -= self._pause

    def forget(self, key: str) -> None:
        """No try of this key counts any more: it was the right one."""
        with self._lock:
            self._free_at.pop(key, None)
