"""Several processes claim at once, and consoles write meanwhile: each run is handed out once, and nobody is held up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from cio_replicate.jobs.local_engine import REST
from cio_replicate.jobs.ports import HeartbeatReply
from tests.console.stage import STORES, Stage, ended, run_of, stage

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("claiming.py")
PROCESSES, WORKSPACES, TASKS_OF_EACH = 4, 20, 2
PATIENCE = 120.0


@contextmanager
def _workers(made: Stage) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Processes that are connected, and claim when they are told the time."""
    variables = {**os.environ, **made.variables, "PYTHONPATH": str(ROOT)}
    workers = {
        name: subprocess.Popen(
            [sys.executable, str(PROGRAM), made.url, name],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in (f"w{number}" for number in range(PROCESSES))
    }
    try:
        for one in workers.values():
            assert _said(one) == []
        yield workers
    finally:
        for one in workers.values():
            one.communicate(timeout=PATIENCE)
    assert [one.returncode for one in workers.values()] == [0] * PROCESSES


def _said(worker: subprocess.Popen[str]) -> list[str]:
    assert worker.stdout is not None
    return [line.strip() for line in iter(worker.stdout.readline, "\n")]


def _claims(workers: Mapping[str, subprocess.Popen[str]], now: float) -> list[tuple[str, str, str]]:
    """What they are handed out as they claim at once: worker, run and task."""
    for one in workers.values():
        assert one.stdin is not None
        one.stdin.write(f"{now}\n")
        one.stdin.flush()
    return [(name, *line.split()) for name, one in workers.items() for line in _said(one)]  # type: ignore[misc] # two


@pytest.mark.parametrize("kind", STORES)
def test_processes_that_claim_at_once_are_handed_out_each_run_once(kind: str, tmp_path: Path) -> None:
    """Of each workspace one run is handed out, to one worker; once those have ended, the others are."""
    with stage(kind, tmp_path) as made:
        asked = set()
        for number in range(WORKSPACES):
            made.connection(f"w{number}")
            for one in range(TASKS_OF_EACH):
                made.task(f"t{number}-{one}", f"w{number}")
                asked.add(made.ask(f"t{number}-{one}"))
        handed_out: Counter[str] = Counter()
        with _workers(made) as workers:
            for _ in range(TASKS_OF_EACH):
                claims = _claims(workers, made.clock.time)
                assert sorted(task.split("-")[0] for _, _, task in claims) == sorted(f"t{n}" for n in range(WORKSPACES))
                running = {run.id: run.worker for run in made.listed() if run.status == "running"}
                assert running == {run: worker for worker, run, _ in claims}
                for worker, run, _ in claims:
                    handed_out[run] += 1
                    assert made.queue().end(worker, run, ended("complete")) is HeartbeatReply.GO_ON
                made.clock.time += REST
            assert handed_out == Counter(asked)
            assert {(run.status, run.claims) for run in made.listed()} == {("complete", 1)}
            assert _claims(workers, made.clock.time) == []


def test_workers_are_not_held_up_by_a_console_that_writes(tmp_path: Path) -> None:
    """While settings are changed in PostgreSQL, runs are asked for, claimed, kept and ended."""
    with stage("postgresql", tmp_path) as made:
        made.connection("main")
        made.task("a", "main")
        with made.database.writing():
            run = made.ask("a")
            queue = made.queue()
            assert run_of(queue.claim("w")) == run
            assert queue.heartbeat("w", run, None, ()) is HeartbeatReply.GO_ON
            assert queue.end("w", run, ended("complete")) is HeartbeatReply.GO_ON
            assert made.scheduler.tick().lost == 0
        assert made.states() == [("a", "complete")]
