"""Read by time windows: spans that are due, and how long spans are cut and read side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.source.pages import Cursor, Page, Request
from cio_replicate.source.strategies.base import (
    DAY,
    IN_COPY,
    START,
    Estimate,
    PageCount,
    Partition,
    PastReads,
    Priority,
    ReadScope,
    Step,
    Strategy,
    extrapolated,
)
from cio_replicate.source.strategies.log import anchor, in_order, new_rows
from cio_replicate.source.values import times_reader

#: A delivery is opened and clicked for six months and converts within 90 days (live), most of it soon. So one is read
#: again when it gets this old, in days, besides being read on every run while it is recent.
MILESTONES = (30, 60, 90, 180)


def due_spans(start: int, now: int, base: Checkpoint | None, recent_days: int) -> list[tuple[int, int]]:
    """The creation times (unix seconds, both included) whose deliveries a run that begins `now` reads, oldest first.

    All since the start date when there is no position. Else what is new or recent, what passed a milestone of its age
    since the last run, and what an earlier start date adds:

      start      base.start                180         90        60        30 days old       now
        |▒▒▒▒▒▒▒▒▒▒▒▒|- - - - - - - - - - -|▒▒|- - - - |▒▒|- - - |▒▒|- - - |▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒|
    """
    if base is None:
        return [(start, now)] if start <= now else []
    due = [(anchor(base) - recent_days * DAY, now), (start, base.start - 1)]
    due += [(base.through - days * DAY, now - days * DAY) for days in MILESTONES]
    return merged((max(first, start), min(end, now)) for first, end in due)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same seconds in as few spans as hold them, in order; spans that end before they begin hold none."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(span for span in spans if span[0] <= span[1]):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result


#: A request spans at most six months and a wider one is cut in silence; the shortest six months have 181 days.
WINDOW = 180 * DAY
#: Each slice ends with a page that is not full, which costs up to a request: few per cent with so many pages. Spans are
#: only cut as far as it takes to use up the budget.
LEAST_PAGES = 4
MOST_PAGES = 40
#: How much denser than on average the rest of a span may be taken to be because its last page was.
DENSER = 4.0
ALIKE = 1.25
#: A slice is made a little shorter than its pages, since a single row too many costs a request.
FILLED = 0.98
#: With fewer pages than this left in a window, the next one begins where the last page ended, so that pages stay full.
LAST_PAGES = 1.5


@dataclass(slots=True)
class Density:
    """How many rows a table has per second, over all that was read of it so far."""

    rows: int = 0
    seconds: int = 0
    pages: int = 0
    longest_page: int = 0

    def add(self, rows: int, newest: int, oldest: int) -> None:
        """A page was read."""
        self.pages += 1
        self.rows += rows
        self.seconds += abs(newest - oldest)
        self.longest_page = max(self.longest_page, rows)

    @property
    def per_second(self) -> float:
        """Rows per second."""
        return self.rows / max(1, self.seconds)


def left_over(first: int, window_first: int, usual: Density, room: int) -> list[tuple[int, int]]:
    """What is left of a span that begins at `first` when its newest window is read to its end.

    Read at once, window by window, if there is `room` for more and a window is not expected to fill a page; then
    nothing is gained by going on from page to page.
    """
    if first >= window_first:
        return []
    sparse = usual.per_second * WINDOW < max(1, usual.longest_page)
    if not sparse or room < 1:
        return [(first, window_first - 1)]
    return [(max(first, last - WINDOW + 1), last) for last in range(window_first - 1, first - 1, -WINDOW)]


@dataclass(frozen=True, slots=True)
class PageSpan:
    """A page of a span: its rows, and the creation times (unix seconds) of its first and last one.

    `newest_first` looks at all of its rows.
    """

    rows: int
    newest: int
    oldest: int
    newest_first: Callable[[], bool]


def divided(
    bounds: tuple[int, int], window_first: int, page: PageSpan, usual: Density, room: int
) -> list[tuple[int, int]]:
    """What is left of a span after a page, if it is to be read otherwise than by the page's own token; else nothing.

    The page must come newest first, as the API gives them (live): then whatever the span still holds is as old as the
    page's last row or older. If there is `room` to read more at once and much is left, it is cut, so that all parts
    but the oldest have some full pages by the density of this page. If the window is nearly read, the next one begins
    at the page's last row, since the window's last page would be short.

    bounds[0]              window_first              oldest         newest
        |- - - older - - - - -|- -||- - - newer - - - |███ page ███|
                                                      of this very second rows may be left, so it is read again
    """
    first, last = bounds
    if not page.oldest < page.newest <= last:
        return []  # rows of one second show nothing, and rows from beyond the span that it is not kept to
    here = page.rows / (page.newest - page.oldest)
    spans: list[tuple[int, int]] = []
    pages = min(here, DENSER * usual.per_second) * (page.oldest - first) / page.rows
    if room > 0 and pages >= 2 * LEAST_PAGES:
        # where a page is about as dense as all before it, those tell more exactly, and the more the more there are
        alike = 1 / ALIKE < here / usual.per_second < ALIKE
        newer = min(room, int(pages) // LEAST_PAGES - 1, usual.pages + 1 if alike else 1)
        rows = FILLED * int(min(pages / (newer + 1), MOST_PAGES)) * page.rows
        spans = slices(first, page.oldest, round(rows / (usual.per_second if alike else here)), newer)
    elif first < window_first and max(here, usual.per_second) * (page.oldest - window_first) < LAST_PAGES * page.rows:
        spans = [(first, page.oldest)]
    return spans if spans and page.newest_first() else []


def slices(first: int, last: int, seconds: int, newer: int) -> list[tuple[int, int]]:
    """The seconds `first` to `last` as up to `newer` slices of so many, newest first, and the rest; or nothing."""
    spans: list[tuple[int, int]] = []
    seconds = max(1, seconds)
    while len(spans) < newer and last - seconds >= first:
        spans.append((last - seconds + 1, last))
        last -= seconds
    return [*spans, (first, last)] if spans else []


def bounds_of(partition: Partition) -> tuple[int, int]:
    """The first and the last second of a span."""
    return int(partition.query["start_ts"]), int(partition.query["end_ts"])


def window_of(partition: Partition) -> tuple[int, int]:
    """The first and the last second that a request for a span reaches: its newest, no more than `WINDOW` of them."""
    first, last = bounds_of(partition)
    return max(first, last - WINDOW + 1), last


def span(first: int, last: int) -> Partition:
    """The partition that reads what was created from second `first` to `last`, both included, newest first.

    It may be longer than a request reaches; then it ends with its newest window, and hands over what is left.
    """
    return Partition(f"{first}-{last}", {"start_ts": str(first), "end_ts": str(last)})


class WindowsStrategy(Strategy):
    """Read the spans of creation time that are due, cut while they are read as the density of their rows shows."""

    by_time = True
    chained = False  # a span can be cut
    countable = False

    def __init__(self, table: Table, scope: ReadScope) -> None:
        super().__init__(table, scope)
        self._times_of = times_reader(table)
        self._density = Density()

    def partitions(self) -> list[Partition]:
        """The spans that are due."""
        scope = self.scope
        return [span(*one) for one in due_spans(scope.start, scope.now, scope.base, scope.rules.recent_days)]

    def between(self, first: int, last: int) -> list[Partition]:
        """One span."""
        return [span(first, last)]

    def added(self, partitions: Sequence[Partition], now: int) -> list[Partition]:
        """The time since the last span ended."""
        ended = max((bounds_of(one)[1] for one in partitions), default=now)
        return [span(ended + 1, now)] if ended < now else []

    @property
    def reads_all(self) -> bool:
        """Whether nothing was read before."""
        return self.scope.base is None

    def priority(self, partition: Partition, cursor: Cursor) -> Priority:
        """First pages show how dense a span is."""
        return Priority.FIRST if cursor == START else Priority.WINDOW

    def request(self, partition: Partition, cursor: Cursor) -> Request:
        """The request for a page of the newest window of a span."""
        query = {**partition.query, "start_ts": str(window_of(partition)[0]), **self.place(cursor)}
        return self.request_with(partition, query, cursor)

    def advance(self, partition: Partition, cursor: Cursor, page: Page, room: Callable[[], int]) -> Step:
        """Go on by token, or hand over to what the window leaves of the span, or to several spans read at once."""
        following = self.following(partition, cursor, page)
        spans = self._onward(partition, page, room(), ended=following.done)
        items = page.items
        if spans and not following.done:  # the rows of the page's oldest second come again where it is read on
            rows = zip(page.items, self._times_of(page), strict=True)
            items = [item for item, at in rows if at != spans[0][1]]
        done = following.done or bool(spans)
        return Step(items, replace(following, done=done), tuple(span(*bounds) for bounds in spans))

    def _onward(self, partition: Partition, page: Page, room: int, *, ended: bool) -> list[tuple[int, int]]:
        first, window_first = bounds_of(partition)[0], window_of(partition)[0]
        ends = self._times_of(Page([page.items[0], page.items[-1]], "")) if page.items else []
        if ends:
            self._density.add(len(page.items), ends[0], ends[-1])
        if ended:
            return left_over(first, window_first, self._density, room)
        if not ends:
            return []
        seen = PageSpan(len(page.items), ends[0], ends[-1], lambda: in_order(self._times_of(page)))
        return divided(bounds_of(partition), window_first, seen, self._density, room)

    def progress(self, partitions: Sequence[Partition], reached: Mapping[str, int]) -> float | None:
        """How much of the time is read: rows come newest first."""
        spans = {one.name: bounds_of(one) for one in partitions}
        whole = sum(last - first + 1 for first, last in merged(spans.values()))
        left = 0
        for one in partitions:
            first, last = spans[one.name]
            if not one.cursor.done:
                left += min(reached.get(one.name, last), last) - first
        return 1 - max(0, left) / max(1, whole)

    def estimate(self, past: PastReads) -> Estimate | None:
        """By the rows that the copy has of the spans that are due."""
        scope, table = self.scope, self.table
        if scope.base is None:
            return None
        rows, requests = 0, 0
        for first, last in due_spans(scope.start, scope.now, scope.base, scope.rules.recent_days):
            there = past.rows_between(table, first, last) + (new_rows(table, scope, past) if last == scope.now else 0)
            rows += there
            requests += max(_windows(first, last), ceil(there / (table.page_size or 1)))
        return Estimate(table.name, requests, requests, rows, IN_COPY)

    def pages_of(self, partition: Partition, page: Page) -> PageCount:
        """One request a window at least; as many rows as on the first page, all over the span."""
        count, windows = len(page.items), _windows(*bounds_of(partition))
        if not page.next:
            return PageCount(windows, windows, count, estimated=windows > 1)
        guess = extrapolated(self.times(page), bounds_of(partition)[0])
        if guess is None:
            return PageCount(windows + 1, None, count, estimated=True)
        requests = max(windows, ceil(guess / max(1, count)))
        return PageCount(requests, requests, guess, estimated=True)


def _windows(first: int, last: int) -> int:
    """How many requests it takes at least to reach all of a span."""
    return ceil((last - first + 1) / WINDOW)
