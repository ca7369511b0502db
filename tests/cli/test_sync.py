"""`sync` as a user sees it: what it prints where, and how it stops."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from cio_replicate.source import catalog
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.cli.running import TOKEN, run, spawn, start, sync

PROMISED = {"run_id", "status", "started", "ended", "seconds", "requests", "throttled", "tables"}
PROMISED_OF_A_TABLE = {"name", "status", "read", "inserted", "updated", "deleted", "requests", "seconds", "error"}


@pytest.fixture
def slow() -> Iterator[Simulator]:
    """A workspace that takes its time."""
    spec = WorkspaceSpec(messages=25_000, activities=100, hostile=False)
    with Simulator(spec, token=TOKEN, latency=0.4) as simulator:
        yield simulator


def test_a_complete_run_prints_a_table_and_ends_with_0(folder: Path, url: str) -> None:
    """Progress goes to standard error, a row per table and the totals to standard output."""
    ended = spawn(folder, *sync(url))
    assert ended.code == 0, ended.err
    assert [line.split()[0] for line in ended.out.splitlines()[1 : 1 + len(TABLES)]] == list(catalog.names())
    assert f"Complete: {len(TABLES)} tables" in ended.out
    assert "Access OK for every table" in ended.err
    assert all(f"{name}: complete" in ended.err for name in catalog.names())
    assert TOKEN not in ended.out + ended.err


def test_json_is_one_document_with_the_promised_fields(folder: Path, url: str) -> None:
    """Standard output is exactly one document; what changed is counted per table."""
    first = run(folder, *sync(url, "--json"))
    told = json.loads(first.out)
    assert first.code == 0
    assert told.keys() >= PROMISED
    assert (told["status"], isinstance(told["run_id"], str)) == ("complete", True)
    assert [table["name"] for table in told["tables"]] == list(catalog.names())
    assert all(table.keys() >= PROMISED_OF_A_TABLE for table in told["tables"])
    assert sum(table["inserted"] for table in told["tables"]) > 2_000
    again = json.loads(run(folder, *sync(url, "--json", "--quiet")).out)
    assert [table["inserted"] + table["updated"] + table["deleted"] for table in again["tables"]] == [0] * len(TABLES)


@pytest.mark.parametrize("setting", ["--start-date=never", "--max-rps=many", "--state-dir=/dev/null/x"])
def test_json_of_a_refused_run_is_one_document_too(folder: Path, url: str, setting: str) -> None:
    """A refused run tells why, and that it read no table."""
    ended = run(folder, *sync(url, "--json", setting))
    told = json.loads(ended.out)
    assert ended.code == 2
    assert told.keys() >= PROMISED
    assert (told["status"], told["tables"]) == ("refused", [])
    assert told["error"] in ended.err
    assert isinstance(told["run_id"], str)


def test_quiet_says_nothing_when_all_is_well(folder: Path, url: str) -> None:
    """A quiet run without a problem writes not one byte."""
    ended = run(folder, *sync(url, "--quiet", "--tables=topics"))
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_a_failed_table_ends_with_1_and_the_others_are_kept(folder: Path) -> None:
    """A table whose list never comes fails with its reason; the rest is complete."""
    broken = Faults.script(Fault(kind="missing_key", table="topics", times=None))
    with Simulator(WorkspaceSpec(messages=10, activities=10), token=TOKEN, faults=broken) as simulator:
        ended = run(folder, *sync(simulator.url, "--json", "--tables=topics,types"))
    told = {table["name"]: table for table in json.loads(ended.out)["tables"]}
    assert ended.code == 1
    assert (told["topics"]["status"], told["types"]["status"]) == ("failed", "complete")
    assert "topics" in told["topics"]["error"]
    assert "topics: failed." in ended.err


def test_when_every_table_fails_nothing_is_refused(folder: Path) -> None:
    """Failures of all tables are failures, with a reason each, and not a wrong setting."""
    broken = Faults.script(Fault(kind="missing_key", times=None))
    with Simulator(WorkspaceSpec(messages=10, activities=10), token=TOKEN, faults=broken) as simulator:
        ended = run(folder, *sync(simulator.url, "--tables=topics,types"))
    assert ended.code == 1
    assert "Not complete: 0 of 2 tables" in ended.out
    assert "topics: An answer lacks 'topics'" in ended.out


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_within_seconds_and_the_next_run_goes_on(
    folder: Path, slow: Simulator, which: signal.Signals
) -> None:
    """A stopped run ends with 130 and reports what it has; the next one requests less than a whole run does."""
    process = start(folder, *sync(slow.url, "--json"))
    _wait_for(process.stderr, "Access OK for every table")
    process.send_signal(which)
    out, err = process.communicate(timeout=5)
    told = json.loads(out)
    assert (process.returncode, told["status"]) == (130, "interrupted")
    assert "Traceback" not in err
    slow.behaviour.latency = 0.0
    ended = run(folder, *sync(slow.url, "--json"))
    again = json.loads(ended.out)
    assert (ended.code, again["status"]) == (0, "complete")
    landed = {table["name"]: table["read"] for table in told["tables"]}
    messages = next(table for table in again["tables"] if table["name"] == "messages")
    assert messages["read"] == 25_000 - landed["messages"]


def test_while_a_sync_runs_another_is_refused_and_status_is_not(folder: Path, slow: Simulator) -> None:
    """Two runs never write the same copy; a look at the first one is always possible."""
    process = start(folder, *sync(slow.url))
    _wait_for(process.stderr, "topics: complete")
    second = run(folder, *sync(slow.url))
    looked = run(folder, "status", "--to=duckdb:///copy.duckdb")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert second.code == 2
    assert second.err.startswith("Error: Another process is running this task")
    assert second.err.count("\n") == 1
    assert looked.code == 0
    assert "open in another program" in looked.out
    assert "messages: not finished" in looked.out


def test_a_second_signal_ends_at_once(folder: Path, slow: Simulator) -> None:
    """Whoever cannot wait presses Ctrl-C again."""
    process = start(folder, *sync(slow.url))
    _wait_for(process.stderr, "Access OK for every table")
    process.send_signal(signal.SIGINT)
    _wait_for(process.stderr, "Stopping")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_who_goes_away_sees_no_traceback(folder: Path) -> None:
    """`tables | head` ends quietly."""
    process = start(folder, "tables", "messages")
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (141, "")


def _wait_for(stream: IO[str] | None, text: str) -> None:
    assert stream is not None
    for line in stream:
        if text in line:
            return
    raise AssertionError(f"the command ended without saying {text!r}")


def test_a_secret_that_every_user_may_read_is_warned_of(folder: Path, url: str) -> None:
    """A file that holds the access token or the salt; the run goes on, and shows neither."""
    for name, text in (("token", TOKEN), ("salt", "marked-salt-0123456789")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    kept = ("--access-token-from=file:token", "--salt=file:salt", "--columns=segments:hash=name")
    ended = run(folder, *sync(url, "--tables=segments", *kept), token=None)
    assert ended.code == 0, ended
    assert [f"The file {name} holds a secret" in ended.err for name in ("token", "salt")] == [True, True]
    assert TOKEN not in ended.out + ended.err
    assert "marked-salt" not in ended.out + ended.err
