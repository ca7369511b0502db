"""The commands that only look: `tables`, `check`, `plan`, `status`, and what `--help` says."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from cio_replicate.base.version import __version__
from cio_replicate.cli.app import LazyCommand, program
from cio_replicate.source import catalog
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.cli.running import START, TOKEN, run, spawn

COMMANDS = (
    *("demo", "sync", "check", "plan", "status", "tables", "simulate"),
    *("verify", "resync", "backfill", "load", "preview", "drop", "destinations"),
    *("connection", "task", "channel", "secret", "apply", "export", "gateway"),
    *("runs", "scheduler", "console"),
)


def test_the_version_is_printed(folder: Path) -> None:
    """`--version` prints name and version."""
    assert run(folder, "--version").out == f"cio-replicate {__version__}\n"


def test_there_are_the_promised_commands() -> None:
    """The commands are those of the documentation, no more and no fewer."""
    assert sorted(program().commands) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(folder: Path, name: str) -> None:
    """Each option of a command is in its help, with a sentence."""
    ended = run(folder, name, "--help", variables={"COLUMNS": "200"})
    assert ended.code == 0
    command = program().commands[name]
    for option in (command.loaded if isinstance(command, LazyCommand) else command).params:
        assert all(spelling in ended.out for spelling in (*option.opts, *option.secondary_opts) if spelling[0] == "-")
        assert getattr(option, "help", None), f"{name} {option.name} has no sentence"


def test_tables_lists_every_table(folder: Path) -> None:
    """One line per table begins with its name; as JSON, with the fields that a program needs."""
    listed = run(folder, "tables").out.splitlines()
    assert all(any(line.startswith(f"{name} ") for line in listed) for name in catalog.names())
    told = json.loads(run(folder, "tables", "--json").out)["tables"]
    assert [one["name"] for one in told] == list(catalog.names())
    assert told[0].keys() == {"name", "method", "key", "replication_key", "about"}


def test_tables_describes_one_table(folder: Path) -> None:
    """Every column of a table is shown with its type, and so are those that all tables have."""
    shown = run(folder, "tables", "messages", variables={"COLUMNS": "200"}).out
    told = json.loads(run(folder, "tables", "messages", "--json").out)
    columns = [column["name"] for column in told["columns"]]
    assert {column.name for column in catalog.table("messages").columns} <= set(columns)
    assert "_cio_deleted_at" in columns
    assert all(name in shown for name in columns)
    assert told["reference"] in shown


def test_check_finds_every_table_readable(folder: Path, url: str) -> None:
    """One request a table, and a look at the destination."""
    ended = run(folder, "check", f"--api-url={url}", "--to=duckdb:///copy.duckdb", "--json", "--max-rps=500")
    told = json.loads(ended.out)
    assert (ended.code, told["status"], told["requests"]) == (0, "ready", len(TABLES))
    assert all(table["readable"] for table in told["tables"])
    assert told["destination_error"] is None
    assert list(folder.iterdir()) == []


def test_check_names_the_cause_and_the_fix(folder: Path, closed_url: str) -> None:
    """A table without a scope is told apart from the others."""
    ended = run(folder, "check", f"--api-url={closed_url}", "--max-rps=500")
    assert ended.code == 2
    assert f"1 of {len(TABLES)} tables cannot be read" in ended.out
    assert "403" in ended.out
    assert "--exclude" in ended.out.replace("\n", " ")
    assert TOKEN not in ended.out + ended.err


def test_plan_tells_the_cost_before_anything_is_read(folder: Path, url: str) -> None:
    """Every table has a number of requests and where it comes from, for few requests."""
    ended = run(folder, "plan", f"--start-date={START}", f"--api-url={url}", "--max-rps=500", "--json")
    told = json.loads(ended.out)
    plans = {table["table"]: table for table in told["tables"]}
    assert ended.code == 0
    assert plans["topics"] == plans["topics"] | {"least": 1, "most": 1, "basis": "one answer a list"}
    assert plans["eps_suppression"]["basis"] == "counted"
    assert plans["newsletters"]["most"] is None
    assert told["asked"] < 20
    assert list(folder.iterdir()) == []
    assert "At least" in run(folder, "plan", f"--start-date={START}", f"--api-url={url}", "--max-rps=500").out


def test_plan_goes_by_the_copy_and_the_last_run(folder: Path, url: str) -> None:
    """After a run the plan asks nothing, and foretells what the next one needs; both ways to read people are told."""
    options = (f"--start-date={START}", f"--api-url={url}", "--to=duckdb:///copy.duckdb", "--max-rps=500", "--json")
    state = f"--state-dir={folder / 'state'}"
    assert run(folder, "sync", *options, state).code == 0
    told = json.loads(run(folder, "plan", *options, state).out)
    report = json.loads(run(folder, "sync", *options, state).out)
    assert told["asked"] == 0
    assert told["least"] == told["most"]
    assert abs(told["least"] - report["requests"]) <= 2
    assert report["expected"]["requests"] == told["least"]
    basis = {table["table"]: table["basis"] for table in told["tables"]}
    assert (basis["messages"], basis["topics"]) == ("rows in the copy", "last run")
    assert told["customers"]["changes"] < told["customers"]["full"]


def test_plan_by_other_rules_for_columns_reads_anew(folder: Path, url: str) -> None:
    """The rows of a table that the rules concern are all to be read, of another one those that are due."""
    options = (f"--start-date={START}", f"--api-url={url}", "--to=duckdb:///copy.duckdb", "--max-rps=500", "--json")
    assert run(folder, "sync", *options, "--tables=messages").code == 0
    rows = []
    for rules in ((), ("--columns=messages:exclude=recipient",)):
        told = json.loads(run(folder, "plan", *options, "--tables=messages", *rules).out)
        rows.append(told["tables"][0]["rows"])
    assert rows[0] < rows[1]


def test_plan_with_a_wrong_key_is_refused(folder: Path, url: str) -> None:
    """Without access there is nothing to go by."""
    ended = run(folder, "plan", f"--start-date={START}", f"--api-url={url}", "--max-rps=500", token="wrong")
    assert ended.code == 2
    assert "App API key" in ended.err


def test_status_before_the_first_run(folder: Path) -> None:
    """A copy that is not there yet is no error."""
    ended = run(folder, "status", "--to=duckdb:///copy.duckdb", token=None)
    assert ended.code == 0
    assert "Nothing has been copied here yet" in ended.out
    assert list(folder.iterdir()) == []


def test_status_shows_positions_and_runs(synced: Path) -> None:
    """Every table has its rows, its start and how far it is complete; the last runs follow."""
    ended = run(synced, "status", "--to=duckdb:///copy.duckdb", "--json", token=None)
    told = json.loads(ended.out)
    assert ended.code == 0
    assert [table["name"] for table in told["tables"]] == list(catalog.names())
    assert next(table["rows"] for table in told["tables"] if table["name"] == "messages") == 1_500
    assert all(table["through"] for table in told["tables"])
    dated = {table.name for table in TABLES if table.start_date_column}
    assert {table["name"] for table in told["tables"] if table["start"] == f"{START}T00:00:00Z"} == dated
    assert [one["status"] for one in told["runs"]] == ["complete"]
    assert told["unfinished"] == []
    assert "complete to (UTC)" in run(synced, "status", "--to=duckdb:///copy.duckdb").out


def test_status_of_a_locked_file_shows_the_runs(synced: Path) -> None:
    """While another program holds the file, the journal's part is shown, and one line says why the rest is missing."""
    with duckdb.connect(str(synced / "copy.duckdb")):
        ended = spawn(synced, "status", "--to=duckdb:///copy.duckdb")
    assert ended.code == 0
    assert "open in another program" in ended.out
    assert "last runs" in ended.out


def test_an_api_that_knows_fewer_parameters_can_still_be_read(tmp_path: Path) -> None:
    """Where kinds of suppression are refused, check and plan say what sync would do."""
    old = Faults(
        tuple(
            Fault(kind="status", path=path, times=None, params={"status": 400, "body": "json"})
            for path in ("/v1/esp/suppression/blocks", "/v1/esp/suppression/invalid_emails")
        )
    )
    with Simulator(WorkspaceSpec(seed=2), token=TOKEN, faults=old) as simulator:
        address = f"--api-url={simulator.url}"
        assert run(tmp_path, "check", address).code == 0
        planned = run(tmp_path, "plan", address, "--start-date=2025-09-01", "--json")
    assert planned.code == 0
    assert "error" not in {key for one in json.loads(planned.out)["tables"] for key, value in one.items() if value}
