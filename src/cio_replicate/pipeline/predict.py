"""What a run will cost, told without a request: from what is in the copy and what the last run needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol

from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.read_state import log_columns, people_named
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Reading, Table
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies.base import Priority, urgency_of
from cio_replicate.source.strategies.people import BATCH
from cio_replicate.source.strategies.windows import DAY, WINDOW, anchor, due_spans, log_until, reads_whole

IN_COPY, LAST_RUN = "rows in the copy", "last run"
RECENT = 30 * DAY  # the time by which it is judged how many rows come in


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one table will cost. `most` is None when there is no telling; `rows` when nothing told.

    `error` is set instead when the API did not let the table in, `refused` when it was the key that it refused.
    """

    table: str
    least: int
    most: int | None
    rows: int | None
    basis: str
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class RequestSpeed:
    """How fast requests can be sent: so many per second, and the seconds that an answer takes (0: not known)."""

    per_second: float
    answer_time: float = 0.0

    def seconds(self, table: Table, requests: int) -> float:
        """The least time that these requests for a table take; of a list without shortcut each waits for the last."""
        chained = urgency_of(table, Cursor()) is Priority.CHAIN
        return requests * max(1 / self.per_second, self.answer_time if chained else 0.0)

    def together(self, requests: Mapping[str, int]) -> float:
        """The least time that requests for tables of these names take, side by side."""
        longest = max((self.seconds(table_named(name), count) for name, count in requests.items()), default=0.0)
        return max(sum(requests.values()) / self.per_second, longest)


class Copy(Protocol):
    """What a copy can be asked."""

    def count(self, table: Table, column: str, first: int, last: int) -> int:
        """How many rows that are not deleted have a moment in this column from `first` to `last` (unix seconds)."""
        ...

    def live(self, table: Table) -> int:
        """How many rows are not deleted."""
        ...

    def find(
        self, table: Table, columns: Sequence[str], *, after: tuple[str, int] | None = None
    ) -> list[tuple[Any, ...]]:
        """The columns of rows whose moment in a column is not before one."""
        ...


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs have left: the copy, its positions, and the last complete report of each table.

    `log` is the log of activities as the copy has it.
    """

    copy: Copy | None = None
    positions: Mapping[str, Checkpoint] = field(default_factory=dict)
    last: Mapping[str, TableReport] = field(default_factory=dict)
    log: Table = field(default_factory=lambda: table_named("activities"))


def last_complete(reports: Sequence[Report]) -> dict[str, TableReport]:
    """The newest report of a whole read of each table; `reports` are newest first."""
    found: dict[str, TableReport] = {}
    for report in reports:
        for one in report.tables:
            if one.status is Status.COMPLETE and not one.continued:
                found.setdefault(one.name, one)
    return found


def predicted(table: Table, start: int, now: int, past: History, rules: RereadPolicy) -> Estimate | None:
    """What a run that begins `now` costs for a table with a position; None when earlier runs do not tell."""
    base, last = past.positions.get(table.name), past.last.get(table.name)
    if base is None or past.copy is None:
        return None
    if table.reading is Reading.WINDOWS:
        return _of_deliveries(table, start, now, base, past.copy, rules)
    if table.reading is Reading.PEOPLE:
        return (
            of_changes(table, now, base, past)
            if not reads_whole(table, base, now, rules)
            else _of_all(table, past.copy)
        )
    if table.retention_days is not None and base.last_whole != base.through:
        return _of_log(table, now, base, past.copy, rules)
    if table.retention_days is not None and not reads_whole(table, base, now, rules):
        return _of_log(table, now, base, past.copy, rules)
    return Estimate(table.name, last.requests, last.requests, last.read, LAST_RUN) if last is not None else None


def people_requests(table: Table, people: int) -> int:
    """The requests that reading so many people costs: the list, and their attributes."""
    return max(1, ceil(people / (table.page_size or 1))) + ceil(people / BATCH)


def _of_all(table: Table, copy: Copy) -> Estimate:
    count = copy.live(table)
    requests = people_requests(table, count)
    return Estimate(table.name, requests, requests, count, IN_COPY)


def of_changes(table: Table, now: int, base: Checkpoint, past: History) -> Estimate:
    """The cost of listing everybody and asking for those whom the log will name, if as many as in the time before."""
    assert past.copy is not None  # noqa: S101 - the caller has looked
    people = past.copy.live(table)
    log = past.positions.get("activities")
    since = (anchor(log) if log is not None else base.through) - (now - base.through)
    named = people_named(past.copy.find(past.log, log_columns(past.log), after=(past.log.name_of("timestamp"), since)))
    changed = len(named.cio_ids) + len(named.ids)
    requests = ceil(people / (table.page_size or 1)) + ceil(changed / BATCH)
    return Estimate(table.name, requests, requests, changed, IN_COPY)


def _of_deliveries(table: Table, start: int, now: int, base: Checkpoint, copy: Copy, rules: RereadPolicy) -> Estimate:
    column, rows, requests = table.start_date_column or "", 0, 0
    for first, last in due_spans(start, now, base, rules.recent_days):
        there = copy.count(table, column, first, last) + (_new(table, now, base, copy) if last == now else 0)
        rows += there
        requests += max(ceil((last - first + 1) / WINDOW), ceil(there / (table.page_size or 1)))
    return Estimate(table.name, requests, requests, rows, IN_COPY)


def _of_log(table: Table, now: int, base: Checkpoint, copy: Copy, rules: RereadPolicy) -> Estimate:
    until = log_until(table, base, now, rules)
    reach = until if until is not None else anchor(base) - (table.retention_days or 0) * DAY
    rows = copy.count(table, table.start_date_column or "", reach, now) + _new(table, now, base, copy)
    pages = ceil(rows / (table.page_size or 1))
    # one page tells that the rest is known, one whether the lists with and without deleted people are the same
    requests = pages + len(table.slices) - 1 + (until is not None)
    return Estimate(table.name, requests, requests, rows, IN_COPY)


def _new(table: Table, now: int, base: Checkpoint, copy: Copy) -> int:
    """How many rows have come in since the last read, if as many as before."""
    end = anchor(base)
    recent = copy.count(table, table.start_date_column or "", end - RECENT, end)
    return round(recent / RECENT * max(0, now - base.through))
