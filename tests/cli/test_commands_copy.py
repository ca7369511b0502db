"""The commands that look after a copy: what they print, how they end, and that a wrong call writes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cio_replicate.sinks.kinds import KINDS
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.cli.running import START, TOKEN, Ended, run, spawn, sync
from tests.cli.test_refusals import OTHERS, refused
from tests.duckdb_files import duckdb_file

TO = "--to=duckdb:///copy.duckdb"
ONLY = "--tables=segments,topics,customers,workspaces,messages"


def source(url: str) -> tuple[str, ...]:
    """The options that reach a simulator."""
    return (f"--api-url={url}", "--max-rps=500")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, url: str) -> Path:
    """A folder with a copy whose pages are kept, to be copied from."""
    path = tmp_path_factory.mktemp("made") / "here"
    path.mkdir()
    ended = run(path, *sync(url, ONLY, "--keep-landed", "--state-dir=state"))
    assert ended.code == 0, ended.err
    return path


@pytest.fixture
def here(made: Path, folder: Path) -> Path:
    """A folder of the test's own with that copy."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    (state,) = (folder / "state").iterdir()
    shutil.rmtree(state)  # it belongs to the file in the other folder
    return folder


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """The answer of the copy."""
    with duckdb_file(folder / "copy.duckdb") as connection:
        return connection.execute(query).fetchall()


def told(ended: Ended) -> Any:  # Any: a JSON document
    """The document that a command has written."""
    return json.loads(ended.out)


def test_verify_finds_a_true_copy_true(here: Path, url: str) -> None:
    """A line per table with both counts and the verdict, the sum, and a row per table in the copy."""
    ended = run(here, "verify", TO, *source(url))
    lines = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.strip()}
    assert (ended.code, ended.err) == (0, "")
    assert lines["segments"] == ["12", "12", "proved"]
    assert lines["messages"] == ["1,500", "consistent"]
    assert "The copy holds what was loaded into it: 5 tables, 3 proved, 2 consistent; it took 4 requests." in ended.out
    rows = ask(here, "SELECT table_name, verdict FROM customerio._cio_proof WHERE run_id LIKE 'verify-%'")
    assert ("segments", "proved") in rows
    assert len(rows) == 5


def test_verify_without_requests_needs_no_token(here: Path) -> None:
    """What was loaded is compared with what is there; as JSON, with how it was found out."""
    ended = run(here, "verify", TO, "--requests=0", "--json", token=None)
    found = told(ended)
    assert (ended.code, found["status"], found["requests"]) == (0, "true", 0)
    assert {one["proof"]["verdict"] for one in found["tables"]} == {"consistent"}
    assert all(one["proof"]["digest"] == one["proof"]["landed"] != "" for one in found["tables"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM customerio.segments WHERE id = 3", "1 row fewer than were loaded"),
        ("INSERT INTO customerio.segments (id, _cio_key) VALUES (99, '99')", "1 row more than were loaded"),
        ("UPDATE customerio.segments SET _cio_key = '99' WHERE id = 3", "other rows than were loaded"),
    ],
)
def test_a_copy_that_somebody_changed_is_short_until_resync_mends_it(
    change: str, said: str, here: Path, url: str
) -> None:
    """`verify` ends with 1 and says what to do; `resync` does it."""
    ask(here, change)
    ended = run(here, "verify", TO, *source(url))
    assert ended.code == 1
    assert "The copy is not true: 5 tables, " in ended.out
    assert "1 short" in ended.out
    assert said in ended.out
    assert "cio-replicate resync" in ended.out
    mended = run(here, "resync", "segments", f"--start-date={START}", TO, *source(url), "--json")
    assert (mended.code, [one["name"] for one in told(mended)["tables"]]) == (0, ["segments"])
    assert told(mended)["tables"][0]["proof"]["verdict"] == "proved"
    assert run(here, "verify", TO, *source(url), "--json").code == 0
    assert ask(here, "SELECT count(*) FROM customerio.segments WHERE _cio_deleted_at IS NULL") == [(12,)]


def test_what_is_new_at_the_source_since_the_last_run_is_no_loss(folder: Path) -> None:
    """`verify` says that the source has more now, and ends with 0; the next sync brings it."""
    with Simulator(WorkspaceSpec(messages=10, activities=10, hostile=False), token=TOKEN) as simulator:
        assert run(folder, *sync(simulator.url, "--tables=topics,segments")).code == 0
        record = json.loads(next(iter(simulator.workspace.truth_items("topics")))[1])
        simulator.workspace.put("topics", record | {"id": 77})
        ended = run(folder, "verify", TO, *source(simulator.url))
    assert ended.code == 0
    assert "1 proved, 1 unproved" in ended.out
    assert "topics: The length of the list says 5, the copy has 4" in ended.out


def test_backfill_reads_what_lies_before_the_start_date(here: Path, url: str) -> None:
    """The rows of that time come, and the position stays."""
    ended = run(here, "backfill", "messages", "--from=2025-08-20", "--until=2025-09-20", TO, *source(url), "--json")
    (table,) = told(ended)["tables"]
    assert (ended.code, table["status"], table["deleted"]) == (0, "complete", 0)
    assert 0 < table["read"] < 1_500
    shown = told(run(here, "status", TO, "--json"))
    assert {one["name"]: one["start"] for one in shown["tables"]}["messages"] == f"{START}T00:00:00Z"


def test_status_shows_the_newest_verdict(made: Path) -> None:
    """On a terminal and as JSON; a copy that was not judged on this machine has none."""
    shown = run(made, "status", TO, "--state-dir=state")
    assert next(line.split()[-1] for line in shown.out.splitlines() if line.startswith("segments")) == "proved"
    found = told(run(made, "status", TO, "--state-dir=state", "--json"))
    assert {one["name"]: one["verdict"] for one in found["tables"]}["messages"] == "consistent"
    assert {one["verdict"] for one in told(run(made, "status", TO, "--json"))["tables"]} == {None}


def test_load_fills_another_destination_without_a_request(made: Path) -> None:
    """It needs no token, prints what a sync prints, and leaves the copy true."""
    into = ("--from-landing=duckdb:///copy.duckdb", "--to=duckdb:///other.duckdb", "--state-dir=state")
    ended = run(made, "load", *into, ONLY, token=None)
    assert (ended.code, ended.err) == (0, "")
    assert "Complete: 5 tables" in ended.out
    assert "with 0 requests." in ended.out
    again = told(run(made, "load", *into, "--json", token=None))
    assert (again["status"], sum(one["inserted"] + one["updated"] for one in again["tables"])) == ("complete", 0)
    assert again["notes"][0].startswith("Nothing is kept of broadcasts")
    assert run(made, "load", *into, "--quiet", token=None).out == ""
    assert run(made, "verify", "--to=duckdb:///other.duckdb", "--requests=0", "--state-dir=state").code == 0


def test_load_by_other_rules_fails_and_says_so(made: Path) -> None:
    """The pages do not have what the columns are to hold."""
    ended = run(
        made,
        *("load", "--from-landing=duckdb:///copy.duckdb", "--to=duckdb:///third.duckdb", "--state-dir=state"),
        *("--tables=topics", "--columns=topics:exclude=description", "--json"),
    )
    assert (ended.code, told(ended)["status"]) == (1, "failed")
    assert "Give the same options as then." in told(ended)["tables"][0]["error"]


@pytest.mark.parametrize("table", ["campaigns", "customers", "messages", "eps_suppression", "ip_addresses"])
def test_preview_shows_rows_and_writes_nothing(table: str, folder: Path, url: str) -> None:
    """As blocks, and as JSON with all columns; also of tables that take more than one request."""
    ended = run(folder, "preview", table, "--rows=2", *source(url))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{table} 1\n")
    assert "2 rows; columns without a value are left out. Nothing was written." in ended.out
    rows = told(run(folder, "preview", table, "--rows=2", "--json", *source(url)))
    assert len(rows) == 2
    assert list(folder.iterdir()) == []


def test_a_key_that_may_not_list_workspaces_verifies_all_else(folder: Path) -> None:
    """People cannot be counted then, which is a note; the keys that were loaded are compared, and lists counted."""
    spec = WorkspaceSpec(messages=10, activities=10, people=20, hostile=False)
    with Simulator(spec, token=TOKEN, denied=["workspaces"]) as simulator:
        assert run(folder, *sync(simulator.url, "--tables=customers,topics")).code == 0
        ended = run(folder, "verify", TO, *source(simulator.url))
    assert ended.code == 0, ended
    assert "2 tables, 1 proved, 1 consistent" in ended.out
    assert "customers: It could not be counted at the source. The access token may not read" in ended.out


def test_other_names_than_those_of_the_copy_are_refused(here: Path, url: str) -> None:
    """Sync, load, verify and resync write nothing; `status` says that it cannot count the rows."""
    before, names = (here / "copy.duckdb").read_bytes(), "--table-prefix=x_"
    lists = ("resync", "topics", f"--start-date={START}", TO, *source(url))
    for call in (sync(url, ONLY, names), ("verify", TO, names, "--requests=0"), (*lists, names)):
        ended = run(here, *call)
        assert ended.code == 2, ended
        assert "is called" in ended.err, ended
        assert "--table-prefix" in ended.err
    shown = run(here, "status", TO, names)
    assert "have other names in the copy. Give --table-prefix" in " ".join(shown.out.split())
    assert (here / "copy.duckdb").read_bytes() == before
    told_ = told(run(here, "status", TO, names, "--json"))
    assert {(one["name"], one["called"], one["rows"]) for one in told_["tables"]} == {
        (name, name, None) for name in ("segments", "topics", "customers", "workspaces", "messages")
    }


def test_preview_treats_columns_as_a_copy_would(folder: Path, url: str) -> None:
    """What is left out, masked or renamed there is so here."""
    ended = run(
        folder,
        *("preview", "customers", "--rows=1", "--json", *source(url), "--column-prefix=c_"),
        *("--columns=customers:exclude=attributes", "--columns=customers:mask=identifiers__email"),
    )
    (row,) = told(ended)
    assert "c_attributes" not in row
    assert row["c_identifiers__email"].startswith("***@")


def test_drop_removes_a_table_and_a_sync_brings_it_back(here: Path, url: str) -> None:
    """Others stay; what is dropped twice is not there any more."""
    ended = run(here, "drop", "segments", TO, "--yes")
    assert (ended.code, ended.out) == (0, "Removed: segments. A later sync copies anew what it selects.\n")
    tables = ask(here, "SELECT table_name FROM duckdb_tables() WHERE table_name IN ('segments', 'topics')")
    assert tables == [("topics",)]
    again = run(here, "drop", "segments", TO, "--yes")
    assert (again.code, "segments cannot be found" in again.err) == (2, True)
    assert run(here, *sync(url, "--tables=segments,topics")).code == 0
    assert ask(here, "SELECT count(*) FROM customerio.segments") == [(12,)]


def test_drop_of_all_leaves_no_copy(here: Path) -> None:
    """Not even its records of runs; what is somebody else's stays."""
    ask(here, "CREATE TABLE customerio.mine AS SELECT 1 AS one")
    other = run(here, "drop", "--all", TO, "--yes", "--table-prefix=x_")
    assert (other.code, "--table-prefix" in other.err) == (2, True)
    assert run(here, "drop", "--all", TO, "--yes").code == 0
    assert ask(here, "SELECT table_name FROM duckdb_tables()") == [("mine",)]
    assert run(here, "drop", "--all", TO, "--yes").code == 2


@pytest.mark.parametrize(
    ("answer", "code", "said"), [("y\n", 0, "Removed"), ("n\n", 130, "Nothing was removed."), ("", 2, "Say --yes.")]
)
def test_drop_asks_first(answer: str, code: int, said: str, here: Path) -> None:
    """Who says no, or cannot answer, loses nothing."""
    ended = run(here, "drop", "segments", TO, said=answer)
    assert (ended.code, said in ended.out + ended.err) == (code, True)
    assert "Remove segments in duckdb://" in ended.err
    assert len(ask(here, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'segments'")) == (code != 0)


def test_a_table_that_is_dropped_before_its_first_read_ended_is_read_whole(folder: Path) -> None:
    """What had landed and was loaded is gone with the table, so it is asked for again."""
    spec = WorkspaceSpec(messages=9_000, activities=10, start=1_788_000_000, hostile=False)
    with Simulator(spec, token=TOKEN) as simulator:
        simulator.faults = Faults((Fault(kind="status", table="messages", nth=5, times=None, params={"status": 400}),))
        assert run(folder, *sync(simulator.url, "--tables=messages")).code == 1
        simulator.faults = Faults()
        assert run(folder, "drop", "messages", TO, "--yes").code == 0
        assert run(folder, *sync(simulator.url, "--tables=messages")).code == 0
    assert ask(folder, "SELECT count(*) FROM customerio.messages") == [(9_000,)]


def test_destinations_lists_every_kind_and_describes_one(folder: Path) -> None:
    """With the form of --to, what it needs, and how to look at a copy."""
    shown = run(folder, "destinations", variables={"COLUMNS": "200"})
    assert shown.code == 0
    assert all(kind.form in shown.out for kind in KINDS)
    listed = told(run(folder, "destinations", "--json"))
    assert [one["scheme"] for one in listed] == [kind.scheme for kind in KINDS]
    one = run(folder, "destinations", "postgres").out
    assert "password" in one
    assert "psql" in one


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "verify without a destination": (("verify",), "--to"),
    "verify where there is no copy": (("verify", TO), "Run `sync` first."),
    "verify with too few requests": (("verify", TO, "--requests=-1"), "--requests"),
    "verify of an unknown table": (("verify", TO, "--tables=x"), "The tables are:"),
    "resync of nothing": (("resync", f"--start-date={START}", TO), "TABLE"),
    "resync of an empty name": (("resync", "", f"--start-date={START}", TO), "The tables are:"),
    "resync of an unknown table": (("resync", "segmentz", f"--start-date={START}", TO), "Perhaps segments is meant."),
    "resync with a wrong date": (("resync", "segments", "--start-date=x", TO), "2024-01-31"),
    "resync of selected tables": (("resync", "segments", f"--start-date={START}", TO, "--tables=x"), "--help"),
    "backfill of a list": (("backfill", "segments", "--from=2024-01-31", TO), "messages"),
    "backfill without a beginning": (("backfill", "messages", TO), "--from"),
    "backfill from a wrong date": (("backfill", "messages", "--from=x", TO), "--from 'x' is not a date"),
    "backfill until a wrong date": (("backfill", "messages", f"--from={START}", "--until=x", TO), "--until 'x'"),
    "backfill until to come": (("backfill", "messages", f"--from={START}", "--until=2999-01-01", TO), "in the future"),
    "backfill backwards": (("backfill", "messages", f"--from={START}", "--until=2024-01-31", TO), "Turn them round."),
    "backfill of what is replaced": (("backfill", "messages", f"--from={START}", TO, "--mode=full"), "--start-date"),
    "backfill without a copy": (
        ("backfill", "messages", f"--from={START}", TO, f"--api-url={OTHERS}"),
        "Run `sync` for it first",
    ),
    "load without pages": (("load", "--from-landing=duckdb:///a.duckdb", TO), "--keep-landed"),
    "load into itself": (("load", "--from-landing=duckdb:///copy.duckdb", TO), "another destination"),
    "load from nowhere": (("load", TO), "--from-landing"),
    "load from an unknown kind": (("load", "--from-landing=oracle://x", TO), "duckdb:///"),
    "preview of an unknown table": (("preview", "compaigns"), "Perhaps campaigns is meant."),
    "preview of an empty name": (("preview", ""), "The tables are:"),
    "preview of too many rows": (("preview", "campaigns", "--rows=101"), "--rows"),
    "drop of nothing": (("drop", TO), "--all"),
    "drop of an empty name": (("drop", "", TO, "--yes"), "The tables are:"),
    "drop of an empty name among others": (("drop", "segments", "", TO, "--yes"), "The tables are:"),
    "drop of a comma": (("drop", ",", TO, "--yes"), "The tables are:"),
    "drop of some and all": (("drop", "segments", "--all", TO), "--all"),
    "drop where there is no copy": (("drop", "segments", TO, "--yes"), "Check --to and --dataset."),
    "drop of an unknown table": (("drop", "nothing", TO), "The tables are:"),
    "an unknown kind of destination": (("destinations", "oracle"), "Choose from: duckdb"),
    "an unknown mode": (sync(OTHERS, "--mode=fulll"), "full, apply, changes or history"),
    "a mode for an unknown table": (sync(OTHERS, "--mode=segmentz=full"), "Perhaps segments is meant."),
    "a log that would be replaced": (sync(OTHERS, "--mode=activities=full"), "Choose apply, changes or history"),
    "an unknown way to delete": (sync(OTHERS, "--deletes=never"), "soft or hard"),
    "an unknown column": (sync(OTHERS, "--columns=segments:exclude=x"), "There is no column 'x' in segments"),
    "hashes without a salt": (sync(OTHERS, "--columns=segments:hash=name"), "--salt"),
    "a salt that is not there": (sync(OTHERS, "--columns=segments:hash=name", "--salt=env:NO_SALT"), "NO_SALT"),
    "a prefix that is no name": (sync(OTHERS, "--table-prefix=a b"), "--table-prefix"),
    "an unknown case": (sync(OTHERS, "--column-case=camel"), "as-is, lower, upper"),
    "an unknown policy for new fields": (sync(OTHERS, "--schema-changes=stop"), "evolve, freeze, ignore"),
    "a token that is kept nowhere": (sync(OTHERS, "--access-token-from=env:NO_TOKEN"), "NO_TOKEN"),
    "a reference that is none": (sync(OTHERS, "--access-token-from=secret"), "env:NAME"),
    "a mode in a plan": (("plan", f"--start-date={START}", "--mode=x"), "full, apply, changes or history"),
}


@pytest.mark.parametrize("arguments_and_fix", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_call_is_refused_in_one_line(folder: Path, arguments_and_fix: tuple[tuple[str, ...], str]) -> None:
    """Each ends with 2 and one line that says what to do, and leaves nothing behind."""
    arguments, fix = arguments_and_fix
    refused(folder, run(folder, *arguments, token=TOKEN), fix)


@pytest.mark.parametrize("command", [("resync", "segments"), ("backfill", "messages", "--from=x"), ("load",)])
def test_json_of_a_refused_run_is_a_report(command: tuple[str, ...], folder: Path) -> None:
    """The commands that end in a report end in one when they are refused, too."""
    ended = run(folder, *command, "--json", TO, token=TOKEN)
    assert (ended.code, told(ended)["status"], told(ended)["tables"]) == (2, "refused", [])
    assert told(ended)["error"] in ended.err


def test_a_copy_that_is_in_use_is_left_alone(here: Path, url: str) -> None:
    """Each command says so in one line and ends with 2."""
    calls: list[Callable[[], Ended]] = [
        lambda: spawn(here, "verify", TO, *source(url)),
        lambda: spawn(here, "drop", "segments", TO, "--yes"),
        lambda: spawn(here, "resync", "segments", f"--start-date={START}", TO, *source(url)),
    ]
    with duckdb.connect(str(here / "copy.duckdb")):
        ended = [call() for call in calls]
    assert [one.code for one in ended] == [2, 2, 2]
    assert all("open in another program" in one.err and one.err.count("\n") == 1 for one in ended)


def test_check_tries_a_destination_and_leaves_nothing(made: Path, folder: Path, url: str) -> None:
    """In a file that is not there yet, and in one that is, though not in one that cannot be written."""
    ended = run(folder, "check", TO, "--to=duckdb:///nowhere/x.duckdb", *source(url))
    assert ended.code == 2
    assert "does not exist" in ended.out
    assert list(folder.iterdir()) == []
    before = ask(made, "SELECT table_name FROM duckdb_tables() ORDER BY 1")
    found = told(run(made, "check", TO, *source(url), "--json"))
    assert (found["status"], found["destination_error"]) == ("ready", None)
    assert ask(made, "SELECT table_name FROM duckdb_tables() ORDER BY 1") == before
