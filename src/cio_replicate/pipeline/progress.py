"""What is told of a run while it goes on: numbers and our own sentences, never a row's value or a secret."""

from __future__ import annotations

import msgspec

from cio_replicate.pipeline.events import RunProgress

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
    """How a run stands, as it is told. `now` is of the same steady clock."""
    return Progress(
        seconds=round(max(0.0, now - standing.began), 1),
        requests=max(standing.requests, standing.spent.requests),
        throttled=standing.spent.throttled,
        allowed=standing.spent.allowed,
        used=standing.spent.used,
        tables=[
            TableProgressEvent(
                name=line.table,
                status=line.status,
                rows=line.rows,
                pages=line.pages,
                requests=line.requests,
                done=None if line.done is None else round(line.done, 3),
                inserted=line.inserted,
                updated=line.updated,
                deleted=line.deleted,
                rate=_rounded(line.rate(now)),
                left=_rounded(line.seconds_left(now)),
                error=line.error,
            )
            for line in standing.lines.values()
        ],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
