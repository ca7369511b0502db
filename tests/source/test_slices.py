"""How a long span of deliveries is read on, and where a log may end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.source.strategies.log import in_order, lies_before
from cio_replicate.source.strategies.offset import ranges
from cio_replicate.source.strategies.windows import (
    LEAST_PAGES,
    MOST_PAGES,
    WINDOW,
    Density,
    PageSpan,
    divided,
    left_over,
    slices,
)

FIRST = 1_700_000_000
DAY = 86_400


def _page(newest: int, seconds_apart: float, rows: int = 1000) -> list[int]:
    return [int(newest - number * seconds_apart) for number in range(rows)]


def _seen(times: list[int]) -> PageSpan:
    return PageSpan(len(times), times[0], times[-1], lambda: in_order(times))


def _density(times: list[int]) -> Density:
    density = Density()
    density.add(len(times), times[0], times[-1])
    return density


def _divided(first: int, times: list[int], room: int = 5, usual: Density | None = None) -> list[tuple[int, int]]:
    last = max(times[0], times[-1])
    return divided((first, last), max(first, last - WINDOW + 1), _seen(times), usual or _density(times), room)


def test_a_long_span_is_cut_and_no_second_left_out() -> None:
    """The slices meet, begin where the span begins and end at the oldest second of the page."""
    times = _page(FIRST + 90 * DAY, 60)
    newer, older = _divided(FIRST, times, room=1)
    assert older[0] == FIRST
    assert older[1] + 1 == newer[0]
    assert newer[1] == times[-1]


def test_the_newer_slice_holds_some_full_pages() -> None:
    """As many as make the half-full last page cheap, by the density of the page."""
    times = _page(FIRST + 90 * DAY, 60)
    newer = _divided(FIRST, times)[0]
    pages = (newer[1] - newer[0]) / 60 / 1000
    assert LEAST_PAGES * 0.9 <= pages <= MOST_PAGES


def test_nothing_is_cut_while_all_requests_are_taken() -> None:
    """More at once would gain nothing, and costs a request."""
    assert _divided(FIRST, _page(FIRST + 90 * DAY, 60), room=0) == []


def test_a_span_of_few_pages_is_not_cut() -> None:
    """Another slice costs a request, which is too much of few."""
    assert _divided(FIRST, _page(FIRST + 8 * 1000 * 60, 60)) == []


def test_a_single_burst_does_not_make_a_span_long() -> None:
    """A thousand deliveries in a minute say little of months that had few until then."""
    usual = Density()
    usual.add(2000, FIRST + 200 * DAY, FIRST + 100 * DAY)
    assert _divided(FIRST, _page(FIRST + 100 * DAY, 0.06), usual=usual) == []


@pytest.mark.parametrize("room", [0, 5])
def test_a_page_that_is_not_newest_first_divides_nothing(room: int) -> None:
    """Then nobody knows what the span still holds."""
    times = _page(FIRST + 400 * DAY, 15_000)
    mixed = [times[0], *times[500:], *times[1:500], times[-1]]
    assert _divided(FIRST, times, room) != []
    assert _divided(FIRST, times[::-1], room) == []
    assert _divided(FIRST, mixed, room) == []


@pytest.mark.parametrize("room", [0, 5])
def test_a_page_from_beyond_the_span_divides_nothing(room: int) -> None:
    """An API that does not keep to the span would give the same page again, and again."""
    times = _page(FIRST + 400 * DAY, 15_000)
    assert divided((FIRST, times[-1]), FIRST + 100 * DAY, _seen(times), _density(times), room) == []


def test_deliveries_of_one_second_divide_nothing() -> None:
    """There is no time between them."""
    assert _divided(FIRST, [FIRST + 400 * DAY] * 1000) == []


def test_a_nearly_read_window_is_left_for_the_next() -> None:
    """Its last page would be short; the window that begins at the page's last row has a full one."""
    times = _page(FIRST + 400 * DAY, 12_000)  # 139 of 180 days
    assert _divided(FIRST, times, room=0) == [(FIRST, times[-1])]
    assert _divided(times[0] - WINDOW + 1, times, room=0) == []


def test_what_a_window_leaves_is_read_next() -> None:
    """One after another while there is no room, or where pages are full."""
    dense = _density(_page(FIRST + 90 * DAY, 60))
    assert left_over(FIRST, FIRST, dense, 5) == []
    assert left_over(FIRST, FIRST + 400 * DAY, dense, 5) == [(FIRST, FIRST + 400 * DAY - 1)]
    sparse = Density(3, DAY, longest_page=1000)
    assert left_over(FIRST, FIRST + 400 * DAY, sparse, 0) == [(FIRST, FIRST + 400 * DAY - 1)]


def test_sparse_windows_are_read_side_by_side() -> None:
    """Each costs a request anyway."""
    spans = left_over(FIRST, FIRST + 400 * DAY, Density(3, DAY, longest_page=1000), 5)
    assert len(spans) == 3
    assert min(spans)[0] == FIRST
    assert max(last for _, last in spans) == FIRST + 400 * DAY - 1
    assert sum(last - first + 1 for first, last in spans) == 400 * DAY


class _Source:
    """Deliveries by creation time, as the API gives them."""

    def __init__(self, times: list[int], page_size: int) -> None:
        self.times = sorted(times)
        self.page_size = page_size
        self.requests = 0

    def pages(self, first: int, last: int) -> list[list[int]]:
        """A window's pages, newest first."""
        there = self.times[bisect_left(self.times, first) : bisect_right(self.times, last)][::-1]
        return [there[at : at + self.page_size] for at in range(0, len(there), self.page_size)] or [[]]


def _read(source: _Source, first: int, last: int, rooms: list[int]) -> set[int]:
    """Read a span as a reader does, with as much room at each step as told; which moments came."""
    spans, came, density, step = [(first, last)], set[int](), Density(), 0
    while spans:
        a, b = spans.pop()
        window = max(a, b - WINDOW + 1)
        pages = source.pages(window, b)
        for number, page in enumerate(pages):
            source.requests += 1
            came |= set(page)
            step += 1
            room = rooms[step % len(rooms)]
            if page:
                density.add(len(page), page[0], page[-1])
            if number + 1 == len(pages):
                spans += left_over(a, window, density, room)
            elif onward := divided((a, b), window, _seen(page), density, room):
                spans += onward
                break
    return came


MOMENTS = st.lists(st.integers(0, 900 * DAY), max_size=300)
BURSTS = st.lists(st.tuples(st.integers(0, 900 * DAY), st.integers(1, 200), st.integers(0, 5)), max_size=3)


@given(even=MOMENTS, bursts=BURSTS, size=st.integers(2, 12), rooms=st.lists(st.integers(0, 6), min_size=1, max_size=9))
def test_every_delivery_comes_however_they_lie_and_whenever_there_is_room(
    even: list[int], bursts: list[tuple[int, int, int]], size: int, rooms: list[int]
) -> None:
    """Cuts and windows leave no moment out, with bursts, in one second, at the edges."""
    times = [*even, *(at + number * apart // 7 for at, count, apart in bursts for number in range(count))]
    source = _Source(times, size)
    assert _read(source, 0, 1000 * DAY, rooms) == set(times)


@pytest.mark.parametrize("rooms", [[0], [5]])
def test_evenly_sent_deliveries_cost_hardly_more_than_full_pages(rooms: list[int]) -> None:
    """Within one in twenty of the fewest requests, cut or not."""
    source = _Source([number * 20 for number in range(2_000_000)], 1000)
    _read(source, 0, 2_000_000 * 20, rooms)
    assert source.requests <= 2000 * 1.05


def test_windows_cost_no_short_pages() -> None:
    """Twenty thousand deliveries over thirty months: twenty full pages, but for a row or two that come twice."""
    source = _Source([number * 3_900 for number in range(20_000)], 1000)
    _read(source, 0, 900 * DAY, [0])
    assert source.requests <= 21


def test_a_log_ends_with_a_whole_page_before_the_moment() -> None:
    """One entry that is not older keeps the list going."""
    first = _page(FIRST + 1000, 1, 100)
    assert lies_before(FIRST, _page(FIRST - 1, 1, 100), first)
    assert not lies_before(FIRST, _page(FIRST, 1, 100), first)


def test_a_first_page_alone_never_ends_a_log() -> None:
    """It does not show that the list comes newest first."""
    page = _page(FIRST - 1, 1, 100)
    assert not lies_before(FIRST, page, page)


def test_a_log_that_comes_oldest_first_never_ends_early() -> None:
    """Its later pages are the newer ones."""
    pages = [[FIRST - 900 + 100 * page + row for row in range(100)] for page in range(9)]
    assert not any(lies_before(FIRST, page, pages[0]) for page in pages)
    assert not any(lies_before(FIRST, page[::-1], pages[0][::-1]) for page in pages)


def test_entries_of_one_second_never_end_a_log() -> None:
    """They show no order either."""
    assert not lies_before(FIRST, [FIRST - 5] * 100, [FIRST - 5] * 100)


def test_a_page_without_times_never_ends_a_log() -> None:
    """An entry whose moment cannot be read may be of any time."""
    assert not lies_before(FIRST, [], [FIRST + 5])


@given(
    first=st.integers(0, 10**6),
    length=st.integers(0, 10**6),
    seconds=st.integers(0, 10**6),
    newer=st.integers(0, 12),
)
def test_slices_hold_each_second_once(first: int, length: int, seconds: int, newer: int) -> None:
    """Newest first, without a gap; a span that cannot be cut stays one."""
    made = slices(first, first + length, seconds, newer)
    assert len(made) != 1
    assert len(made) <= newer + 1
    if made:
        assert (made[0][1], made[-1][0]) == (first + length, first)
        assert all(later[1] == earlier[0] - 1 for earlier, later in pairwise(made))
        assert all(a <= b for a, b in made)


def test_the_more_is_known_the_more_slices_are_made_at_once() -> None:
    """A single page may be a burst; pages that are alike are trusted with as many slices as there is room for."""
    times = _page(FIRST + 90 * DAY, 60)
    assert len(_divided(FIRST, times, room=11)) == 3
    usual = Density()
    for _ in range(10):
        usual.add(1000, times[0], times[-1])
    assert len(_divided(FIRST, times, room=11, usual=usual)) == 12


@given(rows=st.integers(0, 60_000))
def test_ranges_of_a_list_hold_each_row_once(rows: int) -> None:
    """Handing over from range to range reads every page once, and asks at most two requests too many."""
    page_rows, asked, open_ranges = 1_000, [], list[tuple[int, int | None]]([(0, None)])
    while open_ranges:
        first, last = open_ranges.pop()
        while last is None or first < last:
            asked.append(first)
            if rows - first < page_rows:
                break
            first += page_rows
            if last is None:
                open_ranges += ranges(first, page_rows)
                break
    pages = -(-rows // page_rows)
    assert len(asked) == len(set(asked))
    assert set(range(0, rows, page_rows)) <= set(asked)
    assert len(asked) <= pages + 2
