"""The rate as a function of time and refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.source.rate_limiter import LEAST, NEAR, REDUCED, AdaptiveRate


def test_nothing_is_cut_before_a_refusal() -> None:
    """As long as the API refuses nothing, the whole allowed rate may be sent."""
    assert AdaptiveRate(10.0).rate(0.0) == AdaptiveRate(10.0).rate(1e9) == 10.0


def test_a_refusal_cuts_the_rate_and_it_climbs_back() -> None:
    """After a cut the rate rises again, slowly at first, and is whole within a minute."""
    pace = AdaptiveRate(10.0).cut(100.0, 10, 101.0)
    rates = [pace.rate(101.0 + second) for second in range(61)]
    assert rates[0] == pytest.approx(10.0 * REDUCED)
    assert rates == sorted(rates)
    assert rates[10] <= 10.0 * NEAR + 0.01
    assert rates[60] == 10.0


def test_it_does_not_climb_while_nobody_sends() -> None:
    """A long pause is no sign of room, so the rate climbs only from its end on."""
    pace = AdaptiveRate(10.0).cut(100.0, 10, 160.0)
    assert pace.rate(101.0) == pace.rate(160.0) < pace.rate(170.0)


def test_what_was_sent_counts_rather_than_what_was_allowed() -> None:
    """Refused at six a second although ten are allowed: others take the rest, so six is what is cut from."""
    assert AdaptiveRate(10.0).cut(100.0, 6, 101.0).rate(101.0) == pytest.approx(6 * REDUCED)


@given(
    allowed=st.floats(0.01, 1_000.0),
    refusals=st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 20)), max_size=40),
)
def test_the_rate_stays_within_its_bounds(allowed: float, refusals: list[tuple[float, int]]) -> None:
    """Whatever is refused and whenever, the rate is never above what is allowed, and never stops."""
    pace, now = AdaptiveRate(allowed), 0.0
    for after, sent in refusals:
        now += after
        before = pace.rate(now)
        pace = pace.cut(now, sent, now + 1.0)
        assert LEAST * allowed <= pace.rate(now) <= before <= allowed
    assert pace.rate(now + 61.0) == allowed
