"""What of an earlier run is worth going on with."""

from __future__ import annotations

import pytest

from cio_replicate.pipeline.journal import TableRead
from cio_replicate.pipeline.run_plan import (
    FINISHED_IS_FRESH,
    RESUME_WITHIN,
    SAME_RUN_WITHIN,
    goes_on,
    same_copy,
    starting_positions,
    still_done,
)
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.sinks.port import CopyIdentity
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies.base import Partition

BEGAN = 1_760_000_000
START = BEGAN - 1_000_000
BASE = Checkpoint(read="before", start=START, through=BEGAN - 5_000)


def _read(*, finished: bool = False, base: Checkpoint | None = BASE) -> TableRead:
    parts = [Partition("one", cursor=Cursor(done=True)), Partition("two", cursor=Cursor(done=finished))]
    return TableRead("now", "campaigns", START, BEGAN, BEGAN, base, parts)


def test_a_journal_that_has_loaded_nothing_fits_every_copy() -> None:
    """Landed pages may go into whatever copy is there, or into a new one."""
    assert same_copy(None, None, None)
    assert same_copy(None, None, CopyIdentity("one", 7))


@pytest.mark.parametrize(("commits", "same"), [(0, False), (6, False), (7, True), (8, True), (100, True)])
def test_a_copy_with_fewer_commits_was_restored_from_a_backup(commits: int, *, same: bool) -> None:
    """Rows taken for loaded are missing there; one commit more is that of a run which died before it noted it."""
    assert same_copy("one", "7", CopyIdentity("one", commits)) is same


def test_another_copy_or_none_is_not_the_same() -> None:
    """A file that was removed or replaced begins anew, however many commits it has seen."""
    assert not same_copy("one", "7", None)
    assert not same_copy("one", None, None)
    assert not same_copy("one", "7", CopyIdentity("two", 7))
    assert same_copy("one", None, CopyIdentity("one", 0))


@pytest.mark.parametrize(("age", "goes"), [(0, True), (RESUME_WITHIN, True), (RESUME_WITHIN + 1, False), (-60, True)])
def test_a_half_read_list_goes_on_within_a_day(age: int, *, goes: bool) -> None:
    """What was read is worth keeping as long as page tokens are known; a clock that went back does no harm."""
    assert goes_on(_read(), BASE, START, BEGAN + age) is goes


@pytest.mark.parametrize(("age", "goes"), [(0, True), (FINISHED_IS_FRESH, True), (FINISHED_IS_FRESH + 1, False)])
def test_a_finished_read_goes_on_for_minutes(age: int, *, goes: bool) -> None:
    """One that only waits to be closed is soon older than a new one would be."""
    assert goes_on(_read(finished=True), BASE, START, BEGAN + age) is goes


def test_the_age_counts_from_the_last_page() -> None:
    """A long read that landed a page a minute ago is fresh, however long ago it began."""
    read = _read()
    read.touched = BEGAN + 10 * RESUME_WITHIN
    assert goes_on(read, BASE, START, read.touched + 60)


@pytest.mark.parametrize(
    "position",
    [
        None,
        Checkpoint(read="before", start=START, through=BEGAN),
        Checkpoint(read="other", start=START, through=BEGAN - 5_000),
    ],
)
def test_a_read_from_another_position_does_not_go_on(position: Checkpoint | None) -> None:
    """It was closed already, the copy is another one, or the table is to be read anew."""
    assert not goes_on(_read(), position, START, BEGAN)
    assert goes_on(_read(base=position), position, START, BEGAN)


@pytest.mark.parametrize("start", [START - 1, START + 1])
def test_a_read_with_another_start_date_does_not_go_on(start: int) -> None:
    """Its parts are those of the date it began with."""
    assert not goes_on(_read(), BASE, start, BEGAN)


def test_tables_start_from_their_positions() -> None:
    """A table without one, and one to be read anew, start from nothing; tables not asked for are left out."""
    positions = {"a": BASE, "b": BASE, "not asked for": BASE}
    assert starting_positions(positions, ("a", "b", "c"), ("b",)) == {"a": BASE, "b": None, "c": None}


@pytest.mark.parametrize(("age", "done"), [(0, True), (SAME_RUN_WITHIN, True), (SAME_RUN_WITHIN + 1, False)])
def test_a_killed_run_started_again_soon_is_the_same_run(age: int, *, done: bool) -> None:
    """What it was done with is not read again, unless so long passed that it is another run."""
    found = still_done({"a": ("before", BEGAN - 60)}, {"a": BASE}, START, BEGAN, BEGAN + age)
    assert found == ({"a": BEGAN - 60} if done else {})


@pytest.mark.parametrize(
    "positions",
    [{}, {"a": None}, {"a": Checkpoint(read="other", start=START, through=BEGAN)}, {"b": BASE}],
)
def test_a_table_that_stands_elsewhere_is_not_done(positions: dict[str, Checkpoint | None]) -> None:
    """The destination has another position or none, or the table is to be read anew."""
    assert still_done({"a": ("before", BEGAN)}, positions, START, BEGAN, BEGAN) == {}


@pytest.mark.parametrize(("start", "done"), [(START - 1, False), (START, True), (START + 1, True)])
def test_a_table_is_not_done_for_an_earlier_start_date(start: int, *, done: bool) -> None:
    """What was read does not cover the time before."""
    assert bool(still_done({"a": ("before", BEGAN)}, {"a": BASE}, start, BEGAN, BEGAN)) is done
