"""What happens during a run, told to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The API has let every table in and reading begins."""

    run_id: str
    api: str
    destination: str
    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableStarted:
    """A table begins; `resumed` when it goes on where an interrupted run stopped."""

    table: str
    resumed: bool


@dataclass(frozen=True, slots=True)
class PageStaged:
    """A page is durable. `rows`, `pages` and `requests` are this run's so far; `done` is the share read, if known."""

    table: str
    rows: int
    pages: int
    requests: int
    done: float | None


@dataclass(frozen=True, slots=True)
class BatchWritten:
    """Rows are in the destination."""

    table: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class TableEnded:
    """A table is complete, failed or was interrupted."""

    table: str
    status: str
    error: str | None


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """Something the user should know that is no failure."""

    text: str
    table: str | None = None


@dataclass(frozen=True, slots=True)
class RateUsageChanged:
    """What the run has spent of its request budget so far; told every few seconds. `used` is a share, from 0 to 1."""

    requests: int = 0
    throttled: int = 0
    allowed: float = 0.0
    used: float = 0.0


Event = RunStarted | TableStarted | PageStaged | BatchWritten | TableEnded | NoteAdded | RateUsageChanged

#: Told every event, from the event loop's thread, in order; must return quickly.
Listener = Callable[[Event], None]
