"""Read by time windows: spans that are due, and how long spans are cut and read side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cio_replicate.config.table_options import PeopleRefresh, RereadPolicy
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Reading, Table

# What of a table is due to be read in a run: pure decisions from its position and the rules of reading again.


DAY = 86_400
#: A delivery is opened and clicked for six months and converts within 90 days (live), most of it soon. So one is read
#: again when it gets this old, in days, besides being read on every run while it is recent.
MILESTONES = (30, 60, 90, 180)
#: How long before the last run something may have happened that the list did not show then, in seconds.
LOOKBACK = DAY


def reads_whole(table: Table, base: Checkpoint | None, began: int, rules: RereadPolicy) -> bool:
    """Whether a read that begins now takes in all that the source lists since the start date.

    Lists are always read whole. The log and people are, if their mode allows for less, when nothing was read before
    or the last whole read began `full_every_days` ago.
    """
    if base is None:
        return True
    if table.reading is Reading.WINDOWS:
        return False
    if table.retention_days is None and (table.reading is Reading.LIST or rules.people is PeopleRefresh.FULL):
        return True
    return began - base.last_whole >= rules.full_every_days * DAY


def log_until(table: Table, base: Checkpoint | None, began: int, rules: RereadPolicy) -> int | None:
    """The moment (unix seconds) back to which a log is read; None when it is read to its end."""
    if table.retention_days is None or base is None or reads_whole(table, base, began, rules):
        return None
    return anchor(base) - LOOKBACK


def anchor(base: Checkpoint) -> int:
    """The moment of the last read on the source's clock, as far as its rows tell: ours may be ahead of it."""
    return base.through if base.latest is None else min(base.through, base.latest)


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
#: A long list by offset is read in ranges of so many pages: each costs its first answer's time until the next begins.
STRIDE = 5
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


def ranges(offset: int, page_rows: int) -> list[tuple[int, int | None]]:
    """A list by offset from its row `offset` on: a range of some pages, and what follows it, whose end nobody knows.

    If the list ends within the range, the request for what follows was one too many.
    """
    middle = offset + STRIDE * page_rows
    return [(offset, middle), (middle, None)]


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
