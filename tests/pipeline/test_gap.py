"""Whether a log that forgets has forgotten something between two reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.source.strategies.base import DAY, ReadStats
from cio_replicate.source.strategies.log import gap

BEGAN = 1_760_000_000
SURE = BEGAN - 30 * DAY


def _gap(through: int, latest: int | None, earliest: int | None) -> tuple[int, int] | None:
    position = Checkpoint(read="r", start=0, through=through, latest=latest)
    return gap(position, ReadStats(earliest=earliest), BEGAN, 30)


def test_a_first_read_misses_nothing() -> None:
    """Before there was a copy nothing was promised."""
    assert gap(None, ReadStats(earliest=SURE), BEGAN, 30) is None


def test_the_drawing() -> None:
    """The last read ended before the log now begins: what happened between is gone."""
    through, latest = SURE - 5 * DAY, SURE - 6 * DAY
    assert _gap(through, latest, SURE) == (through, SURE)
    assert _gap(through, latest, None) == (through, SURE)


@pytest.mark.parametrize("through", [SURE, SURE + 1, BEGAN - 1, BEGAN])
@pytest.mark.parametrize("latest", [None, SURE - 5 * DAY])
def test_a_read_within_the_retention_has_no_gap(through: int, latest: int | None) -> None:
    """Where the last read ended is still in the log, even if nothing has happened since."""
    assert _gap(through, latest, None) is None
    assert _gap(through, latest, BEGAN - 60) is None


def test_a_log_that_reaches_back_further_has_no_gap() -> None:
    """More than promised may be there, and then its oldest entry shows it."""
    assert _gap(SURE - 5 * DAY, SURE - 6 * DAY, SURE - 5 * DAY) is None
    assert _gap(SURE - 5 * DAY, SURE - 6 * DAY, SURE - 2 * DAY) == (SURE - 5 * DAY, SURE - 2 * DAY)


def test_an_entry_that_must_still_be_there_and_is_not() -> None:
    """When the newest entry of the last read is younger than promised and gone, the log forgets faster."""
    latest = BEGAN - 10 * DAY
    assert _gap(BEGAN - 9 * DAY, latest, BEGAN - 3 * DAY) == (latest, BEGAN - 3 * DAY)
    assert _gap(BEGAN - 9 * DAY, latest, None) == (latest, BEGAN)
    assert _gap(BEGAN - 9 * DAY, latest, latest) is None
    assert _gap(BEGAN - 9 * DAY, latest, latest - 1) is None


def test_an_entry_dated_ahead_makes_no_gap_that_runs_backwards() -> None:
    """The time of an entry is the customer's own, so it may lie after the read that brought it, or after now."""
    assert _gap(BEGAN - DAY, BEGAN + DAY, None) == (BEGAN - DAY, BEGAN)
    assert _gap(BEGAN, BEGAN, None) is None
    assert _gap(BEGAN - DAY, BEGAN + DAY, SURE) is None


MOMENT = st.integers(BEGAN - 60 * DAY, BEGAN)


@given(through=MOMENT, latest=st.none() | MOMENT | st.just(BEGAN + DAY), earliest=st.none() | MOMENT)
def test_a_gap_is_a_stretch_that_no_read_covers(through: int, latest: int | None, earliest: int | None) -> None:
    """It runs forwards, ends no later than now, and none of the log's entries read now lies in it."""
    found = _gap(through, latest, earliest)
    if found is None:
        return
    first, last = found
    assert first < last <= BEGAN
    assert first in (through, latest)
    assert earliest is None or earliest >= last


@given(through=MOMENT, latest=MOMENT, earliest=MOMENT)
def test_running_as_often_as_told_never_reports_a_gap(through: int, latest: int, earliest: int) -> None:
    """Who runs within the retention, and finds the log as promised, hears nothing."""
    through = max(through, SURE)
    latest = min(latest, through)
    assert _gap(through, latest, min(earliest, latest)) is None
