"""What a later run asks for again, what it leaves, and that nothing is lost by it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from cio_replicate.config.table_options import RECENT_DAYS, PeopleRefresh, RereadPolicy
from cio_replicate.pipeline.events import Event, NoteAdded
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.source.catalog import table
from cio_replicate.source.strategies.base import DAY
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.pipeline.copies import copy, differences, truth
from tests.pipeline.syncs import ALL, SETTLING, sync

CHANGES = RereadPolicy(people=PeopleRefresh.CHANGES)
PEOPLE_AND_LOG = (table("customers"), table("activities"))
WEEK = 7 * DAY


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _notes(told: list[Event]) -> str:
    return " ".join(event.text for event in told if isinstance(event, NoteAdded))


def test_a_later_sync_brings_every_recent_change_for_a_part_of_the_requests(tmp_path: Path) -> None:
    """Deliveries of thirty days, the log back to a day before the last run, and all that is listed whole."""
    with Simulator(WorkspaceSpec(seed=3, messages=12_000, activities=4_000)) as simulator:
        first = sync(simulator, tmp_path)
        before = copy(tmp_path / "copy.duckdb", "activities")
        simulator.evolve(5, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        second = sync(simulator, tmp_path)
        lists = tuple(name for name in ALL if name != "activities")
        assert differences(simulator, tmp_path / "copy.duckdb", lists) == {}
        assert copy(tmp_path / "copy.duckdb", "activities") == before | truth(simulator, "activities")
    assert _of(first, "messages").requests >= 12
    assert _of(second, "messages").requests <= 6  # 30 days of 400, and one for each age at which they settle
    assert _of(first, "activities").requests >= 40
    assert _of(second, "activities").requests <= 6


def test_a_settled_delivery_is_found_changed_when_all_are_read_again(tmp_path: Path) -> None:
    """One of a hundred days ago is left alone by the next run, and read by a full refresh."""
    messages = (table("messages"),)
    with Simulator(WorkspaceSpec(seed=3)) as simulator:
        sync(simulator, tmp_path, tables=messages)
        moment = simulator.workspace.now - 100 * DAY
        key, raw = min(
            simulator.workspace.truth_items("messages"), key=lambda one: abs(json.loads(one[1])["created"] - moment)
        )
        simulator.workspace.put("messages", msgspec.json.encode(msgspec.json.decode(raw) | {"subject": "changed"}))
        assert _of(sync(simulator, tmp_path, tables=messages), "messages").updated == 0
        assert _of(sync(simulator, tmp_path, tables=messages, refresh=("messages",)), "messages").updated == 1
        assert differences(simulator, tmp_path / "copy.duckdb", ("messages",)) == {}, key


@pytest.mark.parametrize("age", [30, 60, 90, 180])
def test_a_delivery_is_read_again_when_it_gets_old(age: int, tmp_path: Path) -> None:
    """A metric that came late is in the copy once the delivery has reached the next age at which it is read again."""
    messages = (table("messages"),)
    with Simulator(WorkspaceSpec(seed=3, messages=1_000)) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, tables=messages, now=begun)
        moment = begun - (age - 3) * DAY
        _, raw = min(
            simulator.workspace.truth_items("messages"), key=lambda one: abs(json.loads(one[1])["created"] - moment)
        )
        simulator.workspace.put("messages", msgspec.json.encode(msgspec.json.decode(raw) | {"subject": "changed"}))
        rules = RereadPolicy(recent_days=10)
        updated = [
            _of(sync(simulator, tmp_path, tables=messages, now=begun + days * DAY, rules=rules), "messages").updated
            for days in (1, 2, 6)
        ]
        assert updated == [0, 0, 1]


def test_entries_back_dated_far_are_found_by_the_weekly_whole_read(tmp_path: Path) -> None:
    """The next run does not reach them; the one a week after the last whole read does, and says how many they were."""
    log = (table("activities"),)
    told: list[Event] = []
    with Simulator(WorkspaceSpec(seed=3, activities=4_000, people=300)) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, tables=log, now=begun)
        before = copy(tmp_path / "copy.duckdb", "activities")
        record = msgspec.json.decode(next(iter(simulator.workspace.truth_items("activities")))[1])
        late = msgspec.json.encode(record | {"id": "01LATE", "timestamp": begun - 12 * DAY})
        simulator.workspace.put("activities", late)
        simulator.log.reset()
        assert _of(sync(simulator, tmp_path, tables=log, now=begun + DAY), "activities").inserted == 0
        assert len(simulator.requests) <= 6
        report = sync(simulator, tmp_path, tables=log, now=begun + WEEK, told=told)
        assert _of(report, "activities").inserted == 1
        assert "1 entries were back-dated" in _notes(told)
        assert copy(tmp_path / "copy.duckdb", "activities") == before | truth(simulator, "activities")


@pytest.mark.parametrize("deleted", ["with", "always", "only"])
def test_the_log_is_cut_short_whatever_the_lists_hold(deleted: str, tmp_path: Path) -> None:
    """What is new arrives for few requests, whether `deleted=true` adds entries, changes nothing or gives those."""
    log = (table("activities"),)
    with Simulator(WorkspaceSpec(seed=5, activities=2_000), deleted_activities=deleted) as simulator:  # type: ignore[arg-type]
        sync(simulator, tmp_path, tables=log)
        before = copy(tmp_path / "copy.duckdb", "activities")
        simulator.evolve(5, backdated_within=LOOKBACK)
        assert _of(sync(simulator, tmp_path, tables=log), "activities").requests <= 10
        assert copy(tmp_path / "copy.duckdb", "activities") == before | truth(simulator, "activities")


@pytest.mark.parametrize("messages", [4_000, pytest.param(25_000, marks=pytest.mark.slow)])
def test_lists_that_come_oldest_first_are_read_whole(messages: int, tmp_path: Path) -> None:
    """Newest first is how they were seen; when they come otherwise, no early end loses anything."""
    tables = (table("activities"), table("messages"))
    names = tuple(one.name for one in tables)
    with Simulator(WorkspaceSpec(seed=5, activities=2_000, messages=messages, start=1_788_000_000)) as simulator:
        simulator.behaviour.oldest_first = True
        sync(simulator, tmp_path, tables=tables)
        assert differences(simulator, tmp_path / "copy.duckdb", names) == {}
        before = copy(tmp_path / "copy.duckdb", "activities")
        simulator.evolve(5, metrics_within=RECENT_DAYS * DAY)
        sync(simulator, tmp_path, tables=tables)
        assert differences(simulator, tmp_path / "copy.duckdb", ("messages",)) == {}
        assert copy(tmp_path / "copy.duckdb", "activities") == before | truth(simulator, "activities")


def test_people_are_asked_for_when_they_are_new_or_named_by_the_log(tmp_path: Path) -> None:
    """In mode `changes` a second run lists everybody, asks for a few, and the copy is exact all the same."""
    with Simulator(WorkspaceSpec(seed=7, people=3_000)) as simulator:
        begun = simulator.workspace.now
        whole = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun), "customers")
        simulator.evolve(5, backdated_within=LOOKBACK)
        report = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + DAY), "customers")
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}
    assert whole.requests >= 33
    assert report.requests <= 3 + 3  # the list, whom the log names by either id, and who is new
    assert (report.inserted, report.deleted) == (3, 3)


def test_a_change_that_the_log_does_not_tell_is_found_within_a_week_and_counted(tmp_path: Path) -> None:
    """Every so many days everybody is read all the same, and the report says what the log had missed."""
    told: list[Event] = []
    with Simulator(WorkspaceSpec(seed=7, people=500)) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun)
        simulator.evolve(5, backdated_within=LOOKBACK, unlogged=4)
        early = _of(
            sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + 6 * DAY, told=told), "customers"
        )
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) != {}
        assert early.untold == 0
        late = sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + WEEK, told=told)
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}
    assert _of(late, "customers").untold == 4
    assert "4 changes that the activity log had not told" in _notes(told)


def test_a_person_renamed_without_a_word_in_the_log_is_asked_for(tmp_path: Path) -> None:
    """The list itself shows another email or id."""
    with Simulator(WorkspaceSpec(seed=7, people=300, hostile=False)) as simulator:
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES)
        _, raw = next(iter(simulator.workspace.truth_items("customers")))
        record = msgspec.json.decode(raw)
        record["identifiers"]["email"] = record["attributes"]["email"] = "new.address@example.com"
        simulator.workspace.put("customers", msgspec.json.encode(record))
        assert _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES), "customers").updated == 1
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}


def test_without_the_log_everybody_is_read(tmp_path: Path) -> None:
    """When the log fails nobody knows who changed, so nobody is left out."""
    with Simulator(WorkspaceSpec(seed=7, people=500)) as simulator:
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES)
        simulator.evolve(5, unlogged=4)
        simulator.faults = Faults((Fault(kind="status", table="activities", times=None),))
        report = sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES)
        assert _of(report, "activities").status is Status.FAILED
        assert _of(report, "customers").status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}


def test_a_full_refresh_reads_all_of_what_settles(tmp_path: Path) -> None:
    """It costs what the first run cost."""
    with Simulator(WorkspaceSpec(seed=3)) as simulator:
        first = sync(simulator, tmp_path, rules=CHANGES)
        again = sync(simulator, tmp_path, rules=CHANGES, refresh=(*SETTLING, "customers"))
    assert again.requests == first.requests


def test_people_whose_attributes_failed_come_with_the_next_run(tmp_path: Path) -> None:
    """In mode `changes` a run that broke off after the list lists again, and nobody who was to be asked for is lost."""
    with Simulator(WorkspaceSpec(seed=7, people=1_500)) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun)
        changes = simulator.evolve(5, backdated_within=LOOKBACK)
        simulator.faults = Faults((Fault(kind="status", path="/v1/customers/attributes", times=None),))
        broken = sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + DAY)
        assert _of(broken, "customers").status is Status.FAILED
        assert _of(broken, "customers").deleted == len(changes["customers"].deleted)  # whom the log names
        simulator.faults = Faults()
        again = sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + DAY + 3_600)
        assert _of(again, "customers").status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}


def test_a_read_of_some_people_is_not_gone_on_with_when_all_are_wanted(tmp_path: Path) -> None:
    """Whoever turns to `full` gets everybody, once."""
    with Simulator(WorkspaceSpec(seed=7, people=1_500)) as simulator:
        begun = simulator.workspace.now
        whole = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun), "customers").requests
        simulator.evolve(5, backdated_within=LOOKBACK)
        simulator.faults = Faults((Fault(kind="status", path="/v1/customers/attributes", times=None),))
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + DAY)
        simulator.faults = Faults()
        again = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, now=begun + DAY + 3_600), "customers")
        assert again.requests == whole
        assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}


def test_new_people_who_are_not_handed_over_are_counted_and_asked_for_again(tmp_path: Path) -> None:
    """In mode `changes` those asked for are few, so that none of them comes is no sign of a broken API."""
    with Simulator(WorkspaceSpec(seed=7, people=300)) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun)
        simulator.evolve(5, edits=15, backdated_within=LOOKBACK)
        none = Fault(kind="missing_ids", operation="getPeopleById", times=None, params={"every": 1})
        simulator.faults = Faults((none,))
        report = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + DAY), "customers")
        assert (report.status, report.inserted, report.left_out) == (Status.COMPLETE, 0, 15)
        simulator.faults = Faults()
        report = _of(sync(simulator, tmp_path, tables=PEOPLE_AND_LOG, rules=CHANGES, now=begun + 2 * DAY), "customers")
        assert report.inserted == 15
