"""What became of a budget."""

from __future__ import annotations

import pytest

from cio_replicate.source.rate_limiter import RateUsage


def test_even_turns_use_the_whole_budget() -> None:
    """Turns that follow each other as the rate allows use all of it, and nothing is lost."""
    account = RateUsage(10.0, 0.1)
    for turn in range(50):
        account.took(turn / 10, 0.0, turn / 10)
    assert account.achieved == account.used * 10.0 == pytest.approx(10.0)
    assert account.turns == 50
    assert account.reading == pytest.approx(5.0)
    assert account.lost == pytest.approx(0.0)


def test_time_without_work_lowers_what_was_used_and_not_what_was_achieved() -> None:
    """When nobody wants to send, the rate while there was work stays; only the share of the budget sinks."""
    account = RateUsage(10.0, 0.1)
    account.took(0.0, 0.0, 0.0)
    account.took(0.9, 0.9, 0.1)
    assert account.achieved == pytest.approx(10.0)
    assert account.used == pytest.approx(0.2)
    assert account.lost == 0.0


def test_waiting_for_a_pause_is_lost() -> None:
    """What a caller waits beyond the plain spacing because of a pause or a cut counts, once for all who wait."""
    account = RateUsage(10.0, 0.1)
    account.took(0.0, 0.0, 0.0)
    account.took(1.5, 0.05, 1.4)  # due at 0.1, held until 1.4; the last tenth is only the loop's lateness
    account.took(2.5, 2.2, 2.4)  # asked for at 2.2, due then, held until 2.4
    assert account.lost == pytest.approx(1.3 + 0.2)


def test_an_unused_budget_has_nothing_to_tell() -> None:
    """Before the first turn every number is zero."""
    account = RateUsage(10.0, 0.1)
    assert (account.achieved, account.used, account.reading) == (0.0, 0.0, 0.0)
