"""Read a log that its source forgets: whole now and then, else back to a day before the last read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.source.pages import Cursor, Page
from cio_replicate.source.strategies.base import (
    DAY,
    IN_COPY,
    Estimate,
    Partition,
    PastReads,
    ReadScope,
    ReadStats,
    Step,
)
from cio_replicate.source.strategies.list import ListStrategy
from cio_replicate.source.values import times_reader

#: How long before the last run something may have happened that the list did not show then, in seconds.
LOOKBACK = DAY
RECENT = 30 * DAY  # the time by which it is judged how many rows come in


def anchor(base: Checkpoint) -> int:
    """The moment of the last read on the source's clock, as far as its rows tell: ours may be ahead of it."""
    return base.through if base.latest is None else min(base.through, base.latest)


def is_due_whole(scope: ReadScope) -> bool:
    """Whether nothing was read before, or the last whole read began `full_every_days` ago."""
    return scope.base is None or scope.now - scope.base.last_whole >= scope.rules.full_every_days * DAY


def new_rows(table: Table, scope: ReadScope, past: PastReads) -> int:
    """How many rows have come in since the last read, if as many as before."""
    if scope.base is None:
        return 0
    end = anchor(scope.base)
    return round(past.rows_between(table, end - RECENT, end) / RECENT * max(0, scope.now - scope.base.through))


def in_order(times: Sequence[int]) -> bool:
    """Whether these come newest first."""
    return bool(times) and all(later <= earlier for earlier, later in pairwise(times))


def lies_before(moment: int, page: Sequence[int], first_page: Sequence[int]) -> bool:
    """Whether a page of a log, and so all that follows, lies before `moment`.

    That holds only for a list that comes newest first, so the page must be in that order and lie wholly after the
    list's first page, which must be newer; a first page alone shows no order.
    """
    if not first_page or not in_order(page):
        return False
    return page[0] < moment and page[0] <= first_page[-1] and page[-1] < first_page[0]


def gap(position: Checkpoint | None, tally: ReadStats, began: int, retention_days: int) -> tuple[int, int] | None:
    """The stretch of time (unix seconds) of which entries may be lost for good; None when there is none.

    Everything until `position.through` was read. The log surely reaches back `retention_days`, and as far as its
    oldest entry shows. If an entry that must still be there is not, it reaches back only to its oldest one.

             latest   through                 began - retention        began
        ─────────|───────|░░░░░░░░ gap ░░░░░░░░░░|━━━━━━━━ log ━━━━━━━━━━|
    """
    if position is None:
        return None
    sure = began - retention_days * DAY
    oldest = tally.earliest
    since = position.through
    reaches_back_to = sure if oldest is None else min(oldest, sure)
    latest = position.latest
    if latest is not None and latest >= sure and (oldest is None or oldest > latest):
        since = min(latest, since)  # an entry may bear a later time than that of its reading
        reaches_back_to = began if oldest is None else oldest
    return (since, reaches_back_to) if since < reaches_back_to else None


class LogStrategy(ListStrategy):
    """Read newest entries first, until one lies before `until`."""

    countable = False

    def __init__(self, table: Table, scope: ReadScope) -> None:
        super().__init__(table, scope)
        self._first_times: dict[str, Sequence[int]] = {}
        self._times_of = times_reader(table)
        #: The moment (unix seconds) back to which it reads; None when it reads to the end.
        self.until = None if scope.base is None or is_due_whole(scope) else anchor(scope.base) - LOOKBACK

    @property
    def reads_all(self) -> bool:
        """Whether nothing bounds the read."""
        return self.until is None

    def advance(self, partition: Partition, cursor: Cursor, page: Page, room: Callable[[], int]) -> Step:
        """As a list, until a page lies before `until`."""
        step = super().advance(partition, cursor, page, room)
        if self.until is None or step.cursor.done:
            return step
        times = self._times_of(page)
        first = self._first_times[partition.name] = self._first_times.get(partition.name) or times
        return replace(step, cursor=replace(step.cursor, done=lies_before(self.until, times, first)))

    def restarted(self, partition: Partition) -> None:
        """Forget the first page too."""
        super().restarted(partition)
        self._first_times.pop(partition.name, None)

    def estimate(self, past: PastReads) -> Estimate | None:
        """By the rows of the copy since `until`; a whole read after a whole read, by the last one."""
        base, table = self.scope.base, self.table
        if base is None:
            return None
        if self.reads_all and base.last_whole == base.through:
            return super().estimate(past)
        reach = self.until if self.until is not None else anchor(base) - (table.retention_days or 0) * DAY
        rows = past.rows_between(table, reach, self.scope.now) + new_rows(table, self.scope, past)
        pages = ceil(rows / (table.page_size or 1))
        # one page tells that the rest is known, one whether the lists with and without deleted people are the same
        requests = pages + len(table.slices) - 1 + (self.until is not None)
        return Estimate(table.name, requests, requests, rows, IN_COPY)

    def reach(self, partition: Partition, page: Page) -> int | None:
        """As far as the source keeps rows."""
        times = self.times(page)
        return max(times) - self.table.retention_days * DAY if self.table.retention_days and times else None
