"""The simulated workspace, copied by the command into each kind of destination that can be tested for real."""

from __future__ import annotations

import pytest

from cio_replicate.config.table_options import RECENT_DAYS
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies.base import DAY
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Faults, Simulator, WorkspaceSpec
from tests.destinations.copying import Copying

ALL = tuple(table.name for table in TABLES)
KEPT = "activities"  # the log forgets, the copy does not
TRUE = {"proved", "consistent"}


def _verdicts(document: dict[str, list[dict[str, dict[str, str]]]]) -> set[str]:
    return {table["proof"]["verdict"] for table in document["tables"]}


def test_a_hostile_workspace_arrives_exactly_and_is_proved(copying: Copying) -> None:
    """Every value of every record is there, whatever it is; `verify` proves it; what was edited later arrives too.

    Types, JSON as it was received, fields that nobody knew, values that fit no column, NUL, emoji, ids like 30e00001.
    The second run finds an empty state folder, as on another machine: it too reads only what is new, and writes only
    what differs.
    """
    with Simulator(WorkspaceSpec(seed=5, messages=1_500, people=220, activities=400)) as simulator:
        first = copying.run("sync", simulator)
        assert first.code == 0, first.err
        assert _verdicts(first.document) <= TRUE
        assert copying.differences(simulator, *ALL) == {}
        verified = copying.run("verify", simulator)
        assert (verified.code, verified.document["status"]) == (0, "true"), verified.err
        copying.forget()
        changes = simulator.evolve(11, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        second = copying.run("sync", simulator)
        assert second.code == 0, second.err
        assert _verdicts(second.document) <= TRUE
        assert copying.differences(simulator, *(name for name in ALL if name != KEPT)) == {}
        counts = {table["name"]: (table["inserted"], table["deleted"]) for table in second.document["tables"]}
        for name, told in changes.items():
            assert counts[name] == (len(told.inserted), len(told.deleted)), name
        third = copying.run("sync", simulator)
        assert {(one["inserted"], one["updated"], one["deleted"]) for one in third.document["tables"]} == {(0, 0, 0)}


@pytest.mark.destinations
@pytest.mark.parametrize(("seconds", "forgets"), [(1.6, False), (2.2, True)])
def test_a_killed_run_is_started_again(seconds: float, *, forgets: bool, copying: Copying) -> None:
    """Killed with SIGKILL at some moment, the next run makes the copy whole, on the same machine or on a fresh one."""
    with Simulator(WorkspaceSpec(seed=7, messages=3_000, people=300, activities=600), latency=0.03) as simulator:
        copying.killed(simulator, seconds)
        if forgets and copying.state.exists():
            copying.forget()
        again = copying.run("sync", simulator)
        assert again.code == 0, again.err
        assert _verdicts(again.document) <= TRUE
        assert copying.differences(simulator, *ALL) == {}


@pytest.mark.destinations
def test_faults_of_the_api_change_nothing(copying: Copying) -> None:
    """With errors, cut answers and limits on the way, the copy is the same."""
    spec = WorkspaceSpec(seed=9, messages=800, people=120, activities=200)
    with Simulator(spec, faults=Faults.everything(9, rate=0.03)) as simulator:
        assert copying.run("sync", simulator).code == 0
        assert copying.differences(simulator, *ALL) == {}
