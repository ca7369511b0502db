"""A profile is summed up by phase and by module of ours."""

from __future__ import annotations

import pytest

from benchmarks.hotspots import LOOP, OUTSIDE, summed_up

MAIN = "thread (1): MainThread;main (cio_replicate/cli/app.py:29);execute (cio_replicate/cli/execute.py:49)"
STACKS = [
    f"{MAIN};run_forever (asyncio/events.py:607);send (cio_replicate/source/client.py:9);get (httpx2/_client.py:1) 4\n",
    f"{MAIN};run_forever (asyncio/base_events.py:607);select (asyncio/selector_events.py:5) 2\n",
    "thread (2): landing_0;work (concurrent/futures/thread.py:58);encode (cio_replicate/source/lane.py:7) 3\n",
    "thread (2): landing_0;_worker (concurrent/futures/thread.py:81) 50\n",
    "thread (1): MainThread;<module> (cio-replicate:6);find_spec (<frozen importlib._bootstrap>:9) 1\n",
]


def test_a_sample_belongs_to_the_innermost_module_of_ours() -> None:
    """What a library does is counted where we called it, and waiting for work is not counted."""
    hotspots = summed_up(STACKS, per_second=100)
    assert hotspots.modules == pytest.approx({"source/client.py": 0.4, "source/lane.py": 0.3, LOOP: 0.2, OUTSIDE: 0.1})
    assert hotspots.seconds == pytest.approx(0.1)


def test_phases_are_told_largest_first() -> None:
    """The phases of a profile come in the order of their shares, and all shares together are the whole."""
    shares = list(summed_up(STACKS, per_second=100).phases.values())
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


def test_a_profile_without_samples_has_no_shares() -> None:
    """An empty profile is no error."""
    assert summed_up([], per_second=100).phases == {}
