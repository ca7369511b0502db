"""Consoles, schedulers and connections to the database are killed at random: every run ends recorded, none twice.

The engines are processes of their own, and so are the runs that they start: real runs, from the stand-in into DuckDB.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from cio_replicate.config.documents import ConnectionSettings, ScheduleSettings, TaskSettings
from cio_replicate.database.actor import LOCAL
from cio_replicate.jobs.runs import Runs, StoredRunSummary
from customerio_simulator import Simulator, WorkspaceSpec
from tests.console.stage import STORES, Stage, stage
from tests.manual_clock import ManualClock
from tests.pipeline.copies import differences
from tests.sinks.servers import postgres, postgres_run

pytestmark = pytest.mark.slow  # a lease that nobody renews ends after real seconds; test_board has it on a clock
ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_engine.py")
TOKEN = "simulator-token"
LEASE = 8  # seconds
PATIENCE = 150.0
MINUTES = 4
TABLES = ("campaigns", "segments", "newsletters", "topics", "messages")
SPEC = WorkspaceSpec(seed=4, messages=3_000, people=50, activities=50)
NAMES = ("first", "second", "third")


@dataclass
class Chaos:
    """Two engines over one database, and what kills them."""

    one: Stage
    folder: Path
    chance: random.Random
    engines: list[subprocess.Popen[bytes]] = field(default_factory=list)
    killed: int = 0

    def start(self) -> None:
        """Start engines until there are two."""
        self.engines = [engine for engine in self.engines if engine.poll() is None]
        variables = {**os.environ, **self.one.variables, "PYTHONPATH": str(ROOT)}
        while len(self.engines) < 2:
            command = [sys.executable, str(DRIVER), self.one.url, str(self.folder), str(LEASE)]
            engine = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert engine.stdout is not None
            assert engine.stdout.readline() == b"started\n"
            self.engines.append(engine)

    def kill(self) -> None:
        """Kill an engine, or both, or every connection to the database."""
        self.killed += 1
        if not self.one.database.is_file and self.chance.random() < 0.4:
            name = self.one.database.address.path
            kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            postgres_run(postgres(), "postgres", kill)
            return
        self._kill(self.chance.sample(self.engines, self.chance.choice((1, 1, 2))))

    def kill_all(self) -> None:
        """Kill the engines; their runs see it and end by themselves."""
        self._kill(self.engines)

    def _kill(self, engines: list[subprocess.Popen[bytes]]) -> None:
        for engine in engines:
            engine.kill()
            engine.wait()
            _closed(engine)

    def stop(self) -> None:
        """Let the engines end in order."""
        for engine in self.engines:
            engine.send_signal(signal.SIGTERM)
        for engine in self.engines:
            engine.wait(timeout=PATIENCE)


def _closed(engine: subprocess.Popen[bytes]) -> None:
    assert engine.stdout is not None
    engine.stdout.close()


@contextmanager
def _chaos(kind: str, folder: Path, simulator: Simulator, schedule: ScheduleSettings | None) -> Iterator[Chaos]:
    with stage(kind, folder, ManualClock(time.time())) as made:
        made.variables["TOKEN"] = TOKEN
        common = {"start_date": "2020-01-01", "access_token_from": "env:TOKEN", "max_rps": 100.0}
        made.keep({"main": ConnectionSettings(api_url=simulator.url, **common)})  # type: ignore[arg-type] # of several types
        for number, name in enumerate(NAMES):
            settings = TaskSettings(
                connection="main",
                to=[f"duckdb:///{folder / name}.duckdb"],
                tables=",".join(TABLES),
                retry_pause=1,
                retries=5,
                schedule=schedule if number == 0 else None,
                after=NAMES[number - 1] if number == 1 else None,
            )
            made.keep({name: settings})
        chaos = Chaos(made, folder, random.Random(kind))  # noqa: S311 - moments, not secrets
        try:
            chaos.start()
            yield chaos
        finally:
            chaos.kill_all()


def _wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)


def _wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it took too long"
        _wait(0.1)


def _has_begun(runs: Runs, run: StoredRunSummary) -> bool:
    progress = runs.show(run.id).progress
    return progress is not None and progress.requests > 3


def _settle(runs: Runs) -> list[StoredRunSummary]:
    """All runs, once none waits or goes on."""
    _wait_for(lambda: all(run.has_ended for run in runs.listed(limit=500)))
    return sorted(runs.listed(limit=500), key=lambda run: (run.ended_at or 0, run.started_at or 0))


def _require_true(chaos: Chaos, simulator: Simulator, ended: list[StoredRunSummary]) -> None:
    """Every run has ended, none went on beside another, each follows from one end, and the copies are true."""
    assert {run.status for run in ended} <= {"complete", "failed"}
    assert all(earlier.ended_at <= later.started_at for earlier, later in pairwise(ended))  # type: ignore[operator] # all have both
    for name in NAMES:
        mine = [run for run in ended if run.task == name]
        assert mine[-1].status == "complete"
        failures = sum(run.status == "failed" for run in mine)
        assert sum(run.cause == "retry" for run in mine) <= failures  # none is tried again twice
        assert not differences(simulator, chaos.folder / f"{name}.duckdb", TABLES)
    wells = sum(run.status == "complete" for run in ended if run.task == "first")
    followers = [run for run in ended if run.task == "second"]
    assert sum(run.merged + (run.cause == "after") for run in followers) == wells


@pytest.mark.parametrize("kind", STORES)
def test_a_few_kills(kind: str, tmp_path: Path) -> None:
    """Runs of three tasks of one workspace get to their ends, though one is under way when all engines die."""
    with Simulator(SPEC, latency=0.6) as simulator, _chaos(kind, tmp_path, simulator, None) as chaos:
        runs = chaos.one.runs_now()
        asked = {runs.ask(name, LOCAL) for name in NAMES}
        _wait_for(lambda: any(run.status == "running" and _has_begun(runs, run) for run in runs.listed()))
        chaos.kill_all()
        chaos.start()
        for _ in range(2):
            _wait(chaos.chance.uniform(1.0, 3.0))
            chaos.kill()
            chaos.start()
        ended = _settle(runs)
        chaos.stop()
        assert asked <= {run.id for run in ended}
        assert max(run.claims for run in ended) > 1
        _require_true(chaos, simulator, ended)


@pytest.mark.parametrize("kind", STORES)
def test_kills_for_minutes(kind: str, tmp_path: Path) -> None:
    """The same for minutes, while a task is due every minute: each time is a run, or is merged into one that waits."""
    every = ScheduleSettings(every="1m")
    with Simulator(SPEC, latency=0.5) as simulator, _chaos(kind, tmp_path, simulator, every) as chaos:
        runs, began = chaos.one.runs_now(), int(chaos.one.clock.time)
        for name in NAMES[1:]:
            runs.ask(name, LOCAL)
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end or not 20 < time.time() % 60 < 40:
            _wait(chaos.chance.uniform(2.0, 12.0))
            chaos.kill()
            chaos.start()
        settings = chaos.one.settings("first")
        chaos.one.clock.time = time.time()
        chaos.one.edit("first", replace(settings, paused=True))
        due = int(chaos.one.clock.time) // 60 - began // 60
        ended = _settle(runs)
        chaos.stop()
        first = [run for run in ended if run.task == "first"]
        assert sum((run.cause == "schedule") + run.merged for run in first) == due
        assert chaos.one.missed() == []
        assert chaos.killed > 5 * MINUTES
        assert max(run.claims for run in ended) > 1
        _require_true(chaos, simulator, ended)
