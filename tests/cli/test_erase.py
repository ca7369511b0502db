"""`sync --erase` as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

from customerio_simulator import Simulator, WorkspaceSpec
from tests.cli.running import TOKEN, run, sync
from tests.duckdb_files import duckdb_file

ONLY = "--tables=customers,messages,activities"


def test_a_deleted_person_is_erased(folder: Path) -> None:
    """The run says how many people it erased, and the copy holds nothing of them but what tells rows apart."""
    with Simulator(WorkspaceSpec(people=30, messages=200, activities=50), token=TOKEN) as simulator:
        assert run(folder, *sync(simulator.url, ONLY, "--quiet")).code == 0
        key, record = next(iter(simulator.workspace.truth_items("customers")))
        email = json.loads(record)["attributes"]["email"]
        simulator.workspace.delete("customers", key)
        ended = run(folder, *sync(simulator.url, ONLY, "--erase"))
        again = run(folder, *sync(simulator.url, ONLY, "--erase", "--json"))
    assert (ended.code, again.code) == (0, 0)
    assert "People erased: 1." in ended.out + ended.err
    assert json.loads(again.out)["erased"] == 0
    with duckdb_file(folder / "copy.duckdb", read_only=True) as connection:
        erased = connection.execute("SELECT cio_id FROM customerio._cio_erasures").fetchall()
        left = connection.execute(
            "SELECT count(*) FROM customerio.messages WHERE recipient = ? OR customer_identifiers__email = ?",
            [email, email],
        ).fetchall()
        people = connection.execute(
            "SELECT identifiers__email, attributes FROM customerio.customers WHERE cio_id = ?", [key]
        ).fetchall()
    assert (erased, left, people) == ([(key,)], [(0,)], [(None, None)])


def test_rules_that_hide_whom_rows_are_about_are_refused(folder: Path) -> None:
    """Before anything is read, with what to do."""
    rule = "--columns=messages:exclude=customer_identifiers__cio_id"
    ended = run(folder, *sync("http://127.0.0.1:1", "--erase", rule))
    assert ended.code == 2
    assert "--erase finds rows by" in ended.err
    assert "Keep that column" in ended.err
    assert not list(folder.iterdir())
