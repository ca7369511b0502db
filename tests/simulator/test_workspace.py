"""The data of a workspace: unique, hostile where it should be, plain where it should be, and any size."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from customerio_simulator import WorkspaceSpec
from customerio_simulator.evolution import evolve
from customerio_simulator.inventory import TABLES
from customerio_simulator.ledger import Entry, Ledger, Range
from customerio_simulator.randomness import draw, draws
from customerio_simulator.schemas import extra_fields_seen, record_schema
from customerio_simulator.workspace import Workspace
from tests.simulator.conftest import Simulate
from tests.simulator.walking import read_table

NAMES = [table.name for table in TABLES]


@pytest.fixture(scope="module")
def large() -> Workspace:
    """A hostile workspace large enough to hold every oddity."""
    return Workspace(WorkspaceSpec(people=2_000, messages=6_000, activities=6_000, suppressions=2_000))


@pytest.mark.parametrize("table", NAMES)
def test_keys_are_unique_and_lead_to_their_records(table: str, large: Workspace) -> None:
    """No key comes twice in a table, and every record is JSON."""
    items = list(large.truth_items(table))
    assert len({key for key, _ in items}) == len(items)
    for _, record in items:
        json.loads(record)
    if table != "eps_suppression":
        ledger = large.ledger(table)
        assert all(ledger.key_of(ledger.seq_of(key) or 0) == key for key, _ in items)


@pytest.mark.parametrize("table", ["messages", "activities"])
def test_time_never_goes_back_along_the_index(table: str, large: Workspace) -> None:
    """Creation times are in order of the index, so a window is a range of it."""
    source = large.ledger(table).source
    times = [source.time_of(index) for index in range(source.size)]
    assert times == sorted(times)
    assert times[-1] == large.now


@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize(("messages", "seconds"), [(7, 90), (40, 9), (5_000, 500), (60_000, 400 * 86_400)])
def test_deliveries_in_bursts_keep_their_order_and_their_ends(share: float, messages: int, seconds: int) -> None:
    """However much falls into bursts, times never go back and still reach from exactly `start` to exactly `now`."""
    spec = WorkspaceSpec(bursts=share, messages=messages)
    spec = replace(spec, start=spec.now - seconds)
    source = Workspace(spec).ledger("messages").source
    times = [source.time_of(index) for index in range(source.size)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (spec.start, spec.now)


def test_bursts_hold_thousands_within_minutes_and_within_one_second() -> None:
    """The share asked for falls into a few short times, one of them a single second."""
    source = Workspace(WorkspaceSpec(bursts=0.6, messages=30_000)).ledger("messages").source
    times = [source.time_of(index) for index in range(source.size)]
    by_second, by_hour = Counter(times), Counter(moment // 3_600 for moment in times)
    busy = [number for _, number in by_hour.most_common(6)]
    assert by_second.most_common(1)[0][1] > 2_000
    assert 0.6 <= sum(busy) / 30_000 < 0.62
    assert len(by_hour) > 2_000


def test_a_workspace_with_bursts_is_read_like_any_other(simulate: Simulate) -> None:
    """Windows and pages give every delivery of a burst once, though many share a second."""
    sim, client = simulate(WorkspaceSpec(bursts=0.7, messages=6_000))
    assert sorted(read_table(client, "messages")) == sorted(sim.workspace.truth("messages"))
    assert Workspace(sim.workspace.spec).summary("messages") == sim.workspace.summary("messages")


@pytest.mark.parametrize(
    ("table", "pattern"),
    [
        ("customers", r'"id":null'),
        ("customers", r'"id":""'),
        ("customers", r'"email":null'),
        ("customers", r'"cio_id":"30e00001"'),
        ("customers", r'"plan":"\w+".*"P(lan|LAN)":'),
        ("customers", r'"__proto__":'),
        ("customers", r'"":"'),
        ("customers", r"\\u0000"),
        ("activities", r'"exact":1e400'),
        ("activities", r'"exact":123456789012345678901234567890'),
        ("activities", r'"exact":1\.0'),
        ("activities", r'"exact":9007199254740993'),
        ("messages", r'"secondary:delivered":'),
        ("messages", r'"cio_id":\d'),
        ("messages", r'"transactional_message_id":\d'),
        ("messages", r'"message_template_id":'),
        ("messages", r'"metrics":\{\}'),
        ("campaigns", r'"id":"\d+"'),
        ("campaigns", r'"updated":null'),
        ("campaigns", r'"tags":null'),
        ("campaigns", r'"person_filters":\{'),
        ("campaigns", r'"person_filters":"\{'),
        ("broadcasts", r'"tags":"nil"'),
        ("reporting_webhooks", r"https://reporter:[^/]+@"),
        ("snippets", r'"name":"say \\"hi\\""'),
        ("eps_suppression", r"\+list%"),
    ],
)
def test_hostile_data_is_there(table: str, pattern: str, large: Workspace) -> None:
    """Each oddity that real workspaces have is met in a workspace of ordinary size."""
    assert re.search(pattern, b"\n".join(large.truth(table)).decode())


def test_some_deliveries_and_activities_name_nobody(large: Workspace) -> None:
    """Some records lack `customer_identifiers` altogether."""
    for table in ("messages", "activities"):
        records = [json.loads(record) for record in large.truth(table)]
        assert 0 < sum("customer_identifiers" not in record for record in records) < len(records) / 5


def test_a_funnel_narrows(large: Workspace) -> None:
    """More is sent than delivered, more delivered than opened, more opened than clicked."""
    metrics = [json.loads(record)["metrics"] for record in large.truth("messages")]
    sent, delivered, opened, clicked = (
        sum(name in one for one in metrics) for name in ("sent", "delivered", "opened", "clicked")
    )
    assert sent > delivered > opened > clicked > 0


def test_lone_surrogates_come_only_on_request(large: Workspace) -> None:
    """Half a surrogate pair, legal in JSON and refused by many decoders, has to be asked for."""
    half = b'"half":"\\ud83d"'
    asked = Workspace(WorkspaceSpec(activities=2_000, lone_surrogates=True))
    assert any(half in record for record in asked.truth("activities"))
    assert not any(half in record for record in large.truth("activities"))


def test_suppressions_can_lack_their_domain(large: Workspace) -> None:
    """By option no record says which domain it belongs to."""
    plain = Workspace(WorkspaceSpec(suppression_domain_field=False))
    assert all(b'"domain"' not in record for record in plain.truth("eps_suppression"))
    assert all(b'"domain"' in record for record in large.truth("eps_suppression"))


@pytest.mark.parametrize(
    "wrong", [{"people": -1}, {"start": 5, "now": 5}, {"workspaces": 0}, {"bursts": 1.5}, {"bursts": -0.1}]
)
def test_an_impossible_recipe_is_refused(wrong: dict[str, Any]) -> None:
    """Negative sizes, a share beyond the whole, time that does not pass and no workspace at all are errors."""
    with pytest.raises(ValueError, match="WorkspaceSpec"):
        WorkspaceSpec(**wrong)


def test_every_table_has_its_published_schema() -> None:
    """A schema is there for each table, fresh on every call, with the undocumented fields beside it."""
    for table in NAMES:
        assert record_schema(table)["type"] in {"object", "string"}
    record_schema("campaigns")["properties"].clear()
    assert "id" in record_schema("campaigns")["properties"]
    assert "scheduled_start" in {field["name"] for field in extra_fields_seen("campaigns")}


def test_millions_of_deliveries_need_no_memory(simulate: Simulate) -> None:
    """A page at the far end of two million deliveries is served at once, out of a few megabytes."""
    tracemalloc.start()
    spec = WorkspaceSpec(messages=2_000_000, people=1_000_000, activities=1_000_000)
    sim, client = simulate(spec)
    window = {"start_ts": spec.start, "end_ts": spec.start + 60, "limit": 1000}
    page = client.get("/v1/messages", params=window).json()["messages"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert page[-1]["created"] == spec.start
    assert len(sim.workspace.ledger("messages")) == 2_000_000
    assert peak < 16_000_000


def test_a_ledger_keeps_its_place_through_edits() -> None:
    """Offsets count the records that are there, whatever was deleted, added or replaced before."""
    ledger = Workspace(WorkspaceSpec(suppressions=80)).ledger("eps_suppression/bounces")
    for seq in (0, 5, 19):
        ledger.delete(seq)
    added = ledger.insert("late", b"{}")
    everything = [seq for _, seq in ledger.positions(Range())]
    assert everything == [seq for seq in range(20) if seq not in {0, 5, 19}] + [added]
    for offset in range(len(everything) + 2):
        assert seqs_from(ledger, offset) == everything[offset:]


@pytest.mark.parametrize("table", ["messages", "activities", "newsletters", "eps_suppression/blocks"])
@pytest.mark.parametrize("bursts", [0.0, 0.5])
def test_records_made_together_are_those_made_one_by_one(table: str, bursts: float) -> None:
    """A part of a list is the same however it is made, in either direction, before and after edits."""
    workspace = Workspace(WorkspaceSpec(messages=800, activities=500, bursts=bursts))
    ledger = workspace.ledger(table)
    for seed in range(6):
        for descending, size, low in product((False, True), (1, 2, 7, 100, 5_000), (0, workspace.now - 9_000_000)):
            span = Range(low=low if table in {"messages", "activities"} else 0, descending=descending)
            whole = list(ledger.entries(span))
            assert together(ledger, span, size) == whole[:size]
            if len(whole) > 9:
                after = replace(span, after=whole[8].position)
                assert together(ledger, after, size) == whole[9 : 9 + size]
        evolve(workspace, seed, edits=12, seconds=5_000)
        for seq in range(40 * seed, 40 * seed + 9):
            if ledger.present(seq):
                ledger.delete(seq)


def together(ledger: Ledger, span: Range, size: int) -> list[Entry]:
    """The first records of the span, made at once."""
    return [Entry(*one) for one in zip(*ledger.first(span, size), strict=True)]


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 999), (12_345, 64), (1_999_999, 3)])
def test_draws_are_each_draw(first: int, count: int) -> None:
    """Many numbers drawn at once are those drawn one at a time."""
    assert list(draws(5, 22, first, count)) == [draw(5, 22, index) for index in range(first, first + count)]


def seqs_from(ledger: Ledger, offset: int) -> list[int]:
    """The records from an offset on."""
    return [seq for _, seq in ledger.positions(Range(after=ledger.nth(offset)))]
