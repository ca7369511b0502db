"""Events of a run, the progress computed from them, their log lines, and the port of the renderer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from cio_replicate.base.text import counted, number

# What happens during a run.


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
    """What the run has spent of its request budget so far, every few seconds. `used` is a share, from 0 to 1."""

    requests: int = 0
    throttled: int = 0
    allowed: float = 0.0
    used: float = 0.0


Event = RunStarted | TableStarted | PageStaged | BatchWritten | TableEnded | NoteAdded | RateUsageChanged

#: Gets every event, from the event loop's thread, in order; must return quickly.
Listener = Callable[[Event], None]


WAITING, ASKING, READING, LOADING = "waiting", "asking", "reading", "loading"
COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class TableProgress:
    """One table. `began` and `ended` are seconds of a steady clock, `done` is the share read, if known."""

    table: str
    status: str = WAITING
    rows: int = 0
    pages: int = 0
    requests: int = 0
    done: float | None = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    began: float | None = None
    ended: float | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ended is not None

    def rate(self, now: float) -> float | None:
        """Rows per second since it began; None before a second has gone by."""
        if self.began is None:
            return None
        seconds = (self.ended if self.ended is not None else now) - self.began
        return self.rows / seconds if seconds >= 1 else None

    def seconds_left(self, now: float) -> float | None:
        """How long it will still be read, going by what is done; None when that is not known."""
        if self.began is None or self.is_over or self.status != READING or not self.done:
            return None
        return (now - self.began) * (1 - self.done) / self.done


@dataclass(frozen=True, slots=True)
class RunProgress:
    """All tables of a run, in their order."""

    began: float
    lines: Mapping[str, TableProgress]
    source: str = ""
    destination: str = ""
    spent: RateUsageChanged = RateUsageChanged()

    @property
    def rows(self) -> int:
        """Rows staged by this run."""
        return sum(line.rows for line in self.lines.values())

    @property
    def requests(self) -> int:
        """Requests sent by this run, as far as pages show."""
        return sum(line.requests for line in self.lines.values())

    @property
    def over(self) -> int:
        """How many tables have ended."""
        return sum(line.is_over for line in self.lines.values())

    @property
    def failed(self) -> int:
        """How many tables have failed."""
        return sum(line.error is not None for line in self.lines.values())


def new_standing(tables: Iterable[str], now: float) -> RunProgress:
    """A standing in which every table still waits."""
    return RunProgress(now, MappingProxyType({name: TableProgress(name) for name in tables}))


def after(standing: RunProgress, event: Event, now: float) -> RunProgress:
    """How it stands after an event."""
    match event:
        case RunStarted(api=api, destination=destination, tables=tables):
            lines = {  # what is not read was complete already
                name: line if name in tables else replace(line, status=COMPLETE, ended=now)
                for name, line in standing.lines.items()
            }
            return replace(standing, source=api, destination=destination, lines=MappingProxyType(lines))
        case TableStarted(table=table):
            return _with(standing, table, status=ASKING, began=now)
        case PageStaged(table=table, rows=rows, pages=pages, requests=requests, done=done):
            status = LOADING if done == 1 else READING
            return _with(standing, table, rows=rows, pages=pages, requests=requests, done=done, status=status)
        case BatchWritten(table=table, inserted=inserted, updated=updated, deleted=deleted):
            return _with(standing, table, inserted=inserted, updated=updated, deleted=deleted)
        case TableEnded(table=table, status=status, error=error):
            return _with(standing, table, status=status, error=error, ended=now)
        case RateUsageChanged():
            return replace(standing, spent=event)
        case NoteAdded():
            return standing


def _with(standing: RunProgress, table: str, **changed: Any) -> RunProgress:  # noqa: ANN401 - fields of the line
    line = replace(standing.lines.get(table, TableProgress(table)), **changed)
    return replace(standing, lines=MappingProxyType({**standing.lines, table: line}))


# The progress of a run: numbers and our own sentences, never a row's value or a secret.


INFO, WARNING, ERROR = "info", "warning", "error"
LONGEST = 1_000  # characters of a line


class TableProgressEvent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One table so far. `done` is the share that was read, `left` the seconds that reading still takes, if known."""

    name: str
    status: str = "waiting"
    rows: int = 0
    pages: int = 0
    requests: int = 0
    done: float | None = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    rate: float | None = None  # rows per second
    left: float | None = None
    error: str | None = None


class Progress(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run so far. `allowed` is requests per second, `used` the share of the budget, from 0 to 1."""

    seconds: float = 0.0
    requests: int = 0
    throttled: int = 0
    allowed: float = 0.0
    used: float = 0.0
    tables: list[TableProgressEvent] = []

    @property
    def rows(self) -> int:
        """Rows read by this run."""
        return sum(table.rows for table in self.tables)


class LogLine(msgspec.Struct, frozen=True):
    """A line of a run's log. `at` is unix seconds."""

    at: int
    level: str
    text: str


def progress_of(standing: RunProgress, now: float) -> Progress:
    """The progress of a run. `now` is of the same steady clock."""
    return Progress(
        seconds=round(max(0.0, now - standing.began), 1),
        requests=max(standing.requests, standing.spent.requests),
        throttled=standing.spent.throttled,
        allowed=standing.spent.allowed,
        used=standing.spent.used,
        tables=[
            TableProgressEvent(
                name=line.table,
                done=None if line.done is None else round(line.done, 3),
                rate=_rounded(line.rate(now)),
                left=_rounded(line.seconds_left(now)),
                **{name: getattr(line, name) for name in _SAME},
            )
            for line in standing.lines.values()
        ],
    )


#: What the progress of a table and its event have in common.
_SAME = ("status", "rows", "pages", "requests", "inserted", "updated", "deleted", "error")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


# What is said of a run's events, a line each.


def problem(event: Event) -> str | None:
    """The line for an event that even a quiet run shows."""
    match event:
        case TableEnded(table=table, status="failed", error=error):
            return f"{table}: failed. {error or ''}".rstrip()
        case NoteAdded(text=text, table=table):
            return f"{table}: {text}" if table else text
    return None


def line_of(event: Event, standing: RunProgress) -> str | None:
    """The line that a log gets for an event, if any."""
    match event:
        case RunStarted(api=api, destination=destination):
            return f"Access OK for every table. Copying from {api} into {destination}."
        case TableStarted(table=table, resumed=True):  # all begin at once, which needs no line each
            return f"{table}: goes on where the last run stopped"
        case TableEnded(table=table, status=status, error=None):
            line = standing.lines[table]
            return f"{table}: {status}, {counted(line.rows, 'row')} read, {changes(line)}"
    return problem(event)


def changes(line: TableProgress) -> str:
    """What a table's rows changed in the copy, in words."""
    parts = [
        f"{number(count)} {word}"
        for count, word in ((line.inserted, "new"), (line.updated, "changed"), (line.deleted, "deleted"))
        if count
    ]
    return ", ".join(parts) or "nothing changed"


# Who shows a run while it goes on, as the run knows it.


class Renderer(AbstractContextManager["Renderer"], Protocol):
    """Shows a run, from one thread. `seconds` is how often it wants a beat. Leaving it ends what it shows."""

    seconds: float

    def tell(self, event: Event) -> None:
        """Show an event."""
        ...

    def beat(self) -> None:
        """Called every so many seconds: show that the run is alive."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence about the run as a whole."""
        ...
