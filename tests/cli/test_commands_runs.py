"""The commands about runs, as a user calls them, with a scheduler that executes what they ask for."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from customerio_simulator import Simulator, WorkspaceSpec
from tests.cli.running import TOKEN, Ended, run, start
from tests.pipeline.copies import differences


def _done(ended: Ended, code: int = 0) -> str:
    assert ended.code == code, ended
    return ended.out


def _json(ended: Ended, code: int = 0) -> Any:
    return json.loads(_done(ended, code))


@contextmanager
def _scheduler(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A scheduler that works; it is stopped in order."""
    process = start(folder, "scheduler", "--slots", "2")
    try:
        assert process.stderr is not None
        assert "2 runs at a time" in process.stderr.readline()
        yield process
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, ""), err
        assert "ERROR" not in err, err
    finally:
        process.kill()
        process.communicate()


def _prepare(folder: Path, url: str, *more: str) -> None:
    at = ("--start-date=2025-08-27", "--max-rps=500", f"--api-url={url}", "--access-token-from=env:CIO_ACCESS_TOKEN")
    _done(run(folder, "connection", "create", "main", *at))
    to = f"--to=duckdb:///{folder / 'copy.duckdb'}"
    _done(run(folder, "task", "create", "daily", "--connection=main", to, *more))


def test_a_run_from_the_wish_to_its_proof(folder: Path) -> None:
    """Asked for, waited for, looked at; then a resync of a table; the copy is that of the workspace."""
    with Simulator(WorkspaceSpec(messages=600, activities=200, people=60), token=TOKEN) as simulator:
        _prepare(folder, simulator.url, "--tables=messages,segments,topics")
        asked = _done(run(folder, "task", "run", "daily"))
        assert "It waits for a worker" in asked
        with _scheduler(folder):
            ended = run(folder, "task", "run", "daily", "--wait")
            assert "complete" in _done(ended)
            assert "messages: complete" in ended.err
            resync = _json(run(folder, "task", "run", "daily", "--resync", "segments", "--wait", "--json"))
        assert (resync["status"], resync["action"]) == ("complete", {"kind": "resync", "tables": ["segments"]})
        assert [table["name"] for table in resync["report"]["tables"]] == ["segments"]
        assert not differences(simulator, folder / "copy.duckdb", ("messages", "segments", "topics"))
    listed = _json(run(folder, "runs", "list", "--json"))["runs"]
    assert {one["status"] for one in listed} == {"complete"}
    first = listed[-1]["id"]
    assert first[:12] in asked
    shown = _done(run(folder, "runs", "show", first[:8]))
    assert "proved" in shown
    assert "messages: complete" in shown
    assert "daily" in _done(run(folder, "runs", "list", "--task", "daily", "--status", "complete"))


def test_a_run_that_waits_is_cancelled_and_tried_again(folder: Path, closed_url: str) -> None:
    """Cancelling and retrying are seen in the list, and a run that is refused ends the command as `sync` ends."""
    _prepare(folder, closed_url)
    asked = _done(run(folder, "task", "run", "daily"))
    run_id = asked.split()[3]
    assert "is cancelled" in _done(run(folder, "runs", "cancel", run_id))
    assert "is cancelled" in _done(run(folder, "runs", "cancel", run_id))
    again = _json(run(folder, "runs", "retry", run_id, "--json"))
    assert (again["status"], again["attempt"], again["cause"]) == ("queued", 1, "user")
    with _scheduler(folder):
        ended = run(folder, "task", "run", "daily", "--wait", "--json")
    assert "segments" in _json(ended, 2)["error"]
    found = {one["id"]: one["status"] for one in _json(run(folder, "runs", "list", "--json"))["runs"]}
    assert (found[again["id"]], "cancelled" in found.values()) == ("refused", True)


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("task", "run", "nope"), "There is no task 'nope'"),
        (("task", "run", "daily", "--resync", "messages", "--backfill", "messages"), "either a resync or a backfill"),
        (("task", "run", "daily", "--from", "2024-01-01"), "--from and --until are those of a backfill"),
        (("task", "run", "daily", "--resync", "nope"), "The task has no table 'nope'"),
        (("task", "run", "daily", "--resync", ""), "No table was named"),
        (("task", "run", "daily", "--backfill", "messages", "--from", "soon"), "--from"),
        (("runs", "show", "00000000"), "No run begins with '00000000'"),
        (("runs", "cancel", "x"), "No run begins with 'x'"),
        (("runs", "list", "--task", "nope"), "There is no task 'nope'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(prepared: Path, arguments: tuple[str, ...], cause: str) -> None:
    """With cause and fix, and exit code 2."""
    ended = run(prepared, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert cause in ended.err


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose user has a task; to be looked at only."""
    folder = tmp_path_factory.mktemp("prepared") / "here"
    folder.mkdir()
    _prepare(folder, "http://127.0.0.1:9")
    return folder


def test_a_list_without_runs_says_what_to_do(prepared: Path) -> None:
    """Not an empty table."""
    assert "`cio-replicate task run` asks for one" in _done(run(prepared, "runs", "list"))
