"""What a run looks like at a moment: its events turned into numbers to show, without showing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from cio_replicate.pipeline import base_events as events

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
        """How long it will still be read, going by what is done; None when that cannot be told."""
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
    spent: events.RateUsageChanged = events.RateUsageChanged()  # noqa: RUF009 - a constant

    @property
    def rows(self) -> int:
        """Rows landed by this run."""
        return sum(line.rows for line in self.lines.values())

    @property
    def requests(self) -> int:
        """Requests sent by this run, as far as pages have told."""
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


def after(standing: RunProgress, event: events.Event, now: float) -> RunProgress:
    """How it stands after an event."""
    match event:
        case events.RunStarted(api=api, destination=destination, tables=tables):
            lines = {  # what is not read was complete already
                name: line if name in tables else replace(line, status=COMPLETE, ended=now)
                for name, line in standing.lines.items()
            }
            return replace(standing, source=api, destination=destination, lines=MappingProxyType(lines))
        case events.TableStarted(table=table):
            return _with(standing, replace(_line(standing, table), status=ASKING, began=now))
        case events.PageStaged(table=table, rows=rows, pages=pages, requests=requests, done=done):
            status = LOADING if done == 1 else READING
            line = replace(_line(standing, table), rows=rows, pages=pages, requests=requests, done=done, status=status)
            return _with(standing, line)
        case events.BatchWritten(table=table, inserted=inserted, updated=updated, deleted=deleted):
            return _with(standing, replace(_line(standing, table), inserted=inserted, updated=updated, deleted=deleted))
        case events.TableEnded(table=table, status=status, error=error):
            return _with(standing, replace(_line(standing, table), status=status, error=error, ended=now))
        case events.RateUsageChanged():
            return replace(standing, spent=event)
        case events.NoteAdded():
            return standing


def _line(standing: RunProgress, table: str) -> TableProgress:
    return standing.lines.get(table, TableProgress(table))


def _with(standing: RunProgress, line: TableProgress) -> RunProgress:
    return replace(standing, lines=MappingProxyType({**standing.lines, line.table: line}))
