"""What every destination can look up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cio_replicate.sinks.backend import NOT_DELETED, Condition, Operator, at_least, moment, one_of
from cio_replicate.sinks.port import Owner, Sink, count_rows
from tests.sinks.copies import Copy
from tests.sinks.pages import AT, Pages, close

A, B, C = ({"id": number, "name": name, "created": AT + number} for number, name in enumerate("abc", 1))


KEY, WRITTEN = "_cio_key", "_cio_synced_at"


def _between(column: str, first: int, last: int) -> list[Condition]:
    return [NOT_DELETED, at_least(column, first), Condition(column, Operator.AT_MOST, moment(last))]


@contextmanager
def _opened(copy: Copy) -> Iterator[Sink]:
    destination = copy.open()
    destination.open()
    destination.open(Owner(AT))
    yield destination
    destination.close()


@pytest.fixture
def filled(copy: Copy, pages: Pages) -> Iterator[Sink]:
    """Three campaigns: one that is deleted, one that was written later than the others."""
    first = pages.land(A, B)
    copy.write(pages.batch(first), pages.batch(pages.land(C, at=AT + 500)), pages.batch(close=close(pages.land(A, C))))
    with _opened(copy) as destination:
        yield destination


def test_rows_are_found_by_key(filled: Sink, pages: Pages) -> None:
    """Only those asked for, each once however often its key was named; a key that is not there finds nothing."""
    table = pages.fields.table
    found = filled.read(table, ["name", "_cio_key"], [NOT_DELETED, one_of(KEY, ["3", "1", "3", "9", ""])])
    assert sorted(found) == [("a", "1"), ("c", "3")]
    assert filled.read(table, ["name"], [NOT_DELETED, one_of(KEY, [])]) == []
    assert sorted(filled.read(table, ["id"], [NOT_DELETED])) == [(1,), (3,)]


def test_many_keys_at_once(copy: Copy, pages: Pages) -> None:
    """The number of keys is not bounded by a statement's length, and a key may hold anything."""
    odd = ["'", '"', "\\", "\x00", "é", "[1]", "NULL", ","]
    snippets = Pages(pages.land(A).parent / "snippets", "snippets")
    copy.write(snippets.batch(snippets.land(*({"name": one} for one in odd))))
    with _opened(copy) as destination:
        keys = [str(number) for number in range(20_000)] + odd
        found = destination.read(snippets.fields.table, ["_cio_key"], [NOT_DELETED, one_of(KEY, keys)])
        assert sorted(key for (key,) in found) == sorted(odd)


def test_deleted_rows_are_found_on_request(filled: Sink, pages: Pages) -> None:
    """They are left out unless they are asked for."""
    table = pages.fields.table
    assert filled.read(table, ["id"], [NOT_DELETED, one_of(KEY, ["2"])]) == []
    ((name, deleted),) = filled.read(table, ["name", "_cio_deleted_at"], [one_of(KEY, ["2"])])
    assert name == "b"
    assert deleted.timestamp() == AT + 60


def test_rows_are_found_by_the_time_of_their_writing(filled: Sink, pages: Pages) -> None:
    """From that second on; together with keys both must hold."""
    table = pages.fields.table
    assert filled.read(table, ["id"], [NOT_DELETED, at_least(WRITTEN, AT + 500)]) == [(3,)]
    assert filled.read(table, ["id"], [NOT_DELETED, at_least(WRITTEN, AT + 501)]) == []
    assert filled.read(table, ["id"], [NOT_DELETED, one_of(KEY, ["1"]), at_least(WRITTEN, AT)]) == [(1,)]
    assert filled.read(table, ["id"], [NOT_DELETED, one_of(KEY, ["1"]), at_least(WRITTEN, AT + 1)]) == []


def test_a_missing_column_holds_nothing(filled: Sink, pages: Pages) -> None:
    """As in a row whose record lacks the field."""
    assert filled.read(pages.fields.table, ["none", "id", "it's"], [NOT_DELETED, one_of(KEY, ["1"])]) == [
        (None, 1, None)
    ]


def test_rows_are_found_by_a_text(filled: Sink, pages: Pages) -> None:
    """Those that have one of several; a column that is not copied has none of them, nor does a table without it."""
    table = pages.fields.table
    assert sorted(filled.read(table, ["id"], [NOT_DELETED, one_of("name", ["a", "c", "x"])])) == [(1,), (3,)]
    assert filled.read(table, ["id"], [NOT_DELETED, one_of("none", ["a"])]) == []
    assert filled.read(table, ["id"], [NOT_DELETED, at_least("none", AT)]) == []


def test_rows_are_counted_by_a_moment(filled: Sink, pages: Pages) -> None:
    """Both ends belong to the span; deleted rows do not count."""
    table = pages.fields.table
    assert count_rows(filled, table, _between("created", AT + 1, AT + 3)) == 2
    assert count_rows(filled, table, _between("created", AT + 2, AT + 3)) == 1
    assert count_rows(filled, table, _between("created", AT + 4, AT + 9)) == 0
    assert count_rows(filled, table, _between("created", AT + 3, AT + 1)) == 0
    assert count_rows(filled, table, _between("none", AT, AT + 9)) == 0


def test_an_empty_copy_has_nothing(copy: Copy, pages: Pages) -> None:
    """A table that was never written is no error."""
    with _opened(copy) as destination:
        assert destination.read(pages.fields.table, ["id"], [NOT_DELETED, one_of(KEY, ["1"])]) == []
        assert count_rows(destination, pages.fields.table, _between("created", 0, AT)) == 0
