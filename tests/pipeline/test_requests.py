"""What a fixed workspace costs, to the request: a change that makes the program ask for more fails here."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from math import ceil
from pathlib import Path

import pytest

from cio_replicate.config.table_options import RECENT_DAYS, PeopleRefresh, RereadPolicy
from cio_replicate.pipeline.report import Report
from cio_replicate.source.catalog import table
from cio_replicate.source.strategies.base import DAY
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Simulator, WorkspaceSpec
from tests.pipeline.copies import differences
from tests.pipeline.syncs import sync

SPEC = WorkspaceSpec(seed=1, hostile=False, messages=20_000, people=2_500, activities=3_000, suppressions=2_400)
CHANGES = RereadPolicy(people=PeopleRefresh.CHANGES)
ONE_ANSWER = (
    "broadcasts", "transactional_messages", "campaigns", "segments", "exports", "reporting_webhooks", "snippets",
    "ip_addresses", "collections", "topics", "workspaces", "types",
)  # fmt: skip
LISTS = dict.fromkeys(ONE_ANSWER, 1) | {
    "newsletters": 2,  # 130 by the hundred
    "sender_identities": 4,  # visible and hidden, each with the empty page that the API names after the last sender
    "eps_suppression": 5,  # four lists of 600, and one request that tells that pages may be longer
}
FIRST = LISTS | {
    "customers": 3 + 25,  # 2,500 by the thousand, and by the hundred
    "activities": 30 + 1,  # 3,000 by the hundred, and whether both lists are the same
    "messages": 20 + 1,  # 20,000 by the thousand, and a page that is not full since three slices were read at once
}


def _sent(report: Report) -> dict[str, int]:
    return {table.name: table.requests for table in report.tables}


def _children(simulator: Simulator) -> dict[str, int]:
    """A request for each broadcast, and for every ten actions of each campaign."""
    actions = Counter(json.loads(record)["campaign_id"] for record in simulator.workspace.truth("campaign_actions"))
    broadcasts = sum(1 for _ in simulator.workspace.truth("broadcasts"))
    return {"campaign_actions": sum(ceil(count / 10) for count in actions.values()), "broadcast_actions": broadcasts}


def _slices(simulator: Simulator) -> int:
    windows = [one.target.partition("start_ts=")[2].split("&start=")[0] for one in simulator.requests]
    return len({window for window in windows if window})


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report, Simulator]:
    """The folder of a first sync, its report, and the simulator that was asked."""
    folder = tmp_path_factory.mktemp("first")
    with Simulator(SPEC) as simulator:
        return folder, sync(simulator, folder, start=SPEC.start, now=SPEC.now), simulator


@pytest.fixture
def synced(first: tuple[Path, Report, Simulator], tmp_path: Path) -> Path:
    """A folder as a first sync left it."""
    return Path(shutil.copytree(first[0], tmp_path / "synced"))


def test_a_first_sync_costs_hardly_more_than_the_fewest_requests_there_can_be(
    first: tuple[Path, Report, Simulator],
) -> None:
    """Full pages everywhere, none asked for twice, three more than the fewest; and that was foreseen."""
    _, report, simulator = first
    assert _sent(report) == FIRST | _children(simulator)
    assert simulator.log.summary()["asked_again"] == {}
    assert _slices(simulator) == 4
    known = {table.name: table.predicted for table in report.tables if table.predicted is not None}
    assert {name: known[name] for name in LISTS if name in known and name != "newsletters"} == {
        name: LISTS[name] for name in LISTS if name != "newsletters"
    }
    assert abs(known["messages"] - FIRST["messages"]) <= 2
    assert abs(known["activities"] - FIRST["activities"]) <= 3


def test_a_long_list_by_offset_is_read_in_ranges(tmp_path: Path) -> None:
    """Some pages at once instead of one after another: each list costs one request more, and nothing is lost."""
    spec = WorkspaceSpec(seed=1, hostile=False, suppressions=20_000, messages=0, people=0, activities=0)
    with Simulator(spec) as simulator:
        report = sync(simulator, tmp_path, tables=(table("eps_suppression"),))
        assert differences(simulator, tmp_path / "copy.duckdb", ("eps_suppression",)) == {}
        assert simulator.log.summary()["asked_again"] == {}
        simulator.evolve(3)
        sync(simulator, tmp_path, tables=(table("eps_suppression"),))
        assert differences(simulator, tmp_path / "copy.duckdb", ("eps_suppression",)) == {}
    assert 4 * 5 <= _sent(report)["eps_suppression"] <= 4 * (5 + 2)


@pytest.mark.parametrize(
    ("rules", "customers"),
    [
        (RereadPolicy(), 3 + 25),
        (CHANGES, 3 + 1),  # the list, and a request for those whom the log names and for those who are new
    ],
)
def test_a_later_sync_costs_what_may_have_changed(rules: RereadPolicy, customers: int, synced: Path) -> None:
    """Thirty days of deliveries and four ages at which older ones settle, two pages of the log, the lists."""
    with Simulator(SPEC) as simulator:
        simulator.evolve(1, edits=5, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        report = sync(simulator, synced, start=SPEC.start, rules=rules, now=SPEC.now + DAY)
        assert _sent(report) == LISTS | _children(simulator) | {
            "customers": customers,
            "messages": 2 + 3,
            "activities": 3 + 1,
        }
        assert simulator.log.summary()["asked_again"] == {}
    foreseen = [
        one for one in report.tables if table(one.name).parent is None
    ]  # nobody knows of new parents beforehand
    assert all(abs((one.predicted or 0) - one.requests) <= 2 for one in foreseen), report.tables


def test_a_sync_that_finds_nothing_new_costs_as_much(synced: Path) -> None:
    """What has changed costs nothing beyond what it takes to look; people named in the hour before count."""
    with Simulator(SPEC) as simulator:
        report = sync(simulator, synced, start=SPEC.start, rules=CHANGES, now=SPEC.now + 3_600)
        assert _sent(report) == LISTS | _children(simulator) | {
            "customers": 3 + 1,
            "messages": 2 + 3,
            "activities": 2 + 1,
        }
        assert {(table.inserted, table.updated, table.deleted) for table in report.tables} == {(0, 0, 0)}
