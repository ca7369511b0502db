"""The parts of a read, and the request for each page of one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies import strategy_class, strategy_of
from cio_replicate.source.strategies.base import DAY, Partition, ReadScope, Strategy
from cio_replicate.source.strategies.windows import WINDOW, bounds_of, span, window_of

MESSAGES = table("messages")
SECOND = st.integers(1_325_376_000, 1_900_000_000)
SIX_SHORTEST_MONTHS = 181 * DAY
LISTS = [one for one in TABLES if not strategy_class(one).by_time and one.parent is None]


def _strategy(of: Table, start: int = 0, now: int = 0) -> Strategy:
    return strategy_of(of, ReadScope(start, now))


def _bounds(parts: list[Partition]) -> list[tuple[int, int]]:
    return [(int(part.query["start_ts"]), int(part.query["end_ts"])) for part in parts]


@given(first=SECOND, length=st.integers(0, 15 * 366 * DAY))
def test_a_request_reaches_the_newest_window_of_a_span(first: int, length: int) -> None:
    """A request over more than six months is cut in silence, so none comes near it; less is asked for whole."""
    part = span(first, first + length)
    a, b = window_of(part)
    assert b == first + length
    assert b - a + 1 == min(length + 1, 180 * DAY)
    sent = parse_qs(urlsplit(_strategy(MESSAGES).request(part, part.cursor).target).query)
    assert (sent["start_ts"], sent["end_ts"]) == ([str(a)], [str(b)])


def test_a_window_fits_into_the_shortest_half_year() -> None:
    """Six months from any day of four years are longer than a window."""
    moments = [datetime(2023 + month // 12, month % 12 + 1, 1, tzinfo=UTC) for month in range(54)]
    shortest = min((later - one).days for one, later in zip(moments, moments[6:], strict=False))
    assert shortest == SIX_SHORTEST_MONTHS // DAY
    assert WINDOW < SIX_SHORTEST_MONTHS


def test_a_first_read_of_deliveries_is_one_span() -> None:
    """It reaches from the start date to now; how it is divided shows while it is read."""
    (part,) = _strategy(MESSAGES, 1_600_000_000, 1_700_000_000).partitions()
    assert bounds_of(part) == (1_600_000_000, 1_700_000_000)
    assert part.cursor == Cursor()


def test_a_start_date_ahead_of_the_clock_leaves_nothing_to_read() -> None:
    """A clock that went back behind the start date makes no window that runs backwards."""
    assert _strategy(MESSAGES, 1_700_000_000, 1_600_000_000).partitions() == []


@pytest.mark.parametrize("name", [one.name for one in LISTS])
def test_a_list_has_its_declared_parts_whatever_the_time(name: str) -> None:
    """Only windows depend on time."""
    one = table(name)
    parts = _strategy(one, 0, 1_700_000_000).partitions()
    assert [(part.name, part.query, part.path) for part in parts] == [(s.name, s.query, s.path) for s in one.slices]
    assert _strategy(one).added(parts, 1_800_000_000) == []
    assert [_strategy(one).declared(part) for part in parts] == list(one.slices)


@given(start=SECOND, length=st.integers(0, 6 * 366 * DAY), later=st.integers(-DAY, 400 * DAY))
def test_a_read_taken_up_again_covers_the_time_between(start: int, length: int, later: int) -> None:
    """The span of the first start and that added reach from the start date to now without a gap or an overlap."""
    ended = start + length
    parts = _strategy(MESSAGES, start, ended).partitions()
    more = _strategy(MESSAGES).added(parts, ended + later)
    bounds = _bounds([*parts, *more])
    assert all(after[0] == before[1] + 1 for before, after in pairwise(bounds))
    assert bounds[-1][1] == max(ended, ended + later)


def test_the_last_window_counts_wherever_it_stands() -> None:
    """What is added begins after the latest window, in whatever order the parts come."""
    parts = _strategy(MESSAGES, 1_600_000_000, 1_700_000_000).partitions()
    assert _bounds(_strategy(MESSAGES).added(parts[::-1], 1_700_000_100)) == [(1_700_000_001, 1_700_000_100)]


def test_the_request_of_a_window() -> None:
    """A window goes out with its bounds and the largest page; its first page has no token."""
    (part,) = _strategy(MESSAGES, 1_700_000_000, 1_700_086_399).partitions()
    request = _strategy(MESSAGES).request(part, part.cursor)
    sent = urlsplit(request.target)
    assert (request.method, sent.path) == ("GET", "/v1/messages")
    assert parse_qs(sent.query) == {"limit": ["1000"], "start_ts": ["1700000000"], "end_ts": ["1700086399"]}
    assert not request.resumes
    assert not request.part


def test_a_token_goes_along_and_marks_the_request() -> None:
    """A page token is sent to the letter, and a 400 then means the token."""
    (part,) = _strategy(MESSAGES, 1_700_000_000, 1_700_086_399).partitions()
    request = _strategy(MESSAGES).request(part, Cursor(token="a+/=&x"))
    assert parse_qs(urlsplit(request.target).query)["start"] == ["a+/=&x"]
    assert request.resumes


@pytest.mark.parametrize("offset", [0, 1000, 123_456])
def test_a_list_by_offset_counts_rows(offset: int) -> None:
    """Suppressions are read by offset, one part per list, whose name is a part of the path."""
    one = table("eps_suppression")
    parts = _strategy(one, 0, 0).partitions()
    requests = [_strategy(one).request(part, Cursor(offset=offset)) for part in parts]
    kinds = ["bounces", "blocks", "spam_reports", "invalid_emails"]
    assert sorted(urlsplit(each.target).path for each in requests) == sorted(f"/v1/esp/suppression/{k}" for k in kinds)
    for request in requests:
        assert parse_qs(urlsplit(request.target).query) == {"limit": ["1000"], "offset": [str(offset)]}
        assert request.part
        assert not request.resumes


@pytest.mark.parametrize("name", [one.name for one in TABLES])
def test_every_request_says_what_its_table_declares(name: str) -> None:
    """Method, path, body and page size come from the table, and no place in the path is left open."""
    one = table(name)
    for part in _strategy(one, 1_700_000_000, 1_700_000_000).partitions():
        request = _strategy(one).request(part, part.cursor)
        query = parse_qs(urlsplit(request.target).query)
        assert (request.method, request.body) == (one.http_method, one.body)
        assert query.get("limit") == ([str(one.page_size)] if one.page_size else None)
        assert ("offset" in query) == (one.strategy == "offset")
        assert "start" not in query
        assert "{" not in request.target


def test_hidden_and_visible_senders_are_asked_for_apart() -> None:
    """A part that differs by its query alone is still a part that may be missing at the source."""
    one = table("sender_identities")
    requests = [_strategy(one).request(part, part.cursor) for part in _strategy(one, 0, 0).partitions()]
    assert len({request.target for request in requests}) == len(requests) == 2
    assert any(request.part for request in requests)
