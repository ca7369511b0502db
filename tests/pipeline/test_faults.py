"""Whatever goes wrong on the way, the copy ends whole or the report says which table did not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.errors import NoReadAccessError, UnauthorizedError
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.source.catalog import TABLES, table
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.pipeline.copies import copy, differences, truth
from tests.pipeline.syncs import ALL, IMPATIENT, SETTLING, sync


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _fault(kind: Any, **more: Any) -> Faults:
    return Faults((Fault(kind=kind, **more),))


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_with_every_fault_on_the_copy_is_exact(seed: int, tmp_path: Path) -> None:
    """Errors, resets, cut, garbled and stalled answers, odd pages and repeated rows change nothing in what arrives."""
    with Simulator(WorkspaceSpec(seed=seed), faults=Faults.everything(seed, rate=0.03)) as simulator:
        report = sync(simulator, tmp_path, limits=IMPATIENT)
        assert [one.error for one in report.tables if one.error] == []
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}
        simulator.evolve(seed)
        assert sync(simulator, tmp_path, refresh=SETTLING, limits=IMPATIENT).status is Status.COMPLETE
        lists = tuple(name for name in ALL if name != "activities")
        assert differences(simulator, tmp_path / "copy.duckdb", lists) == {}


@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.slow), 4])
def test_with_every_fault_on_what_is_read_side_by_side_is_exact(seed: int, tmp_path: Path) -> None:
    """Long spans are cut into slices, people asked for by many requests at once: nothing is lost or comes twice."""
    tables = (table("messages"), table("customers"), table("activities"))
    spec = WorkspaceSpec(seed=seed, messages=20_000, people=2_500, activities=1_500, bursts=0.5 * (seed % 2))
    with Simulator(spec, faults=Faults.everything(seed, rate=0.03)) as simulator:
        report = sync(simulator, tmp_path, tables=tables, start=spec.start, limits=IMPATIENT)
        assert [one.error for one in report.tables if one.error] == []
        assert differences(simulator, tmp_path / "copy.duckdb", tuple(one.name for one in tables)) == {}
        windows = {one.target.split("&start=")[0] for one in simulator.requests if "start_ts" in one.target}
        assert len(windows) >= 4


@pytest.mark.parametrize("what", ["extra", "both"])
def test_drift_loses_no_field_of_any_record(what: str, tmp_path: Path) -> None:
    """New fields and changed types in later pages are fatal to nothing, and every field is in the copy."""
    faults = _fault("drift", times=None, nth=2, params={"what": what})
    with Simulator(WorkspaceSpec(seed=4), faults=faults) as simulator:
        report = sync(simulator, tmp_path)
        assert report.status is Status.COMPLETE
        for name in ALL:
            got = [json.loads(text) for text in copy(tmp_path / "copy.duckdb", name).elements()]
            expected = [json.loads(text) for text in truth(simulator, name).elements()]
            assert len(got) == len(expected), name
            if name != "ip_addresses":
                fields = {field for record in expected for field in record}
                assert fields <= {field for record in got for field in record}, name


@pytest.mark.parametrize("name", ["messages", pytest.param("campaigns", marks=pytest.mark.slow)])
def test_a_table_that_fails_stops_no_other(name: str, tmp_path: Path) -> None:
    """A table that only fails is reported with its cause, and so are its children; the others are complete."""
    with Simulator(WorkspaceSpec(seed=6), faults=_fault("status", table=name, times=None)) as simulator:
        report = sync(simulator, tmp_path)
        assert report.status is Status.FAILED
        failed = {one.name for one in TABLES if name in (one.name, one.parent.name if one.parent else "")}
        assert {one.name for one in report.tables if one.status is Status.FAILED} == failed
        assert "failed 8 times" in str(_of(report, name).error)
        others = tuple(one for one in ALL if one not in failed)
        assert differences(simulator, tmp_path / "copy.duckdb", others) == {}
        simulator.faults = Faults()
        assert sync(simulator, tmp_path).status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}


def test_a_read_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """What had landed before the failure is not requested again, and all arrives."""
    activities = (table("activities"),)
    with Simulator(WorkspaceSpec(seed=6, activities=2_000), faults=_fault("status", nth=12, times=None)) as simulator:
        first = _of(sync(simulator, tmp_path, tables=activities), "activities")
        assert first.status is Status.FAILED
        assert 0 < first.read < 2_000
        assert first.inserted == first.read
        simulator.faults = Faults()
        simulator.log.reset()
        second = _of(sync(simulator, tmp_path, tables=activities), "activities")
        assert second.status is Status.COMPLETE
        assert second.requests <= 20 - first.read // 100 + 2
        assert differences(simulator, tmp_path / "copy.duckdb", ("activities",)) == {}


def test_a_failed_read_deletes_nothing(tmp_path: Path) -> None:
    """A list that broke off half way says nothing about the rows that it did not reach."""
    newsletters = (table("newsletters"),)
    with Simulator(WorkspaceSpec(seed=6)) as simulator:
        sync(simulator, tmp_path, tables=newsletters)
        simulator.faults = _fault("status", table="newsletters", nth=2, times=None)
        report = _of(sync(simulator, tmp_path, tables=newsletters), "newsletters")
        assert (report.status, report.deleted) == (Status.FAILED, 0)
        assert differences(simulator, tmp_path / "copy.duckdb", ("newsletters",)) == {}


@pytest.mark.parametrize("kind", ["repeated_cursor", "cursor_cycle", "endless_cursor"])
def test_a_list_without_end_is_an_error(kind: str, tmp_path: Path) -> None:
    """A page token that comes again, and pages that stay empty, fail the table instead of turning for ever."""
    with Simulator(WorkspaceSpec(seed=6), faults=_fault(kind, table="activities", times=None)) as simulator:
        report = _of(sync(simulator, tmp_path, tables=(table("activities"),)), "activities")
        assert report.status is Status.FAILED
        assert "does not end" in str(report.error)


@pytest.mark.parametrize("kind", ["repeated_cursor", "expired_cursor"])
def test_a_token_that_fails_once_is_survived(kind: str, tmp_path: Path) -> None:
    """One wrong token costs a few requests and no row."""
    with Simulator(WorkspaceSpec(seed=6), faults=_fault(kind, table="activities", nth=2)) as simulator:
        report = _of(sync(simulator, tmp_path, tables=(table("activities"),)), "activities")
        assert report.status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ("activities",)) == {}


@pytest.mark.parametrize(
    ("kind", "params"),
    [("missing_key", {}), ("wrong_type", {"value": "unexpected"}), ("wrong_type", {"value": {}}), ("garbage", {})],
)
@pytest.mark.parametrize("name", ["campaigns", "customers", "eps_suppression"])
def test_a_page_of_another_shape_is_never_an_end_of_list(kind: str, params: Any, name: str, tmp_path: Path) -> None:
    """A page that is not as promised fails the table: read as an empty one, it would delete what it should list."""
    tables = (table(name),)
    with Simulator(WorkspaceSpec(seed=6)) as simulator:
        sync(simulator, tmp_path, tables=tables)
        simulator.faults = _fault(kind, table=name, times=None, params=params)
        report = _of(sync(simulator, tmp_path, tables=tables), name)
        assert (report.status, report.deleted) == (Status.FAILED, 0)
        assert differences(simulator, tmp_path / "copy.duckdb", (name,)) == {}


def test_a_part_that_does_not_exist_is_skipped_and_said(tmp_path: Path) -> None:
    """An API that lacks one of the four suppression lists gives the other three; nothing is deleted on such ground."""
    tables = (table("eps_suppression"),)
    with Simulator(WorkspaceSpec(seed=6)) as simulator:
        sync(simulator, tmp_path, tables=tables)
        before = copy(tmp_path / "copy.duckdb", "eps_suppression")
        simulator.faults = _fault(
            "status", path="/v1/esp/suppression/blocks", times=None, params={"status": 404, "body": "json"}
        )
        report = _of(sync(simulator, tmp_path, tables=tables), "eps_suppression")
        assert report.status is Status.COMPLETE
        assert any("blocks" in note and "skipped" in note for note in report.notes)
        assert copy(tmp_path / "copy.duckdb", "eps_suppression") == before


def test_a_daily_quota_ends_the_table_and_says_so(tmp_path: Path) -> None:
    """429 without a time to wait is no reason to wait seconds."""
    names = ("topics", "campaigns", "campaign_actions", "broadcasts", "broadcast_actions")
    with Simulator(WorkspaceSpec(seed=6), faults=_fault("daily_quota", table="campaigns", times=None)) as simulator:
        report = sync(simulator, tmp_path, tables=tuple(table(name) for name in names))
        assert "daily quota" in str(_of(report, "campaigns").error)
        assert {one.name for one in report.tables if one.status is Status.FAILED} == {"campaigns", "campaign_actions"}


def test_a_refused_key_leaves_no_trace(tmp_path: Path) -> None:
    """With a wrong key nothing is read, and neither a file nor a state folder is left behind."""
    with Simulator(WorkspaceSpec(seed=6)) as simulator:
        with pytest.raises(UnauthorizedError, match="does not accept the access token"):
            sync(simulator, tmp_path, token="wrong-token")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [one.name for one in TABLES])
def test_a_missing_scope_leaves_no_trace(name: str, tmp_path: Path) -> None:
    """A key that may not read one of the selected tables is refused before anything is written."""
    with Simulator(WorkspaceSpec(seed=6)) as simulator:
        simulator.behaviour.denied = frozenset({name})
        with pytest.raises(NoReadAccessError, match="‹exclude›"):
            sync(simulator, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_requests_stay_within_the_budget_and_429_is_survived(tmp_path: Path) -> None:
    """Against an API that lets fewer requests through than we send, everything still arrives."""
    names = ("activities", "campaigns", "newsletters", "customers", "campaign_actions")
    with Simulator(WorkspaceSpec(seed=6), rps=20) as simulator:
        report = sync(simulator, tmp_path, tables=tuple(table(name) for name in names))
        assert report.status is Status.COMPLETE
        assert report.throttled > 0
        assert differences(simulator, tmp_path / "copy.duckdb", names) == {}


def test_people_of_whom_no_attributes_come_fail_the_table(tmp_path: Path) -> None:
    """A list of people without the content of any of them is no copy of people."""
    faults = _fault("null_list", operation="getPeopleById", times=None)
    with Simulator(WorkspaceSpec(seed=6), faults=faults) as simulator:
        report = _of(sync(simulator, tmp_path, tables=(table("customers"),)), "customers")
        assert report.status is Status.FAILED
        assert "attributes of none" in str(report.error)


def test_a_suppression_list_that_is_refused_is_skipped(tmp_path: Path) -> None:
    """An older API that answers 400 to a kind of suppression still gives the others."""
    path = "/v1/esp/suppression/invalid_emails"
    faults = _fault("status", path=path, times=None, params={"status": 400, "body": "json"})
    with Simulator(WorkspaceSpec(seed=6), faults=faults) as simulator:
        report = _of(sync(simulator, tmp_path, tables=(table("eps_suppression"),)), "eps_suppression")
        assert report.status is Status.COMPLETE
        assert any("invalid_emails is not known" in note for note in report.notes)
        assert report.inserted > 0
