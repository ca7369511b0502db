"""Several calls at once, of which the first failure ends all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


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
