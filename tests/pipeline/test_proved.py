"""Each run proves its tables, and says so where the copy is not what it must be; the copy records it all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cio_replicate.config.table_options import (
    RECENT_DAYS,
    Deletes,
    PeopleRefresh,
    RereadPolicy,
    WriteMode,
    WriteOptions,
)
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus
from cio_replicate.pipeline.verification import Verifier
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline.copies import differences
from tests.pipeline.syncs import ALL, sync

DAY = 86_400
ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_run.py")
SMALL = WorkspaceSpec(seed=5, messages=300, activities=200, people=60, workspaces=1)
PEOPLE = (table("customers"), table("workspaces"), table("activities"))
HARD = {"customers": WriteOptions(WriteMode.APPLY, Deletes.HARD)}


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _verdict(report: Report, name: str) -> VerificationStatus:
    proof = _of(report, name).proof
    assert proof is not None
    return proof.verdict


def _ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb_file(folder / "copy.duckdb") as connection:
        return connection.execute(query).fetchall()


def test_a_true_copy_is_proved_or_consistent_after_every_run(tmp_path: Path) -> None:
    """Lists are proved by their length, people by the list of workspaces; of the rest the API gives no count."""
    with Simulator(SMALL) as simulator:
        for _ in range(3):
            report = sync(simulator, tmp_path)
            verdicts = {one.name: one.proof.verdict for one in report.tables if one.proof is not None}
            assert verdicts == dict.fromkeys(ALL, VerificationStatus.PROVED) | {
                "messages": VerificationStatus.CONSISTENT,
                "activities": VerificationStatus.CONSISTENT,
            }
            assert report.status is Status.COMPLETE
            simulator.evolve(5, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)


CHANGES = ["DELETE FROM {0} WHERE _cio_key = {1}", "INSERT INTO {0} BY NAME {2}"]


def _tamper(folder: Path, name: str, change: str) -> None:
    ((key,),) = _ask(folder, f"SELECT min(_cio_key) FROM customerio.{name}")
    another = f"SELECT * REPLACE ('x' AS _cio_key) FROM customerio.{name} LIMIT 1"
    _ask(folder, change.format(f"customerio.{name}", f"'{key}'", another))


@pytest.mark.parametrize("change", CHANGES, ids=["taken", "added"])
@pytest.mark.parametrize("mode", list(WriteMode))
def test_what_somebody_else_changed_in_a_list_the_next_sync_puts_right(
    mode: WriteMode, change: str, tmp_path: Path
) -> None:
    """The whole list is read, and tells what the table must hold, whatever it held before."""
    only, treatments = (table("segments"),), {"segments": WriteOptions(mode)}
    with Simulator(SMALL) as simulator:
        sync(simulator, tmp_path, tables=only, treatments=treatments)
        _tamper(tmp_path, "segments", change)
        for _ in range(2):
            report = sync(simulator, tmp_path, tables=only, treatments=treatments)
            assert (report.exit_code, _verdict(report, "segments")) == (0, VerificationStatus.PROVED)
        live = "_cio_deleted_at IS NULL" + (" AND _cio_is_current" if mode is WriteMode.HISTORY else "")
        assert _ask(tmp_path, f"SELECT count(*), min(id) FROM customerio.segments WHERE {live}") == [(12, 1)]


@pytest.mark.parametrize("change", CHANGES, ids=["taken", "added"])
def test_what_somebody_else_changed_elsewhere_is_short_until_a_resync(change: str, tmp_path: Path) -> None:
    """Of the log only what is new is read: the run fails the table and says it; reading it anew mends it."""
    only = (table("activities"),)
    with Simulator(SMALL) as simulator:
        sync(simulator, tmp_path, tables=only)
        _tamper(tmp_path, "activities", change)
        for _ in range(2):
            report = sync(simulator, tmp_path, tables=only)
            assert (report.exit_code, _verdict(report, "activities")) == (1, VerificationStatus.SHORT)
            assert "somebody else has changed it" in (_of(report, "activities").error or "")
        verdicts = _ask(tmp_path, "SELECT verdict FROM customerio._cio_proof ORDER BY proved_at")
        assert verdicts == [("consistent",), ("short",), ("short",)]
        again = sync(simulator, tmp_path, tables=only, refresh=("activities",), forget=True)
        assert (again.exit_code, _verdict(again, "activities")) == (0, VerificationStatus.CONSISTENT)
        assert sync(simulator, tmp_path, tables=only).exit_code == 0


def test_people_who_are_listed_without_being_handed_over_leave_it_unproved(tmp_path: Path) -> None:
    """They are missing from the copy, but nothing was lost."""
    with Simulator(SMALL) as simulator:
        every_second = Fault(kind="missing_ids", operation="getPeopleById", times=None, params={"every": 2})
        simulator.faults = Faults((every_second,))
        report = sync(simulator, tmp_path, tables=PEOPLE)
    assert (report.status, _verdict(report, "customers")) == (Status.COMPLETE, VerificationStatus.UNPROVED)
    assert _of(report, "customers").left_out == 60 - _of(report, "customers").inserted > 0


def _claims(simulator: Simulator, more: int) -> None:
    """Let the list of workspaces say that there are more people than there are."""
    _, raw = next(iter(simulator.workspace.truth_items("workspaces")))
    record = msgspec.json.decode(raw)
    simulator.workspace.put("workspaces", record | {"people": record["people"] + more})


def test_people_whom_the_list_lacks_make_it_short(tmp_path: Path) -> None:
    """The list of workspaces says more than the list of people gives: the run fails, and says both numbers."""
    with Simulator(SMALL) as simulator:
        _claims(simulator, 3)
        report = sync(simulator, tmp_path, tables=PEOPLE)
    assert (report.exit_code, _verdict(report, "customers")) == (1, VerificationStatus.SHORT)
    assert "The list of workspaces says 63, the copy has 60" in (_of(report, "customers").error or "")


@pytest.mark.parametrize("treatments", [{}, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize("tables", [PEOPLE, PEOPLE[:2]], ids=["log", "no log"])
def test_deletions_since_the_count_explain_the_difference(
    tables: tuple[Any, ...], treatments: dict[str, WriteOptions], tmp_path: Path
) -> None:
    """The count is up to two hours old, and the copy knows who has gone: by its own rows, or by the log."""
    with Simulator(SMALL) as simulator:
        now = simulator.workspace.now
        sync(simulator, tmp_path, tables=tables, treatments=treatments, now=now)
        keys = [key for key, _ in simulator.workspace.truth_items("customers")][:4]
        told = dict(simulator.workspace.truth_items("workspaces"))
        for key in keys:
            simulator.workspace.delete("customers", key)
        for raw in told.values():  # as it was counted before
            simulator.workspace.put("workspaces", raw)
        report = sync(simulator, tmp_path, tables=tables, treatments=treatments, now=now + 600)
        assert (_of(report, "customers").deleted, _verdict(report, "customers")) == (4, VerificationStatus.CONSISTENT)


def test_an_old_count_of_people_is_not_gone_by(tmp_path: Path) -> None:
    """Where a run has not read the list of workspaces, what the copy has of it says nothing of today."""
    with Simulator(SMALL) as simulator:
        now = simulator.workspace.now
        sync(simulator, tmp_path, tables=PEOPLE, now=now)
        for key in [key for key, _ in simulator.workspace.truth_items("customers")][:4]:
            simulator.workspace.delete("customers", key)
        assert sync(simulator, tmp_path, tables=PEOPLE[:1], now=now + DAY).exit_code == 0
        simulator.faults = Faults((Fault(kind="status", table="workspaces", times=None),))
        report = sync(simulator, tmp_path, tables=PEOPLE, now=now + 2 * DAY)
    assert (_of(report, "workspaces").status, _of(report, "customers").status) == (Status.FAILED, Status.COMPLETE)


def test_a_failed_table_is_unproved_and_the_run_is_recorded_all_the_same(tmp_path: Path) -> None:
    """The copy tells of each run and table what the report tells."""
    only = (table("topics"), table("segments"))
    with Simulator(SMALL) as simulator:
        simulator.faults = Faults((Fault(kind="missing_key", table="topics", times=None),))
        report = sync(simulator, tmp_path, tables=only)
    assert (_verdict(report, "topics"), _verdict(report, "segments")) == (
        VerificationStatus.UNPROVED,
        VerificationStatus.PROVED,
    )
    assert _ask(tmp_path, "SELECT run_id, status, requests, rows_read, inserted, error FROM customerio._cio_runs") == [
        (report.run_id, "failed", report.requests, 12, 12, None)
    ]
    names = ("name", "status", "read", "inserted", "updated", "deleted", "requests", "misfits", "seconds", "error")
    recorded = _ask(
        tmp_path,
        "SELECT table_name, status, rows_read, inserted, updated, deleted, requests, misfits, seconds, error, mode "
        "FROM customerio._cio_run_tables",
    )
    told = [(*(getattr(one, name) for name in names), "apply") for one in report.tables]
    assert sorted(recorded, key=str) == sorted(told, key=str)
    assert _ask(tmp_path, "SELECT count(*) FROM customerio._cio_proof") == [(2,)]


def test_a_killed_run_stays_in_the_copy_as_interrupted(tmp_path: Path) -> None:
    """The run that goes on from it has a row of its own."""
    with Simulator(SMALL) as simulator:
        done = subprocess.run(
            [sys.executable, str(DRIVER), simulator.url, str(tmp_path), "after commit", "9"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CIO_ACCESS_TOKEN": "simulator-token"},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL
        report = sync(simulator, tmp_path)
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}
    runs = _ask(tmp_path, "SELECT status, ended IS NULL FROM customerio._cio_runs ORDER BY ended NULLS FIRST")
    assert runs == [("interrupted", True), ("complete", False)]
    assert {one.proof.verdict for one in report.tables if one.proof is not None} <= {
        VerificationStatus.PROVED,
        VerificationStatus.CONSISTENT,
    }


def test_more_keys_than_are_read_back_are_counted(tmp_path: Path) -> None:
    """`verify` reads them all: a row that was put in the place of another shows there."""
    only = {"segments": table("segments")}
    with Simulator(SMALL) as simulator:
        sync(simulator, tmp_path, tables=tuple(only.values()))
    _ask(tmp_path, "UPDATE customerio.segments SET _cio_key = 'x' WHERE id = 2")
    found = []
    for deep in (False, True):
        report = TableReport(name="segments", status=Status.COMPLETE)
        copy = DuckDBSink(tmp_path / "copy.duckdb", "customerio")
        copy.open()
        Verifier(copy, only, f"proof {deep}", 1_790_000_000, deep=deep, most_read_back=5).prove([report])
        copy.close()
        assert report.proof is not None
        found.append((report.proof.verdict, report.proof.digest == ""))
    assert found == [(VerificationStatus.UNPROVED, True), (VerificationStatus.SHORT, False)]


@pytest.mark.parametrize("rules", [RereadPolicy(), RereadPolicy(people=PeopleRefresh.CHANGES)])
def test_rules_for_columns_do_not_disturb_the_proof(rules: RereadPolicy, tmp_path: Path) -> None:
    """Every table is as well known in a copy that is read in part as in one that is read whole."""
    with Simulator(SMALL) as simulator:
        sync(simulator, tmp_path, tables=TABLES, rules=rules)
        assert sync(simulator, tmp_path, tables=TABLES, rules=rules).status is Status.COMPLETE
