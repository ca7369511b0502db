"""Deletions are inferred from complete reads only: whatever was read in part deletes nothing, in any change mode."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cio_replicate.config.table_options import PeopleRefresh, RereadPolicy, WriteMode, WriteOptions
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline.syncs import sync

DAY = 86_400
ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_run.py")
SPEC = WorkspaceSpec(seed=6, messages=2_500, activities=400, people=250, newsletters=230, hostile=False)
WHOLE_LISTS = tuple(one for one in TABLES if one.absence_deletes and one.name != "customers")


@dataclass
class Case:
    """One way of reading in part: which table, how it comes about, and how the next run is called."""

    table: str
    disturb: Callable[[Simulator], object] = lambda _: None
    order: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.COMPLETE
    before: tuple[Table, ...] = ()
    later: int = 0  # seconds between the two runs


def _fails(**fault: Any) -> Callable[[Simulator], None]:  # Any: the fields of a fault
    def disturb(simulator: Simulator) -> None:
        simulator.faults = Faults((Fault(times=None, **fault),))

    return disturb


def _empty_once(simulator: Simulator) -> None:
    simulator.faults = Faults((Fault(kind="wrong_type", table="topics", params={"value": []}),))


def _no_suppression_list(simulator: Simulator) -> None:
    path = "/v1/esp/suppression/bounces"
    simulator.faults = Faults((Fault(kind="status", path=path, times=None, params={"status": 404}),))


NOW = SPEC.now
CASES = {
    "a page fails midway": Case("newsletters", _fails(kind="status", table="newsletters", nth=2), status=Status.FAILED),
    "a page is damaged": Case("newsletters", _fails(kind="cut_json", table="newsletters", nth=2), status=Status.FAILED),
    "a page lacks its list": Case(
        "newsletters", _fails(kind="missing_key", table="newsletters", nth=2), status=Status.FAILED
    ),
    "a part is not there": Case("eps_suppression", _no_suppression_list),
    "a list is empty once": Case("topics", _empty_once),
    "a later start date": Case("campaigns", order={"start": NOW - 30 * DAY}),
    "a later start date for messages": Case("messages", order={"start": NOW - 30 * DAY}),
    "messages of some windows": Case("messages", later=DAY),
    "a window of messages fails": Case(
        "messages", _fails(kind="status", table="messages", nth=2), status=Status.FAILED
    ),
    "a backfill": Case("messages", order={"start": NOW - 90 * DAY, "backfill": (NOW - 90 * DAY, NOW - 80 * DAY)}),
    "a log that ends early": Case("activities", later=DAY),
    "a log that has forgotten": Case(
        "activities", lambda simulator: simulator.workspace.advance(20 * DAY), later=20 * DAY
    ),
    "people who are kept back": Case("customers", _fails(kind="missing_ids", operation="getPeopleById")),
    "people of whom only some are asked for": Case(
        "customers",
        order={"rules": RereadPolicy(people=PeopleRefresh.CHANGES)},
        before=(table("activities"),),
        later=DAY,
    ),
    "attributes of people fail": Case(
        "customers", _fails(kind="status", path="/v1/customers/attributes"), status=Status.FAILED
    ),
}


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _spans(simulator: Simulator) -> set[tuple[int, int]]:
    """The times (unix seconds) for which messages were asked."""
    asked = [parse_qs(urlsplit(request.target).query) for request in simulator.requests]
    return {(int(one["start_ts"][0]), int(one["end_ts"][0])) for one in asked}


def _live(folder: Path, name: str, mode: WriteMode) -> int:
    live = "_cio_deleted_at IS NULL" + (" AND _cio_is_current" if mode is WriteMode.HISTORY else "")
    with duckdb_file(folder / "copy.duckdb", read_only=True) as connection:
        found = connection.execute(f'SELECT count(*) FROM customerio."{name}" WHERE {live}').fetchone()
    assert found is not None
    return int(found[0])


def _modes(case: Case) -> list[WriteMode]:
    """The modes that take deletions in different ways; a log that forgets is never replaced."""
    forgets = table(case.table).retention_days is not None
    return [WriteMode.APPLY, WriteMode.HISTORY, *([] if forgets else [WriteMode.FULL])]


@pytest.mark.parametrize(
    ("case", "mode"),
    [
        pytest.param(case, mode, id=f"{name}-{mode}", marks=pytest.mark.slow if mode is WriteMode.HISTORY else ())
        for name, case in CASES.items()
        for mode in _modes(case)
    ],
)
def test_what_is_read_in_part_deletes_nothing(case: Case, mode: WriteMode, tmp_path: Path) -> None:
    """The copy keeps every row that it had, the run reports no deletion, and the copy is still consistent."""
    tables, treatments = (*case.before, table(case.table)), {case.table: WriteOptions(mode)}
    with Simulator(SPEC) as simulator:
        sync(
            simulator,
            tmp_path,
            tables=tables,
            treatments=treatments,
            now=NOW,
            rules=case.order.get("rules", RereadPolicy()),
        )
        before = _live(tmp_path, case.table, mode)
        case.disturb(simulator)
        report = sync(simulator, tmp_path, tables=tables, treatments=treatments, now=NOW + case.later, **case.order)
    found = _of(report, case.table)
    assert (found.status, found.deleted) == (case.status, 0)
    assert (
        found.proof is None or found.proof.verdict is not VerificationStatus.SHORT
    )  # none where not one page was let in
    assert _live(tmp_path, case.table, mode) == before > 0


def test_other_tables_than_those_selected_are_left_alone(tmp_path: Path) -> None:
    """A run of one table says nothing of the others, though they are gone at the source."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=(table("topics"), table("segments")))
        for key in [key for key, _ in simulator.workspace.truth_items("segments")]:
            simulator.workspace.delete("segments", key)
        sync(simulator, tmp_path, tables=(table("topics"),))
    assert _live(tmp_path, "segments", WriteMode.APPLY) == SPEC.segments


def test_a_run_that_is_killed_before_a_table_is_closed_deletes_nothing(tmp_path: Path) -> None:
    """Its pages are loaded; only the run that reads the list to its end takes what is gone."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CIO_ACCESS_TOKEN": "simulator-token"}
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path)
        lists = [one for one in WHOLE_LISTS if one.parent is None]
        keys = {one.name: [key for key, _ in simulator.workspace.truth_items(one.name)] for one in lists}
        for name, some in keys.items():
            simulator.workspace.delete(name, some[0])
        command = [sys.executable, str(DRIVER), simulator.url, str(tmp_path), "before commit", "1"]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert [_live(tmp_path, name, WriteMode.APPLY) for name in keys] == [len(some) for some in keys.values()]
        report = sync(simulator, tmp_path)
        assert all(_of(report, name).deleted == 1 for name in keys)


@pytest.mark.parametrize("first", [WriteMode.APPLY, WriteMode.FULL])
def test_a_read_that_goes_on_in_mode_full_knows_all_of_its_rows(first: WriteMode, tmp_path: Path) -> None:
    """Pages that were loaded and removed before the mode was changed are read again, else they would be deleted."""
    only = (table("messages"),)
    with Simulator(WorkspaceSpec(seed=8, messages=12_000, start=NOW - 30 * DAY, hostile=False)) as simulator:
        simulator.faults = Faults((Fault(kind="status", table="messages", nth=6, times=None),))
        broken = sync(simulator, tmp_path, tables=only, now=NOW, treatments={"messages": WriteOptions(first)})
        assert (broken.status, broken.tables[0].read > 0) == (Status.FAILED, True)
        simulator.faults = Faults()
        report = sync(simulator, tmp_path, tables=only, now=NOW, treatments={"messages": WriteOptions(WriteMode.FULL)})
        assert (report.status, report.tables[0].deleted) == (Status.COMPLETE, 0)
        assert _live(tmp_path, "messages", WriteMode.FULL) == 12_000
        assert (report.tables[0].read < 12_000) is (first is WriteMode.FULL)


def test_a_backfill_leaves_the_position_and_asks_for_nothing_else(tmp_path: Path) -> None:
    """The next run reads what it would have read without it."""
    only, stretch = (table("messages"),), (NOW - 100 * DAY, NOW - 90 * DAY)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=only, now=NOW, start=NOW - 60 * DAY)
        short = _live(tmp_path, "messages", WriteMode.APPLY)
        simulator.log.reset()
        report = sync(simulator, tmp_path, tables=only, now=NOW, start=stretch[0], backfill=stretch)
        assert _spans(simulator) == {stretch}
        assert _live(tmp_path, "messages", WriteMode.APPLY) == short + report.tables[0].inserted > short
        again = sync(simulator, tmp_path, tables=only, now=NOW + DAY, start=NOW - 60 * DAY)
        assert (again.status, again.tables[0].deleted) == (Status.COMPLETE, 0)


def test_a_backfill_and_a_sync_do_not_go_on_with_each_others_reads(tmp_path: Path) -> None:
    """Also where both begin at the same moment, a stretch of time is not taken for all of it, nor all for a stretch."""
    only, start = (table("messages"),), NOW - 60 * DAY
    stretch = (start, NOW - 50 * DAY)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=only, now=NOW, start=start)
        whole = simulator.faults
        orders: tuple[dict[str, Any], ...] = ({"backfill": stretch}, {})
        for order in orders:
            simulator.faults = Faults((Fault(kind="status", table="messages", times=None, nth=2 - len(order)),))
            sync(simulator, tmp_path, tables=only, now=NOW + DAY, start=start, **order)
            simulator.faults = whole
            simulator.log.reset()
            other = orders[1] if order else orders[0]
            sync(simulator, tmp_path, tables=only, now=NOW + DAY + 60, start=start, **other)
            ends = {end for _, end in _spans(simulator)}
            assert (NOW + DAY + 60 in ends) is bool(order)
            assert (stretch[1] in ends) is not bool(order)


def test_a_backfill_of_a_table_that_was_never_copied_is_refused(tmp_path: Path) -> None:
    """Its position would say that all since then is there."""
    with Simulator(SPEC) as simulator:
        with pytest.raises(Exception, match="has not been copied here yet"):
            sync(simulator, tmp_path, tables=(table("messages"),), backfill=(NOW - 9 * DAY, NOW))
        assert not simulator.requests
    assert not (tmp_path / "copy.duckdb").exists()


def test_entries_of_the_log_outlive_it_in_mode_full_for_all(tmp_path: Path) -> None:
    """What the source has forgotten stays in the copy, whatever the other tables do."""
    log = (table("activities"),)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=log, now=NOW)
        simulator.evolve(5, backdated_within=LOOKBACK)
        simulator.workspace.advance(25 * DAY)
        report = sync(simulator, tmp_path, tables=log, now=NOW + 25 * DAY, refresh=("activities",))
        assert report.tables[0].deleted == 0
    assert _live(tmp_path, "activities", WriteMode.APPLY) >= SPEC.activities
