"""Who shows a run while it goes on, as the run knows it."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from cio_replicate.pipeline import base_events as events


class Renderer(Protocol):
    """Shows a run. Used as a context manager, from one thread.

    `seconds` is how often it wants a beat.
    """

    seconds: float

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, leaving the terminal as it was."""
        ...

    def tell(self, event: events.Event) -> None:
        """Show an event."""
        ...

    def beat(self) -> None:
        """Called every so many seconds: show that the run is alive."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence about the run as a whole."""
        ...
