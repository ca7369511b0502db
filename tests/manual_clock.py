"""A clock that only a test moves: waiting takes no time, and is remembered."""

from __future__ import annotations

import asyncio


class ManualClock:
    """Starts at `start`; `sleep` moves it on at once. `slept` lists every wait."""

    def __init__(self, start: float = 1_760_000_000.0) -> None:
        self.time = start
        self.slept: list[float] = []

    def now(self) -> float:
        """Unix time."""
        return self.time

    def monotonic(self) -> float:
        """The same."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Move on."""
        self.slept.append(seconds)
        self.time += max(0.0, seconds)
        await asyncio.sleep(0)
