"""Change over time: what evolution says it did is what it did."""

from __future__ import annotations

import json

import httpx2
import pytest

from customerio_simulator import WorkspaceSpec
from customerio_simulator.evolution import evolve
from customerio_simulator.inventory import CHILDREN
from customerio_simulator.workspace import UnknownRecordError, Workspace
from tests.simulator.conftest import Simulate
from tests.simulator.walking import read_table

DAY = 86_400
SMALL = WorkspaceSpec(people=120, messages=600, activities=300, suppressions=60)


def truths(workspace: Workspace) -> dict[str, dict[str, bytes]]:
    """Everything by table and key."""
    return {table: dict(workspace.truth_items(table)) for table in workspace.table_names}


def test_the_summary_is_the_difference_of_the_truths() -> None:
    """Over several evolutions each table's inserted, updated, deleted and expired keys are exactly what differs."""
    workspace = Workspace(SMALL)
    for seed in range(4):
        before = truths(workspace)
        told = evolve(workspace, seed, edits=3, seconds=DAY + seed, forget_deliveries=seed % 2 == 1, unlogged=seed * 2)
        for table, now in truths(workspace).items():
            was = before[table]
            change = told.get(table)
            inserted = sorted(now.keys() - was.keys())
            updated = sorted(key for key in now.keys() & was.keys() if now[key] != was[key])
            gone = sorted(was.keys() - now.keys())
            assert sorted(change.inserted if change else []) == inserted, table
            assert sorted(change.updated if change else []) == updated, table
            assert sorted(change.deleted + change.expired if change else []) == gone, table


def test_evolution_touches_every_table() -> None:
    """One evolution changes something in each of the tables, and in children, and people bring their activities."""
    workspace = Workspace(SMALL)
    told = evolve(workspace, 1)
    assert set(told) == {*workspace.table_names, *CHILDREN}
    kinds = {json.loads(record)["type"] for record in workspace.truth("activities")}
    assert {"profile_create", "profile_delete", "profile_merge"} <= kinds


@pytest.mark.parametrize(
    "table",
    [
        "customers",
        "messages",
        "activities",
        "campaigns",
        "newsletters",
        "sender_identities",
        "eps_suppression",
        "ip_addresses",
    ],
)
def test_what_is_served_after_evolution_is_the_truth(simulate: Simulate, table: str) -> None:
    """Edits, inserts and deletes show in the answers, in the right places."""
    sim, client = simulate(SMALL)
    for seed in range(3):
        sim.evolve(seed)
    assert sorted(read_table(client, table)) == sorted(sim.workspace.truth(table))


def test_edits_move_the_change_key_to_now() -> None:
    """An edited campaign carries the new now in `updated` and in its version."""
    workspace = Workspace(SMALL)
    told = evolve(workspace, 5)["campaigns"]
    records = {key: json.loads(record) for key, record in workspace.truth_items("campaigns")}
    assert told.updated
    for key in told.updated:
        assert records[key]["updated"] == workspace.now
        assert records[key]["deduplicate_id"] == f"{key}:{workspace.now}"


@pytest.mark.parametrize(("within", "farthest"), [(0, 0), (3_600, 3_600), (20 * DAY, 20 * DAY)])
def test_new_activities_are_backdated_as_far_as_asked(within: int, farthest: int) -> None:
    """Every second new entry happened before it arrived, by no more than was asked for; the others since then."""
    workspace = Workspace(SMALL)
    before = workspace.now
    told = set(evolve(workspace, 6, edits=20, seconds=60, backdated_within=within)["activities"].inserted)
    times = [json.loads(record)["timestamp"] for key, record in workspace.truth_items("activities") if key in told]
    late = [moment for moment in times if moment <= before]
    assert min(times) > before - farthest
    assert len(late) > 0 if within > 60 else late == []
    assert len(late) <= 10


def test_the_log_names_everybody_who_changed_but_the_unlogged() -> None:
    """People created, edited, merged and deleted are in the log by cio_id; the edits asked to be unlogged are not."""
    workspace = Workspace(SMALL)
    for seed in range(12):
        told = evolve(workspace, seed, edits=4, unlogged=7, backdated_within=0)
        logged = {json.loads(record)["customer_identifiers"]["cio_id"]: json.loads(record)["type"]
                  for key, record in workspace.truth_items("activities")
                  if key in set(told["activities"].inserted[4:])}  # fmt: skip
        people = told["customers"]
        assert set(people.inserted) <= logged.keys()
        assert len(set(people.updated) - logged.keys()) == 7
        assert set(logged.values()) <= {"profile_create", "attribute_change", "profile_merge", "profile_delete"}


def test_more_unlogged_edits_than_people_change_everybody_left() -> None:
    """A wish for more silent edits than there are people ends with everybody edited."""
    workspace = Workspace(SMALL)
    told = evolve(workspace, 2, unlogged=10_000)["customers"]
    assert len(told.updated) + len(told.inserted) == len(workspace.ledger("customers"))


def test_only_young_deliveries_gain_metrics() -> None:
    """Deliveries created longer ago than `metrics_within` stay as they are."""
    workspace = Workspace(SMALL)
    for seed in range(5):
        youngest = workspace.now - 40 * DAY
        updated = set(evolve(workspace, seed, edits=5, metrics_within=40 * DAY)["messages"].updated)
        records = [json.loads(record) for key, record in workspace.truth_items("messages") if key in updated]
        assert len(records) == 5
        assert all(record["created"] >= youngest for record in records)


def test_deliveries_of_deleted_people_can_be_forgotten() -> None:
    """On request a deleted person's deliveries keep only `cio_id` (live)."""
    workspace = Workspace(SMALL)
    gone = set(evolve(workspace, 1, edits=20, forget_deliveries=True)["customers"].deleted)
    deliveries = [json.loads(record) for record in workspace.truth("messages")]
    recent = [one for one in deliveries if one["created"] >= workspace.now - 170 * DAY]
    theirs = [one for one in recent if one.get("customer_identifiers", {}).get("cio_id") in gone]
    assert theirs
    assert {(one["customer_id"], one["customer_identifiers"]["email"]) for one in theirs} == {(None, None)}


def test_a_walk_that_evolution_interrupts_misses_nothing_that_stayed(simulate: Simulate) -> None:
    """A cursor is a place, not a count: records that were there all along are read although others come and go."""
    sim, client = simulate(SMALL)
    stayed = set(dict(sim.workspace.truth_items("newsletters")))
    read: set[str] = set()
    page = client.get("/v1/newsletters", params={"limit": 20}).json()
    for seed in range(9):
        read |= {str(one["id"]) for one in page["newsletters"]}
        stayed -= set(sim.evolve(seed)["newsletters"].deleted)
        if not page["next"]:
            break
        page = client.get("/v1/newsletters", params={"limit": 20, "start": page["next"]}).json()
    assert stayed <= read


def test_time_alone_takes_the_oldest_activities() -> None:
    """Advancing by a day expires the activities of the log's first day, and nothing else changes."""
    workspace = Workspace(SMALL)
    before = truths(workspace)
    expired = set(workspace.advance(DAY)["activities"].expired)
    after = truths(workspace)
    assert expired
    assert before["activities"].keys() - after["activities"].keys() == expired
    assert {table for table in before if before[table] != after[table]} == {"activities"}


def test_records_can_be_put_and_deleted_one_by_one(simulate: Simulate) -> None:
    """A record is inserted, replaced byte for byte, and deleted by its key."""
    sim, client = simulate(SMALL)
    raw = b'{"id":77777,"name":"exact","number":1.10E+2,"updated":1}'
    assert sim.workspace.put("campaigns", raw) == "77777"
    assert raw in client.get("/v1/campaigns").content
    sim.workspace.put("campaigns", {"id": 77777, "name": "again"})
    assert client.get("/v1/campaigns/77777").json() == {"campaign": {"id": 77777, "name": "again"}}
    sim.workspace.delete("campaigns", "77777")
    assert client.get("/v1/campaigns/77777").status_code == 404
    with pytest.raises(UnknownRecordError):
        sim.workspace.delete("campaigns", "77777")


def test_people_put_in_are_found_by_their_new_identifiers(simulate: Simulate) -> None:
    """An edited person is found by the new address and no longer by the old one."""
    sim, client = simulate(SMALL)
    person = {"cio_id": "ffff0001", "email": "new@example.com", "id": "n-1"}
    sim.workspace.put("customers", {"id": "n-1", "identifiers": person, "attributes": person})
    assert count(client, "email", "new@example.com") == 1
    sim.workspace.put(
        "customers", {"id": "n-1", "identifiers": person | {"email": "other@example.com"}, "attributes": {}}
    )
    assert (count(client, "email", "new@example.com"), count(client, "email", "other@example.com")) == (0, 1)
    sim.workspace.delete("customers", "ffff0001")
    assert count(client, "id", "n-1") == 0


def count(client: httpx2.Client, id_type: str, value: str) -> int:
    """How many people the attributes answer holds for one identifier."""
    answer = client.post("/v1/customers/attributes", params={"id_type": id_type}, json={"ids": [value]})
    return len(answer.json()["customers"])


def test_a_backdated_delivery_stands_where_it_was_created(simulate: Simulate) -> None:
    """A delivery put in with an old creation time appears in the window of that time."""
    sim, client = simulate(SMALL)
    moment = sim.workspace.now - 3 * DAY
    sim.workspace.put("messages", {"id": "late", "created": moment, "metrics": {}})
    listed = client.get("/v1/messages", params={"start_ts": moment, "end_ts": moment}).json()["messages"]
    assert "late" in {one["id"] for one in listed}


def test_the_same_seed_gives_the_same_workspace_and_the_same_future() -> None:
    """Two workspaces of one recipe are equal byte for byte, also after the same evolutions; other seeds differ."""

    def future(seed: int) -> list[list[bytes]]:
        workspace = Workspace(WorkspaceSpec(seed=seed, people=60, messages=200, activities=100))
        evolve(workspace, 9)
        return [list(workspace.truth(table)) for table in workspace.table_names]

    assert future(1) == future(1)
    assert future(1) != future(2)
