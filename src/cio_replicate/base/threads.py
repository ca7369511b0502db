"""Calls that block, carried out on a thread of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class OnThread(Protocol):
    """Runs a blocking call on one certain thread, after the calls before it, and awaits its result."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]:
        """Run it."""
        ...
