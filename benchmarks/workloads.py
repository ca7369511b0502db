"""What is measured: one row per workload."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

DAYS = 400  # over which the messages were sent: three half years have to be asked for


class Baseline(StrEnum):
    """What else copies a workspace, to compare with."""

    PLAIN = "plain"  # requests, from_pylist, DuckDB
    DLT = "dlt"  # a dlt pipeline of dicts, fed by the same pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One workspace, how it is served and what is done with it.

    rps        requests per second that are let through, None for no limit
    latency    seconds before each answer
    after      the workload whose copy this one brings up to date; its workspace is the same
    changed    share of all rows that change between the two (0 to 1)
    baselines  who else does it
    """

    name: str
    about: str
    messages: int
    people: int
    activities: int
    rps: int | None
    latency: float
    after: str | None = None
    changed: float = 0.0
    baselines: tuple[Baseline, ...] = ()


LIMITED = Workload(
    name="limited",
    about="a first sync at the limit of the API",
    messages=20_000,
    people=3_000,
    activities=5_000,
    rps=10,
    latency=0.15,
    baselines=(Baseline.PLAIN, Baseline.DLT),
)
BULK = Workload(
    name="bulk",
    about="a first sync of a large workspace without any limit",
    messages=2_000_000,
    people=50_000,
    activities=5_000,
    rps=None,
    latency=0.0,
)

WORKLOADS: tuple[Workload, ...] = (
    LIMITED,
    replace(
        LIMITED,
        name="nothing-changed",
        about="a second sync when nothing has changed",
        after="limited",
        baselines=(),
    ),
    replace(
        LIMITED,
        name="one-percent-changed",
        about="a further sync, a day and one changed row in a hundred later",
        after="limited",
        changed=0.01,
        baselines=(),
    ),
    replace(LIMITED, name="slow", about="as *limited*, but each answer takes four times as long", latency=0.6),
    replace(
        LIMITED,
        name="bulk-part",
        about="a part of *bulk* that is small enough for dlt",
        rps=None,
        latency=0.0,
    ),
    replace(
        BULK,
        name="bulk-tenth",
        about="a tenth of the messages of *bulk*",
        messages=200_000,
        baselines=(Baseline.PLAIN,),
    ),
    BULK,
)


def scaled(workload: Workload, scale: float) -> Workload:
    """The workload with its counts multiplied, each at least one."""
    counts = (workload.messages, workload.people, workload.activities)
    messages, people, activities = (max(1, round(count * scale)) for count in counts)
    return replace(workload, messages=messages, people=people, activities=activities)


@dataclass(frozen=True, slots=True)
class Chain:
    """A first sync, and the syncs that follow on its copy, in their order."""

    first: Workload
    then: tuple[Workload, ...]


def chains(names: frozenset[str]) -> list[Chain]:
    """The workloads of these names as they are done: one that follows another brings that one with it."""
    found = []
    for first in (workload for workload in WORKLOADS if workload.after is None):
        then = tuple(one for one in WORKLOADS if one.after == first.name and one.name in names)
        if then or first.name in names:
            found.append(Chain(first, then))
    return found
