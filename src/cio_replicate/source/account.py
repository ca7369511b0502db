"""What became of a request budget: how much of it was used, and how much refusals took."""

from __future__ import annotations


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
