"""Where a window of deliveries is cut, and where a log may end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.extract.slices import LEAST_PAGES, MOST_PAGES, Density, cut, lies_before

FIRST = 1_700_000_000
DAY = 86_400


def _page(newest: int, seconds_apart: float, rows: int = 1000) -> list[int]:
    return [int(newest - number * seconds_apart) for number in range(rows)]


def _density(times: list[int]) -> Density:
    density = Density()
    density.add(len(times), times[0], times[-1])
    return density


def test_a_long_window_is_cut_in_two_that_leave_no_second_out() -> None:
    """The slices meet, begin where the window begins and end at the oldest second of the page."""
    times = _page(FIRST + 90 * DAY, 60)
    (older, newer) = cut(FIRST, times, _density(times))
    assert older[0] == FIRST
    assert older[1] + 1 == newer[0]
    assert newer[1] == times[-1]


def test_the_newer_slice_holds_some_full_pages() -> None:
    """As many as make the half-full last page cheap, by the density of the page."""
    times = _page(FIRST + 90 * DAY, 60)
    newer = cut(FIRST, times, _density(times))[1]
    pages = (newer[1] - newer[0]) / 60 / 1000
    assert LEAST_PAGES <= pages <= MOST_PAGES


def test_a_window_of_few_pages_is_not_cut() -> None:
    """Another slice costs a request, which is too much of few."""
    times = _page(FIRST + 15 * 1000 * 60, 60)
    assert cut(FIRST, times, _density(times)) == []


def test_a_single_burst_does_not_make_a_window_long() -> None:
    """A thousand deliveries in a minute say little of a year that had few until then."""
    usual = Density()
    usual.add(2000, FIRST + 200 * DAY, FIRST + 100 * DAY)
    assert cut(FIRST, _page(FIRST + 100 * DAY, 0.06), usual) == []


def test_a_page_that_is_not_newest_first_is_never_cut_at() -> None:
    """Then nobody knows what the window still holds."""
    times = _page(FIRST + 90 * DAY, 60)
    assert cut(FIRST, times[::-1], _density(times)) == []
    assert cut(FIRST, [*times[:500], times[0], *times[500:]], _density(times)) == []
    assert cut(FIRST, [], _density(times)) == []


def test_deliveries_of_one_second_are_not_cut() -> None:
    """There is no time between them."""
    assert cut(FIRST, [FIRST] * 1000, _density([FIRST] * 1000)) == []


@given(first=st.integers(0, 10**6), gaps=st.lists(st.integers(0, 1000), min_size=1, max_size=50), usual=st.floats(0, 9))
def test_slices_always_hold_what_is_left(first: int, gaps: list[int], usual: float) -> None:
    """Whatever the page, two slices without gap or overlap, or none."""
    times = [first + sum(gaps[number:]) for number in range(len(gaps))]
    slices = cut(first, times, Density(int(usual * 1000), 1000))
    if slices:
        (a, b), (c, d) = slices
        assert (a, b + 1, d) == (first, c, times[-1])
        assert a <= b
        assert c <= d


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
