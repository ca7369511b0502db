"""Several calls at once, of which the first failure ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def together(calls: Iterable[Callable[[], Awaitable[T]]], at_once: int | None = None) -> list[T]:
    """The results of all calls, in their order, with at most `at_once` of them under way.

    When one fails the others are cancelled and waited for, and its own error is raised, not a group of errors.
    """
    slots = asyncio.Semaphore(at_once) if at_once else None

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        if slots is None:
            return await call()
        async with slots:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
    except BaseExceptionGroup as many:
        raise many.exceptions[0] from None
    return [task.result() for task in tasks]
