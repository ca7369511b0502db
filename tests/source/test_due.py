"""What a later run reads again, and when it reads everything."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.config.table_options import PeopleRefresh, RereadPolicy
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import DAY, USUAL, ReadScope
from cio_replicate.source.strategies.log import LOOKBACK, LogStrategy
from cio_replicate.source.strategies.windows import MILESTONES, due_spans, merged

NOW = 1_790_000_000
START = NOW - 900 * DAY
LOG, PEOPLE, DELIVERIES = table("activities"), table("customers"), table("messages")
CHANGES = RereadPolicy(people=PeopleRefresh.CHANGES)


def _position(
    ago: float, *, start: int = START, latest_ago: float | None = None, whole_ago: float | None = None
) -> Checkpoint:
    through = NOW - int(ago * DAY)
    return Checkpoint(
        read="r",
        start=start,
        through=through,
        latest=NOW - int((ago if latest_ago is None else latest_ago) * DAY),
        whole=None if whole_ago is None else NOW - int(whole_ago * DAY),
    )


def _reads_all(of: Table, base: Checkpoint | None, rules: RereadPolicy) -> bool:
    return strategy_of(of, ReadScope(START, NOW, base, rules)).reads_all


def _until(base: Checkpoint | None, rules: RereadPolicy = USUAL) -> int | None:
    return LogStrategy(LOG, ReadScope(START, NOW, base, rules)).until


def _holds(spans: list[tuple[int, int]], moment: float) -> bool:
    return any(first <= moment <= last for first, last in spans)


def test_a_first_run_reads_everything_since_the_start_date() -> None:
    """Without a position there is one span, from the start date to now."""
    assert due_spans(START, NOW, None, 30) == [(START, NOW)]


def test_a_start_date_that_has_not_come_asks_for_nothing() -> None:
    """A span that ends before it begins is none."""
    assert due_spans(NOW + 1, NOW, None, 30) == []


def test_recent_deliveries_are_read_on_every_run() -> None:
    """A delivery of the last thirty days is due although nothing else is."""
    spans = due_spans(START, NOW, _position(1), 30)
    assert all(_holds(spans, NOW - days * DAY) for days in range(31))


@pytest.mark.parametrize("milestone", MILESTONES)
def test_a_delivery_is_due_once_when_it_gets_so_old(milestone: int) -> None:
    """What was younger than the milestone at the last run and is older now is read again; a day later it is not."""
    passed = NOW - milestone * DAY - DAY // 2
    assert _holds(due_spans(START, NOW, _position(1), 10), passed)
    assert not _holds(due_spans(START, NOW + 2 * DAY, _position(-1), 10), passed)


def test_a_settled_delivery_is_not_read_again() -> None:
    """Between the milestones, and after the last, nothing is due."""
    spans = due_spans(START, NOW, _position(1), 30)
    assert not any(_holds(spans, NOW - days * DAY) for days in (45, 75, 120, 200, 800))


@given(ago=st.floats(0.01, 800), recent=st.integers(1, 200), later=st.floats(0, 500))
def test_nothing_new_is_left_out_however_long_the_pause(ago: float, recent: int, later: float) -> None:
    """All since the last run is due, and a day before it, whatever the rules."""
    base = _position(ago)
    spans = due_spans(START, NOW, base, recent)
    moments = (base.through - LOOKBACK, base.through, NOW, NOW - later * DAY)
    assert all(_holds(spans, moment) for moment in moments if max(base.through - LOOKBACK, START) <= moment <= NOW)


@given(runs=st.lists(st.floats(0.01, 40), min_size=1, max_size=40), age=st.integers(0, 100))
def test_every_delivery_is_read_at_each_milestone_of_its_age(runs: list[float], age: int) -> None:
    """However irregular the runs, a delivery is read by the first run after it has reached a milestone."""
    created = NOW - age * DAY
    base, now = Checkpoint(read="r", start=START, through=NOW, latest=NOW), NOW
    for pause in runs:
        now += int(pause * DAY)
        spans = due_spans(START, now, base, 30)
        for milestone in MILESTONES:
            if base.through - created < milestone * DAY <= now - created:
                assert _holds(spans, created)
        base = Checkpoint(read="r", start=START, through=now, latest=now)


def test_a_clock_that_runs_ahead_of_the_source_hides_nothing() -> None:
    """What is recent goes by the newest delivery seen, not by our clock alone."""
    spans = due_spans(START, NOW, _position(1, latest_ago=55), 30)
    assert _holds(spans, NOW - 54 * DAY)
    assert _holds(spans, NOW - 84 * DAY)


def test_an_earlier_start_date_adds_what_lies_before() -> None:
    """The time that no run has covered is read whole, and no more than that."""
    spans = due_spans(START, NOW, _position(1, start=START + 100 * DAY), 30)
    assert spans[0] == (START, START + 100 * DAY - 1)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8))
def test_merged_spans_hold_the_same_seconds_once(spans: list[tuple[int, int]]) -> None:
    """No second is lost, none comes twice, and neighbours are one span."""
    result = merged(spans)
    seconds = {second for first, last in spans for second in range(first, last + 1)}
    assert [second for first, last in result for second in range(first, last + 1)] == sorted(seconds)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(result))


@pytest.mark.parametrize("name", [one.name for one in TABLES if one.strategy in ("list", "offset", "children")])
def test_a_list_is_read_whole_each_time(name: str) -> None:
    """Only all of a list tells what is gone."""
    assert _reads_all(table(name), _position(0.01, whole_ago=0.01), CHANGES)


def test_people_are_read_whole_unless_the_mode_is_changes() -> None:
    """Mode `full` always, mode `changes` first and then once a week."""
    assert _reads_all(PEOPLE, _position(1), RereadPolicy())
    assert _reads_all(PEOPLE, None, CHANGES)
    assert not _reads_all(PEOPLE, _position(1, whole_ago=6.9), CHANGES)
    assert _reads_all(PEOPLE, _position(1, whole_ago=7), CHANGES)
    assert not _reads_all(
        PEOPLE, _position(1, whole_ago=7), RereadPolicy(people=PeopleRefresh.CHANGES, full_every_days=8)
    )


def test_a_position_of_an_earlier_version_counts_as_whole() -> None:
    """Runs that knew no shorter read have read everything each time."""
    assert not _reads_all(PEOPLE, _position(6), CHANGES)
    assert _reads_all(PEOPLE, _position(7), CHANGES)


def test_the_log_is_read_back_to_a_day_before_the_last_run() -> None:
    """The lookback takes in events that were back-dated a little."""
    assert _until(_position(2, whole_ago=3)) == NOW - 3 * DAY


def test_the_log_is_read_to_its_end_first_and_once_a_week() -> None:
    """What was back-dated further is found then, long before the log forgets it."""
    assert _until(None) is None
    assert _until(_position(1, whole_ago=7)) is None
