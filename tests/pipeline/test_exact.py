"""The copy holds exactly what the workspace holds, and a later sync brings exactly what changed."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.pipeline.events import Event, NoteAdded
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.source.catalog import TABLES, table
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline.copies import copies, copy, differences, truth
from tests.pipeline.syncs import ALL, SETTLING, sync

DAY = 86_400
SMALL = WorkspaceSpec(seed=3)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sync of the workspace that `simulator` serves."""
    folder = tmp_path_factory.mktemp("first")
    with Simulator(SMALL) as simulator:
        sync(simulator, folder)
    return folder


@pytest.fixture
def synced(first: Path, tmp_path: Path) -> Path:
    """A folder with a copy of that workspace."""
    return Path(shutil.copytree(first, tmp_path / "synced"))


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _query(folder: Path, text: str) -> list[tuple[Any, ...]]:
    with duckdb_file(folder / "copy.duckdb", read_only=True) as connection:
        return connection.execute(text).fetchall()


@pytest.mark.parametrize(("seed", "wrapped"), [(1, False), (2, True)])
def test_all_tables_arrive_exactly(seed: int, *, wrapped: bool, tmp_path: Path) -> None:
    """After the first sync every table holds what the workspace does: none missing, twice or altered."""
    with Simulator(WorkspaceSpec(seed=seed), wrapped_people=wrapped) as simulator:
        report = sync(simulator, tmp_path)
        assert report.status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", ALL) == {}
        assert {one.name: one.read for one in report.tables} == {name: truth(simulator, name).total() for name in ALL}


@pytest.mark.parametrize("deleted", ["with", "always", "only"])
def test_activities_of_deleted_people_arrive_whatever_the_parameter_means(deleted: Any, tmp_path: Path) -> None:
    """Whether `deleted=true` adds rows, changes nothing, or gives only those rows: the whole log arrives, once."""
    with Simulator(WorkspaceSpec(seed=5), deleted_activities=deleted) as simulator:
        sync(simulator, tmp_path, tables=(table("activities"),))
        assert differences(simulator, tmp_path / "copy.duckdb", ("activities",)) == {}
        asked = sum("/activities" in one.target for one in simulator.requests)
        pages = -(-truth(simulator, "activities").total() // 100)
        assert asked <= pages + 2


def test_a_second_sync_of_the_same_writes_nothing(simulator: Simulator, synced: Path) -> None:
    """When nothing changed, nothing is inserted, updated or deleted."""
    report = sync(simulator, synced)
    assert {(one.inserted, one.updated, one.deleted) for one in report.tables} == {(0, 0, 0)}


def test_a_second_sync_brings_exactly_the_edits(simulator: Simulator, synced: Path) -> None:
    """Each edit, new record and removal at the source is one in the copy; rows that went are marked, not removed.

    However old what changed is, when everything is read again.
    """
    before = copies(synced / "copy.duckdb", ALL)
    changes = simulator.evolve(11)
    report = sync(simulator, synced, refresh=SETTLING)
    kept = {"activities"}  # the log forgets, the copy does not
    assert differences(simulator, synced / "copy.duckdb", tuple(name for name in ALL if name not in kept)) == {}
    activities = copy(synced / "copy.duckdb", "activities")
    assert activities == before["activities"] | truth(simulator, "activities")
    for name in ALL:
        if name not in changes:
            continue
        got = _of(report, name)
        expected = changes[name]
        assert (got.inserted, got.deleted) == (len(expected.inserted), len(expected.deleted)), name
        gone = copy(synced / "copy.duckdb", name, deleted=True)
        assert gone.total() == len(expected.deleted), name
        assert gone <= before[name], name


def test_a_row_that_comes_back_is_no_longer_deleted(simulator: Simulator, tmp_path: Path) -> None:
    """A record that vanished from a list and is listed again is live in the copy again, in the same row."""
    campaigns = (table("campaigns"),)
    key, raw = next(iter(simulator.workspace.truth_items("campaigns")))
    sync(simulator, tmp_path, tables=campaigns)
    simulator.workspace.delete("campaigns", key)
    assert _of(sync(simulator, tmp_path, tables=campaigns), "campaigns").deleted == 1
    simulator.workspace.put("campaigns", raw)
    again = _of(sync(simulator, tmp_path, tables=campaigns), "campaigns")
    assert (again.inserted, again.updated, again.deleted) == (0, 1, 0)
    assert differences(simulator, tmp_path / "copy.duckdb", ("campaigns",)) == {}


def test_a_change_is_seen_though_its_change_key_stays(simulator: Simulator, tmp_path: Path) -> None:
    """A campaign's `updated` does not move with its actions, and still the copy follows."""
    campaigns = (table("campaigns"),)
    sync(simulator, tmp_path, tables=campaigns)
    _, raw = next(iter(simulator.workspace.truth_items("campaigns")))
    record = json.loads(raw)
    simulator.workspace.put("campaigns", {**record, "actions": [{"id": 987, "type": "push"}]})
    assert _of(sync(simulator, tmp_path, tables=campaigns), "campaigns").updated == 1
    assert differences(simulator, tmp_path / "copy.duckdb", ("campaigns",)) == {}


def test_the_start_date_holds_and_can_move_back(simulator: Simulator, tmp_path: Path) -> None:
    """Nothing before the start date is copied but rows without a date; an earlier start date adds what it covers."""
    start = simulator.workspace.spec.now - 60 * DAY
    late = {"campaigns": "updated", "segments": "updated_at", "messages": "created", "exports": "updated_at"}
    tables = tuple(one for one in TABLES if one.name in late)
    sync(simulator, tmp_path, tables=tables, start=start)
    for name, column in late.items():
        expected = sum(
            1
            for raw in simulator.workspace.truth(name)
            if not isinstance(json.loads(raw).get(column), int) or json.loads(raw)[column] >= start
        )
        assert copy(tmp_path / "copy.duckdb", name).total() == expected, name
        assert expected < truth(simulator, name).total(), name
    sync(simulator, tmp_path, tables=tables)
    assert differences(simulator, tmp_path / "copy.duckdb", tuple(late)) == {}


def test_a_later_start_date_takes_nothing_away(simulator: Simulator, tmp_path: Path) -> None:
    """Rows that were copied stay when the start date moves past them; they still exist at the source."""
    tables = (table("campaigns"), table("messages"))
    sync(simulator, tmp_path, tables=tables)
    report = sync(simulator, tmp_path, tables=tables, start=simulator.workspace.spec.now - DAY)
    assert [one.deleted for one in report.tables] == [0, 0]
    assert differences(simulator, tmp_path / "copy.duckdb", ("campaigns", "messages")) == {}


def test_no_second_of_deliveries_is_missed_and_no_delivery_comes_twice(simulator: Simulator, tmp_path: Path) -> None:
    """The windows of the requests cover the time from the start date on without a gap; no row counts twice."""
    start = simulator.workspace.spec.start
    report = sync(simulator, tmp_path, tables=(table("messages"),), start=start)
    assert _of(report, "messages").read == truth(simulator, "messages").total()
    windows = sorted(
        {
            tuple(int(part.partition("=")[2]) for part in one.target.partition("?")[2].split("&") if "_ts=" in part)
            for one in simulator.requests
        }
    )
    assert windows[0][0] == start
    assert all(after[0] <= before[1] + 1 for before, after in pairwise(windows))
    assert all(last - first <= 181 * DAY - 1 for first, last in windows)


def test_a_fresh_state_folder_goes_on_from_the_destination(simulator: Simulator, synced: Path) -> None:
    """Positions travel with the data: with an empty state folder the next sync still only writes what changed."""
    before = _query(synced, "SELECT table_name, position FROM customerio._cio_positions ORDER BY 1")
    assert len(before) == len(ALL)
    report = sync(simulator, synced, state="second")
    assert {(one.inserted, one.updated, one.deleted) for one in report.tables} == {(0, 0, 0)}
    after = _query(synced, "SELECT table_name, position FROM customerio._cio_positions ORDER BY 1")
    for (_, old), (_, new) in zip(before, after, strict=True):
        assert json.loads(new)["through"] >= json.loads(old)["through"]
        assert json.loads(new)["start"] == json.loads(old)["start"]


def test_a_destination_that_was_removed_is_filled_anew(simulator: Simulator, synced: Path) -> None:
    """When the file is gone, the state folder's memory of it counts for nothing."""
    (synced / "copy.duckdb").unlink()
    told: list[Event] = []
    report = sync(simulator, synced, told=told)
    assert report.status is Status.COMPLETE
    assert any(isinstance(event, NoteAdded) for event in told)
    assert differences(simulator, synced / "copy.duckdb", ALL) == {}


def test_people_left_out_of_the_answer_are_counted_and_not_deleted(simulator: Simulator, tmp_path: Path) -> None:
    """Ids that the attributes answer leaves out in silence are reported; what is known of these people stays."""
    people = (table("customers"),)
    sync(simulator, tmp_path, tables=people)
    simulator.faults = Faults((Fault(kind="missing_ids", operation="getPeopleById", times=None, params={"every": 10}),))
    report = _of(sync(simulator, tmp_path, tables=people), "customers")
    assert report.status is Status.COMPLETE
    assert report.left_out > 0
    assert any("without being handed over" in note for note in report.notes)
    assert report.deleted == 0
    assert differences(simulator, tmp_path / "copy.duckdb", ("customers",)) == {}


def test_a_gap_in_the_log_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    """When the log no longer reaches back to what was read last, the report says from when to when entries may miss."""
    activities = (table("activities"),)
    sync(simulator, tmp_path, tables=activities)
    with duckdb_file(tmp_path / "copy.duckdb") as connection:  # as if the last sync were 100 days ago
        connection.execute(
            "UPDATE customerio._cio_positions SET position = json_merge_patch(position, "
            "json_object('through', 1690000000, 'latest', 1690000000))"
        )
    report = _of(sync(simulator, tmp_path, tables=activities), "activities")
    assert report.status is Status.COMPLETE
    assert any(note.startswith("Entries between 2023-07-22T04:26:40Z and") for note in report.notes)
    assert not _of(sync(simulator, tmp_path, tables=activities), "activities").notes


def test_identifiers_come_from_the_list_where_the_answer_lacks_them(simulator: Simulator, tmp_path: Path) -> None:
    """Everybody has identifiers in the copy, people without an id included."""
    sync(simulator, tmp_path, tables=(table("customers"),))
    (missing, nobody), *_ = _query(
        tmp_path,
        "SELECT count(*) FILTER (identifiers__cio_id IS NULL), count(*) FILTER (coalesce(identifiers__id, '') = '') "
        "FROM customerio.customers",
    )
    assert missing == 0
    assert nobody > 0


def test_a_removed_destination_is_forgotten_for_every_table(tmp_path: Path) -> None:
    """A read that was under way into a file which is gone is begun anew, also by a run that comes two runs later."""
    tables = (table("activities"),)
    with Simulator(WorkspaceSpec(seed=6), faults=Faults((Fault(kind="status", nth=6, times=None),))) as simulator:
        assert sync(simulator, tmp_path, tables=tables).status is Status.FAILED
        simulator.faults = Faults()
        (tmp_path / "copy.duckdb").unlink()
        sync(simulator, tmp_path, tables=(table("topics"),))
        sync(simulator, tmp_path, tables=tables)
        assert differences(simulator, tmp_path / "copy.duckdb", ("activities", "topics")) == {}


def test_half_a_character_does_not_stop_the_log(tmp_path: Path) -> None:
    """A lone surrogate, legal in JSON and in no database, arrives as the escape that wrote it, and its row with it."""
    with Simulator(WorkspaceSpec(seed=1, lone_surrogates=True)) as simulator:
        report = sync(simulator, tmp_path, tables=(table("activities"),))
        assert report.status is Status.COMPLETE
        halves = sum(b'"\\ud83d"' in raw for raw in simulator.workspace.truth("activities"))
    found = _query(tmp_path, "SELECT count(*) FROM customerio.activities WHERE data->>'half' = '\\ud83d'")
    assert found == [(halves,)]
    assert halves > 0
