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
SMALL = WorkspaceSpec(seed=8, messages=1_500)
LARGE = WorkspaceSpec(seed=8, messages=12_000, people=1_300, activities=900)  # enough for slices read side by side


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


def _ends_like_one_that_was_not(spec: WorkspaceSpec, point: str, number: int, folder: Path) -> None:
    with Simulator(spec) as simulator:
        sync(simulator, folder, state="whole run")
        needed = len(simulator.requests)
        (folder / "copy.duckdb").unlink()
        simulator.log.reset()
        assert _killed(simulator, folder, point, number)
        report = sync(simulator, folder)
        assert report.status is Status.COMPLETE
        assert differences(simulator, folder / "copy.duckdb", ALL) == {}
        in_flight = 60  # what was requested in the last second, and what was under way
        assert len(simulator.requests) <= needed + in_flight
        again = sync(simulator, folder, refresh=SETTLING).requests
        assert abs(again - needed) <= 3  # a run that ended is not gone on with; how often spans are cut may differ


@pytest.mark.parametrize(
    ("point", "number"),
    [
        pytest.param("event", 5, marks=pytest.mark.slow),
        pytest.param("page on disk", 4, marks=pytest.mark.slow),
        pytest.param("before commit", 10, marks=pytest.mark.slow),
        ("after commit", 11),
    ],
)
def test_killed_at_a_chosen_point(point: str, number: int, tmp_path: Path) -> None:
    """Killed between any two steps, the next run makes the copy whole and repeats only what was in flight."""
    _ends_like_one_that_was_not(SMALL, point, number, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "number"), [("event", 5), ("event", 60), ("page on disk", 9), ("before commit", 17), ("after commit", 18)]
)
def test_killed_at_a_chosen_point_of_a_large_workspace(point: str, number: int, tmp_path: Path) -> None:
    """The same while many slices are read side by side."""
    _ends_like_one_that_was_not(LARGE, point, number, tmp_path)


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    """A run that never gets far still arrives in the end, since each try goes on where the last one died."""
    with Simulator(LARGE) as simulator:
        for number in (8, 16, 24, 32, 40):
            _killed(simulator, tmp_path, "event", number)
        assert sync(simulator, tmp_path).status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}


@pytest.mark.slow
def test_killed_while_only_changes_travel(tmp_path: Path) -> None:
    """Also a second sync, with updates and deletions under way, may die and be started again."""
    with Simulator(LARGE) as simulator:
        sync(simulator, tmp_path)
        simulator.evolve(3, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        assert _killed(simulator, tmp_path, "page on disk", 3)
        assert _killed(simulator, tmp_path, "after commit", 2)
        assert sync(simulator, tmp_path).status is Status.COMPLETE
        lists = tuple(name for name in ALL if name != "activities")
        assert differences(simulator, tmp_path / "copy.duckdb", lists) == {}


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """The command, killed with SIGKILL at twenty random moments and started again, ends like one left alone."""
    chance = random.Random(20261123)  # noqa: S311 - moments, not secrets
    with Simulator(WorkspaceSpec(seed=9, messages=20_000, people=600), latency=0.02) as simulator:
        for number in range(20):
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
