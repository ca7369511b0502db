"""Children are read parent by parent: all of them, none of a parent that is gone, and on from where a run stopped."""

from __future__ import annotations

from pathlib import Path

from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.source.catalog import table
from customerio_simulator import Simulator, WorkspaceSpec
from customerio_simulator.faults import Fault, Faults
from tests.pipeline.copies import copy, differences
from tests.pipeline.syncs import sync

SPEC = WorkspaceSpec(seed=3, messages=100, people=20, activities=20)
BOTH = (table("campaigns"), table("campaign_actions"))
ACTIONS = (table("campaign_actions"),)
OPERATION = "listCampaignActions"


def _of(report: Report, name: str = "campaign_actions") -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _asked(simulator: Simulator, operation: str = OPERATION) -> int:
    return sum(one.operation == operation for one in simulator.requests)


def test_the_list_of_parents_is_requested_once(tmp_path: Path) -> None:
    """It serves the table of parents and the tables of their children."""
    with Simulator(SPEC) as simulator:
        assert sync(simulator, tmp_path, tables=BOTH).status is Status.COMPLETE
        assert _asked(simulator, "listCampaigns") == 1
        assert differences(simulator, tmp_path / "copy.duckdb", ("campaigns", "campaign_actions")) == {}


def test_children_are_read_without_their_parents_table(tmp_path: Path) -> None:
    """The list of parents is read all the same, and not copied."""
    with Simulator(SPEC) as simulator:
        report = sync(simulator, tmp_path, tables=ACTIONS)
        assert [(one.name, one.status) for one in report.tables] == [("campaign_actions", Status.COMPLETE)]
        assert differences(simulator, tmp_path / "copy.duckdb", ("campaign_actions",)) == {}


def test_children_of_a_deleted_parent_are_deleted(tmp_path: Path) -> None:
    """A parent that is no longer listed takes its children with it."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=BOTH)
        gone = next(key for key, _ in simulator.workspace.truth_items("campaigns"))
        lost = sum(key.startswith(f"{gone}|") for key, _ in simulator.workspace.truth_items("campaign_actions"))
        simulator.workspace.delete("campaigns", gone)
        assert _of(sync(simulator, tmp_path, tables=BOTH)).deleted == lost > 0
        assert differences(simulator, tmp_path / "copy.duckdb", ("campaigns", "campaign_actions")) == {}


def test_a_parent_that_is_deleted_meanwhile_is_left_out_and_counted(tmp_path: Path) -> None:
    """Its children count as deleted; those of the others are copied."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=BOTH)
        gone = next(key for key, _ in simulator.workspace.truth_items("campaigns"))
        simulator.faults = Faults.script(
            Fault(kind="status", path=f"/v1/campaigns/{gone}/actions", params={"status": 404}, times=None)
        )
        report = sync(simulator, tmp_path, tables=BOTH)
        assert _of(report).status is Status.COMPLETE
        assert "left out: 1 parent." in " ".join(_of(report).notes)
        deleted = copy(tmp_path / "copy.duckdb", "campaign_actions", deleted=True)
        assert _of(report).deleted == deleted.total() > 0


def test_an_api_that_knows_no_children_fails_the_table(tmp_path: Path) -> None:
    """That every parent is gone is not believed, and nothing is deleted."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=BOTH)
        simulator.faults = Faults.script(Fault(kind="status", operation=OPERATION, params={"status": 404}, times=None))
        report = sync(simulator, tmp_path, tables=BOTH)
        assert (_of(report).status, _of(report).deleted) == (Status.FAILED, 0)
        assert "404 for campaign_actions of all 25 campaigns" in (_of(report).error or "")
        assert _of(report, "campaigns").status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ("campaign_actions",)) == {}


def test_a_read_that_fails_goes_on_at_the_parents_that_are_left(tmp_path: Path) -> None:
    """Children of parents that were read are not requested again."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=ACTIONS, state="whole")
        needed = _asked(simulator)
        (tmp_path / "copy.duckdb").unlink()
        broken = next(reversed([key for key, _ in simulator.workspace.truth_items("campaigns")]))
        simulator.faults = Faults.script(
            Fault(kind="status", path=f"/v1/campaigns/{broken}/actions", params={"status": 400}, times=None)
        )
        simulator.log.reset()
        assert _of(sync(simulator, tmp_path, tables=ACTIONS)).status is Status.FAILED
        before = _asked(simulator)
        simulator.faults = Faults.script()
        simulator.log.reset()
        report = sync(simulator, tmp_path, tables=ACTIONS)
        assert (_of(report).status, _of(report).continued) == (Status.COMPLETE, True)
        assert 0 < _asked(simulator) <= needed - before + 12  # at most those under way when it failed
        assert differences(simulator, tmp_path / "copy.duckdb", ("campaign_actions",)) == {}
