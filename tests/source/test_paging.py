"""Pages, and where a list goes on or ends."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import EndlessListError, PageShapeError, TransientError
from cio_replicate.source.catalog import table
from cio_replicate.source.pages import MOST_EMPTY_PAGES, Cursor, Page, next_cursor, read_page
from cio_replicate.source.strategies.base import Partition, ReadScope
from cio_replicate.source.strategies.offset import OffsetStrategy


def _page(body: object) -> Page:
    return read_page(json.dumps(body).encode(), "rows")


def _next(place: Cursor, page: Page, seen: set[str] | None = None) -> Cursor:
    return next_cursor(place, page, set() if seen is None else seen)


def _offset(place: Cursor, page: Page) -> Cursor:
    strategy = OffsetStrategy(table("eps_suppression"), ReadScope(0, 0))
    return strategy.advance(Partition("all"), place, page, lambda: 0).cursor


def test_items_stay_as_received() -> None:
    """An item's text is not touched, whatever numbers it holds."""
    page = read_page(b'{"rows":[{"a":1.0,"b":123456789012345678901234567890,"c":1e400}],"next":"t"}', "rows")
    assert [bytes(item) for item in page.items] == [b'{"a":1.0,"b":123456789012345678901234567890,"c":1e400}']
    assert page.next == "t"


@pytest.mark.parametrize("body", [{"rows": None}, {"rows": []}, {"rows": None, "next": None}, {"rows": [], "next": ""}])
def test_null_is_an_empty_list(body: object) -> None:
    """A list may answer null, and its token may be null, empty or absent."""
    assert _page(body) == Page([], "")


@pytest.mark.parametrize(
    "body", [{}, {"other": []}, {"rows": {}}, {"rows": "x"}, {"rows": 3}, {"rows": [], "next": {}}, [], 1, "x", None]
)
def test_another_shape_is_an_error_and_no_end(body: object) -> None:
    """A page that is not of the promised shape never reads as an empty one."""
    with pytest.raises(PageShapeError):
        _page(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"rows":[{"id":1}', b'{"rows":[]', b'{"rows":["\xff"]}'])
def test_a_damaged_body_is_tried_again(body: bytes) -> None:
    """A body that was cut or garbled on the way is a passing fault."""
    with pytest.raises(TransientError):
        read_page(body, "rows")


def test_half_a_character_is_kept_as_its_escape() -> None:
    """A lone surrogate, which no database can hold, stays readable as the six characters that write it."""
    page = read_page(rb'{"rows":[{"a":"x\ud800y","b":"\ud83d\ude00","c":"\\ud800"}]}', "rows")
    assert json.loads(bytes(page.items[0])) == {"a": "x\\ud800y", "b": "\U0001f600", "c": "\\ud800"}


def test_a_list_ends_on_an_empty_token_only() -> None:
    """An empty page that names a next one is not the end."""
    place = _next(Cursor(), Page([], "a"))
    assert not place.done
    assert _next(place, Page([], "")).done


def test_a_token_that_comes_again_is_an_error() -> None:
    """A list that leads back to a page already read does not end."""
    seen: set[str] = set()
    place = _next(Cursor(), Page([], "a"), seen)
    place = _next(place, Page([], "b"), seen)
    with pytest.raises(EndlessListError):
        _next(place, Page([], "a"), seen)


def test_empty_pages_do_not_go_on_for_ever() -> None:
    """Ever new tokens with nothing behind them are an error, too."""
    seen: set[str] = set()
    place = Cursor()
    for number in range(MOST_EMPTY_PAGES):
        place = _next(place, Page([], str(number)), seen)
    with pytest.raises(EndlessListError):
        _next(place, Page([], "one more"), seen)


@given(total=st.integers(0, 5000), size=st.integers(1, 1000))
def test_offsets_reach_every_row_whatever_the_page_size(total: int, size: int) -> None:
    """By offset the whole list is read, whatever page size the server has."""
    rows = [bytes([65]) for _ in range(total)]
    place, read = Cursor(), 0
    while not place.done:
        items = rows[place.offset : place.offset + size]
        read += len(items)
        place = _offset(place, Page(items, ""))  # type: ignore[arg-type]
    assert read == total


def test_a_list_by_offset_ends_on_an_empty_page_only() -> None:
    """A page shorter than asked for may be one of a server with smaller pages."""
    assert not _offset(Cursor(), Page([b"1"] * 999, "")).done  # type: ignore[list-item]
    assert _offset(Cursor(offset=999), Page([], "")).done
