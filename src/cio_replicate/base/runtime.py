"""Time as an argument, threads for blocking calls, concurrent tasks, and the folder for state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import platformdirs

PRIVATE = 0o700  # folders of state are for their user only


class Clock(Protocol):
    """What the rest of the program knows of time. Seconds everywhere."""

    def now(self) -> float:
        """Unix time."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Unix time."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; returns at once for zero or less."""
        if seconds > 0:
            await asyncio.sleep(seconds)


T = TypeVar("T")


class OnThread(Protocol):
    """Runs a blocking call on one certain thread, after the calls before it, and awaits its result."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Run it."""
        ...


@asynccontextmanager
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks.

    When one fails the others are cancelled and waited for, and its own error is raised, not a group of errors.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as many:
        raise many.exceptions[0] from None


async def together(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all calls, in their order; errors as in `tasks`."""

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        return await call()

    async with tasks() as group:
        started = [group.create_task(one(call)) for call in calls]
    return [task.result() for task in started]


def default_root() -> Path:
    """Where the state of all tasks lives unless the user says otherwise: per user, by the system's own rules."""
    return platformdirs.user_state_path("cio-replicate", appauthor=False)
