"""Several processes claim at once, and consoles write meanwhile: each run is handed out once, and nobody is held up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from cio_replicate.jobs.local_engine import REST
from cio_replicate.jobs.ports import HeartbeatReply
from tests.control.stage import STORES, Stage, ended, run_of, stage

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("claiming.py")
PROCESSES, WORKSPACES, TASKS_OF_EACH = 4, 20, 2
PATIENCE = 120.0


def _claims(made: Stage) -> list[tuple[str, str, str]]:
    """What several processes that claim at once are handed out: worker, run and task."""
    variables = {**os.environ, **made.variables, "PYTHONPATH": str(ROOT)}
    workers = {}
    for number in range(PROCESSES):
        command = [sys.executable, str(PROGRAM), made.url, f"w{number}", str(made.clock.time)]
        workers[f"w{number}"] = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    for one in workers.values():
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in workers.values():
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    found = []
    for name, one in workers.items():
        said, _ = one.communicate(timeout=PATIENCE)
        assert one.returncode == 0
        found += [(name, *line.split()) for line in said.splitlines()]
    return found  # type: ignore[return-value] # a line is a run and a task


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
        for _ in range(TASKS_OF_EACH):
            claims = _claims(made)
            assert sorted(task.split("-")[0] for _, _, task in claims) == sorted(f"t{n}" for n in range(WORKSPACES))
            running = {run.id: run.worker for run in made.listed() if run.status == "running"}
            assert running == {run: worker for worker, run, _ in claims}
            for worker, run, _ in claims:
                handed_out[run] += 1
                assert made.queue().end(worker, run, ended("complete")) is HeartbeatReply.GO_ON
            made.clock.time += REST
        assert handed_out == Counter(asked)
        assert {(run.status, run.claims) for run in made.listed()} == {("complete", 1)}
        assert _claims(made) == []


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
