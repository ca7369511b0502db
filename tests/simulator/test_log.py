"""Deliveries in their windows and the activity log."""

from __future__ import annotations

import json

import httpx2
import pytest

from customerio_simulator import Simulator, WorkspaceSpec
from customerio_simulator.windows import delivery_window, six_months_before
from tests.simulator.conftest import Simulate
from tests.simulator.walking import flat, walk

DAY = 86_400
MARCH_31 = 1_774_915_200  # 2026-03-31T00:00:00Z
SEPTEMBER_30 = 1_759_190_400  # 2025-09-30T00:00:00Z


def created(client: httpx2.Client, **query: object) -> list[int]:
    """Creation times of the deliveries listed, in the order given."""
    return [json.loads(one)["created"] for one in flat(walk(client, "messages", "messages", limit=1000, **query))]


def true_times(sim: Simulator, low: int, high: int) -> list[int]:
    """Creation times of the true deliveries in the window, newest first."""
    times = (json.loads(record)["created"] for record in sim.workspace.truth("messages"))
    return sorted((time for time in times if low <= time <= high), reverse=True)


def test_six_months_are_calendar_months() -> None:
    """Six months before the last of March is the last of September."""
    assert six_months_before(MARCH_31) == SEPTEMBER_30


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [
        (None, None, (SEPTEMBER_30, MARCH_31)),
        (0, None, (SEPTEMBER_30, MARCH_31)),
        (MARCH_31 - 5, None, (MARCH_31 - 5, MARCH_31)),
        (None, MARCH_31, (SEPTEMBER_30, MARCH_31)),
        (0, MARCH_31, (SEPTEMBER_30, MARCH_31)),
        (SEPTEMBER_30, MARCH_31, (SEPTEMBER_30, MARCH_31)),
        (MARCH_31 - 9, MARCH_31 - 3, (MARCH_31 - 9, MARCH_31 - 3)),
    ],
)
def test_a_window_is_never_wider_than_six_months(start: int | None, end: int | None, window: tuple[int, int]) -> None:
    """Missing bounds are filled in and wide windows cut, always ending at the latest bound (spec)."""
    assert delivery_window(start, end, now=MARCH_31) == window


def test_both_bounds_are_inclusive(sim: Simulator, client: httpx2.Client) -> None:
    """A window of one second gives the deliveries of exactly that second (live)."""
    bound = six_months_before(sim.workspace.now)
    for moment in (sim.workspace.spec.start, bound - 1, bound, bound + 1, sim.workspace.now):
        assert created(client, start_ts=moment, end_ts=moment) == [moment] * 3


def test_without_bounds_the_latest_six_months_come(sim: Simulator, client: httpx2.Client) -> None:
    """The far bound belongs to the window, the second before it does not."""
    now = sim.workspace.now
    listed = created(client)
    assert listed == true_times(sim, six_months_before(now), now)
    assert listed[-1] == six_months_before(now)


def test_a_wider_window_is_silently_cut(sim: Simulator, client: httpx2.Client) -> None:
    """Asking for everything answers 200 with the six months before the latest bound."""
    start, now = sim.workspace.spec.start, sim.workspace.now
    end = now - 40 * DAY
    assert created(client, start_ts=start, end_ts=end) == true_times(sim, six_months_before(end), end)
    assert created(client, start_ts=start) == created(client)
    assert created(client, end_ts=end) == created(client, start_ts=start, end_ts=end)


def test_a_window_in_the_future_is_empty(sim: Simulator, client: httpx2.Client) -> None:
    """Nothing was created after now (live)."""
    later = sim.workspace.now + DAY
    assert created(client, start_ts=later, end_ts=later) == []


def test_deliveries_come_newest_first(client: httpx2.Client) -> None:
    """Creation times never rise along the list, and several share a second."""
    listed = created(client)
    assert listed == sorted(listed, reverse=True)
    assert len(set(listed)) < len(listed)


@pytest.mark.parametrize("path", ["messages", "activities"])
def test_the_oldest_can_come_first(simulate: Simulate, path: str) -> None:
    """By option the same records come in the other order, over as many pages."""
    sim, client = simulate()
    newest_first = flat(walk(client, path, path, limit=100, deleted="true"))
    sim.behaviour.oldest_first = True
    assert flat(walk(client, path, path, limit=100, deleted="true")) == newest_first[::-1]


def test_drafts_only_come_on_request(sim: Simulator, client: httpx2.Client) -> None:
    """`drafts=true` gives drafts and nothing else, the default list none (spec)."""
    now = sim.workspace.now
    drafts = [
        record for record in sim.workspace.truth("message_drafts") if created_at(record) >= six_months_before(now)
    ]
    listed = flat(walk(client, "messages", "messages", limit=1000, drafts="true"))
    assert sorted(listed) == sorted(drafts)
    assert not set(listed) & set(flat(walk(client, "messages", "messages", limit=1000)))


def created_at(record: bytes) -> int:
    """Creation time of one delivery."""
    return int(json.loads(record)["created"])


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"type": "push"}, lambda one: one["type"] == "push"),
        ({"metric": "clicked"}, lambda one: "clicked" in one["metrics"]),
        ({"campaign_id": 3}, lambda one: one["campaign_id"] == 3),
        ({"newsletter_id": 2004}, lambda one: one["newsletter_id"] == 2004),
        ({"action_id": 300, "type": "email"}, lambda one: one["action_id"] == 300 and one["type"] == "email"),
    ],
)
def test_filters_keep_what_fits(client: httpx2.Client, query: dict[str, object], fits: object) -> None:
    """Each filter gives exactly the deliveries of the window that fit it, over as many pages as it takes."""
    assert callable(fits)
    everything = flat(walk(client, "messages", "messages", limit=1000))
    wanted = [record for record in everything if fits(json.loads(record))]
    assert wanted
    assert flat(walk(client, "messages", "messages", limit=7, **query)) == wanted


@pytest.mark.parametrize(
    "query",
    [{"type": "pigeon"}, {"metric": "loved"}, {"start_ts": "soon"}, {"limit": 0}, {"limit": -3}, {"limit": ""},
     {"drafts": "maybe"}, {"campaign_id": "3.0"}, {"end_ts": "9" * 30}],
)  # fmt: skip
def test_invalid_parameters_are_refused(client: httpx2.Client, query: dict[str, int | str]) -> None:
    """A value that the parameter cannot have answers 400 with the API's error body."""
    answer = client.get("/v1/messages", params=query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["status"] == "400"


def test_one_delivery_is_the_one_listed(client: httpx2.Client) -> None:
    """The single read gives the listed record, an unknown id a 404."""
    listed = client.get("/v1/messages").json()["messages"][0]
    assert client.get(f"/v1/messages/{listed['id']}").json() == {"message": listed}
    assert client.get("/v1/messages/nothing").status_code == 404


def test_activities_come_newest_first_as_far_as_the_log_reaches(sim: Simulator, client: httpx2.Client) -> None:
    """The oldest entry happened exactly at the end of retention."""
    times = [json.loads(one)["timestamp"] for one in flat(walk(client, "activities", "activities", limit=100))]
    assert times == sorted(times, reverse=True)
    assert times[0] == sim.workspace.now
    assert min(json.loads(one)["timestamp"] for one in sim.workspace.truth("activities")) == (
        sim.workspace.now - 30 * DAY
    )


def test_activities_of_deleted_people_come_on_request(simulate: Simulate) -> None:
    """`deleted=true` adds those of deleted people; by option they are always there, or come alone."""
    sim, client = simulate(WorkspaceSpec(activities=300))
    default, with_deleted = ids(client), ids(client, deleted="true")
    assert default < with_deleted
    sim.behaviour.deleted_activities = "always"
    assert ids(client) == with_deleted
    sim.behaviour.deleted_activities = "only"
    assert ids(client, deleted="true") == with_deleted - default


def ids(client: httpx2.Client, **query: str) -> set[str]:
    """Ids of the activities listed."""
    return {json.loads(one)["id"] for one in flat(walk(client, "activities", "activities", limit=100, **query))}


def test_activities_are_filtered_by_type_and_person(client: httpx2.Client) -> None:
    """`type` and `customer_id` with `id_type` keep what fits."""
    entries = [json.loads(one) for one in flat(walk(client, "activities", "activities", limit=100))]
    pages = sum(entry["type"] == "page" for entry in entries)
    assert len(flat(walk(client, "activities", "activities", limit=9, type="page"))) == pages > 0
    person = next(entry for entry in entries if entry.get("customer_identifiers", {}).get("id"))["customer_identifiers"]
    for query in ({"customer_id": person["id"]}, {"customer_id": f"cio_{person['cio_id']}", "id_type": "cio_id"}):
        found = flat(walk(client, "activities", "activities", **query))
        assert found
        assert {json.loads(one)["customer_identifiers"]["cio_id"] for one in found} == {person["cio_id"]}


def test_half_characters_are_served_in_every_list(simulate: Simulate) -> None:
    """Entries that hold a lone surrogate are filtered like all others."""
    _, client = simulate(WorkspaceSpec(activities=400, lone_surrogates=True))
    for query in ({}, {"deleted": "true"}, {"type": "event"}):
        assert client.get("/v1/activities", params={"limit": "100", **query}).status_code == 200
