"""Cuts a window of deliveries in two when it turns out to hold many pages: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: A slice ends with a page that is half full on average, so one of so many pages costs some six per cent more requests
#: at worst; slices are only cut while requests could be sent that nobody has.
LEAST_PAGES = 8
MOST_PAGES = 40
#: How much denser than on average the rest of a window may be taken to be because its last page was.
DENSER = 4.0


@dataclass(slots=True)
class Density:
    """How many rows a table has per second, over all that was read of it so far."""

    rows: int = 0
    seconds: int = 0

    def add(self, rows: int, newest: int, oldest: int) -> None:
        """A page was read."""
        self.rows += rows
        self.seconds += newest - oldest

    @property
    def per_second(self) -> float:
        """Rows per second."""
        return self.rows / max(1, self.seconds)


def cut(first: int, times: Sequence[int], usual: Density) -> list[tuple[int, int]]:
    """The seconds that are left of a window after a page, in two slices; nothing when that is not worth a request.

    `first` is where the window begins, `times` the creation times of the page (unix seconds). They must come newest
    first, as the API gives them (live): then whatever the window still holds is as old as the page's last row or older.
    The newer slice gets some pages' worth of time, as dense as this page; the older the rest.

      first                                          oldest         newest
        |- - - - older slice - - - -||- newer slice -|███ page ███|
                                     c               rows of this very second may be on both sides
    """
    if not times or any(after > before for before, after in pairwise(times)):
        return []
    newest, oldest = times[0], times[-1]
    here = len(times) / max(1, newest - oldest)
    pages = min(here, DENSER * usual.per_second) * (oldest - first) / len(times)
    if pages < 2 * LEAST_PAGES:
        return []
    newer = min(pages / 2, MOST_PAGES)
    middle = oldest - max(1, round(newer * len(times) / here))
    return [(first, middle), (middle + 1, oldest)] if first < middle else []


def lies_before(moment: int, page: Sequence[int], first_page: Sequence[int]) -> bool:
    """Whether a page of a log, and so all that follows, lies before `moment`.

    That holds only for a list that comes newest first, so the page must be in that order and lie wholly after the
    list's first page, which must be newer; a first page alone shows no order.
    """
    if not page or not first_page or any(after > before for before, after in pairwise(page)):
        return False
    return page[0] < moment and page[0] <= first_page[-1] and page[-1] < first_page[0]
