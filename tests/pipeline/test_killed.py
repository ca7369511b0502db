"""A run that dies anywhere can be started again, and ends like one that did not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cio_replicate.config.table_options import RECENT_DAYS
from cio_replicate.pipeline.report import Status
from cio_replicate.source.strategies.base import DAY
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Simulator, WorkspaceSpec
from tests.pipeline.copies import differences
from tests.pipeline.syncs import ALL, SETTLING, sync

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_run.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "CIO_ACCESS_TOKEN": "simulator-token"}
SPEC = WorkspaceSpec(seed=8, messages=12_000, people=1_300, activities=900)  # enough for slices read side by side


def _killed(simulator: Simulator, folder: Path, point: str, number: int) -> bool:
    """Run until it kills itself; whether it got that far."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), simulator.url, str(folder), point, str(number)],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "number"),
    [
        ("event", 5),
        pytest.param("event", 60, marks=pytest.mark.slow),
        pytest.param("page on disk", 9, marks=pytest.mark.slow),
        ("before commit", 17),
        ("after commit", 18),
    ],
)
def test_killed_at_a_chosen_point(point: str, number: int, tmp_path: Path) -> None:
    """Killed between any two steps, the next run makes the copy whole and repeats only what was in flight."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, state="whole run")
        needed = len(simulator.requests)
        (tmp_path / "copy.duckdb").unlink()
        simulator.log.reset()
        assert _killed(simulator, tmp_path, point, number)
        report = sync(simulator, tmp_path)
        assert report.status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}
        in_flight = 60  # a page of each table, more where parts are read side by side, and people by the hundred
        assert len(simulator.requests) <= needed + in_flight
        again = sync(simulator, tmp_path, refresh=SETTLING).requests
        assert abs(again - needed) <= 3  # a run that ended is not gone on with; how often spans are cut may differ


def test_killed_again_and_again(tmp_path: Path) -> None:
    """A run that never gets far still arrives in the end, since each try goes on where the last one died."""
    with Simulator(SPEC) as simulator:
        for number in (8, 16, 24, 32, 40):
            _killed(simulator, tmp_path, "event", number)
        assert sync(simulator, tmp_path).status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}


def test_killed_while_only_changes_travel(tmp_path: Path) -> None:
    """Also a second sync, with updates and deletions under way, may die and be started again."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path)
        simulator.evolve(3, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        assert _killed(simulator, tmp_path, "page on disk", 3)
        assert _killed(simulator, tmp_path, "after commit", 2)
        assert sync(simulator, tmp_path).status is Status.COMPLETE
        lists = tuple(name for name in ALL if name != "activities")
        assert differences(simulator, tmp_path / "copy.duckdb", lists) == {}


def _random_kills(times: int, tmp_path: Path) -> None:
    chance = random.Random(20261123)  # noqa: S311 - moments, not secrets
    with Simulator(WorkspaceSpec(seed=9, messages=20_000, people=600), latency=0.02) as simulator:
        for number in range(times):
            folder = tmp_path / str(number)
            folder.mkdir()
            command = [sys.executable, "-m", "cio_replicate", "sync", "--start-date", "2020-01-01", "--quiet"]
            command += ["--to", f"duckdb:///{folder / 'copy.duckdb'}", "--state-dir", str(folder / "state")]
            command += ["--api-url", simulator.url, "--max-rps", "200"]
            with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run:
                try:
                    run.wait(timeout=chance.uniform(0.8, 3.5))
                except subprocess.TimeoutExpired:
                    run.kill()
            again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, timeout=120)
            assert again.returncode == 0, again.stderr.decode()
            assert differences(simulator, folder / "copy.duckdb", ALL) == {}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """The command, killed with SIGKILL at random moments and started again, ends like one that was left alone."""
    _random_kills(2, tmp_path)


@pytest.mark.slow
def test_killed_at_random_moments_twenty_times(tmp_path: Path) -> None:
    """The same, twenty times."""
    _random_kills(20, tmp_path)
