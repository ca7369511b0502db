"""What a run looks like at a moment: its events turned into numbers to show, without showing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from cio_replicate.base import events

WAITING, ASKING, READING, LOADING = "waiting", "asking", "reading", "loading"
COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Line:
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
class Board:
    """All tables of a run, in their order."""

    began: float
    lines: Mapping[str, Line]
    source: str = ""
    destination: str = ""

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


def new_board(tables: Iterable[str], now: float) -> Board:
    """A board on which every table still waits."""
    return Board(now, MappingProxyType({name: Line(name) for name in tables}))


def after(board: Board, event: events.Event, now: float) -> Board:
    """The board after an event."""
    match event:
        case events.RunStarted(api=api, destination=destination, tables=tables):
            lines = {  # what is not read was complete already
                name: line if name in tables else replace(line, status=COMPLETE, ended=now)
                for name, line in board.lines.items()
            }
            return replace(board, source=api, destination=destination, lines=MappingProxyType(lines))
        case events.TableStarted(table=table):
            return _with(board, replace(_line(board, table), status=ASKING, began=now))
        case events.PageLanded(table=table, rows=rows, pages=pages, requests=requests, done=done):
            status = LOADING if done == 1 else READING
            line = replace(_line(board, table), rows=rows, pages=pages, requests=requests, done=done, status=status)
            return _with(board, line)
        case events.BatchLoaded(table=table, inserted=inserted, updated=updated, deleted=deleted):
            return _with(board, replace(_line(board, table), inserted=inserted, updated=updated, deleted=deleted))
        case events.TableEnded(table=table, status=status, error=error):
            return _with(board, replace(_line(board, table), status=status, error=error, ended=now))
        case events.Noted():
            return board


def _line(board: Board, table: str) -> Line:
    return board.lines.get(table, Line(table))


def _with(board: Board, line: Line) -> Board:
    return replace(board, lines=MappingProxyType({**board.lines, line.table: line}))
