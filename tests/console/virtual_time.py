"""Simulated time: an event loop on which waiting takes none, in the order in which it would end, and its clock."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Moves the time on instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now."""
        assert timeout is not None, "everybody waits for somebody else"
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual.now


class VirtualClock:
    """The clock of such a loop."""

    def __init__(self, start: float) -> None:
        self._start = start

    def now(self) -> float:
        """Unix time."""
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        """The time of the loop."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let others go on meanwhile."""
        await asyncio.sleep(max(0.0, seconds))


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in simulated time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)
