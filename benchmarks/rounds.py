"""Does the workloads: a simulator, a process that copies it, a look at the copy, the figures."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from benchmarks.copies import rows_of
from benchmarks.fewest import Counts, fewest_requests, longest_chain
from benchmarks.figures import PRODUCT, Figures
from benchmarks.hotspots import Hotspots, summed_up
from benchmarks.measure import Cost, measured
from benchmarks.product import SAMPLES_PER_SECOND, copy_in, profiled, sync_command, told
from benchmarks.recipe import ACTIONS, SENDERS, Changes, actions_of, counts_of, edits_for, spec_of
from benchmarks.serving import Serving
from benchmarks.simulated import Asked, simulated
from benchmarks.workloads import Baseline, Chain, Workload

TOKEN = "benchmark-token"  # noqa: S105 - opens nothing but the simulator
BASELINES = {Baseline.PLAIN: "benchmarks.plain", Baseline.DLT: "benchmarks.dlt_dicts"}
ENVIRONMENT = {"CIO_ACCESS_TOKEN": TOKEN, "RUNTIME__DLTHUB_TELEMETRY": "false"}


def product_round(chain: Chain) -> Iterator[Figures]:
    """A first sync and those that follow on its copy, from a workspace of their own."""
    serving = _serving(chain.first)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, simulated(serving) as source:
        folder = Path(name)
        counts = counts_of(serving.spec, source.records(SENDERS), source.records(ACTIONS))
        command = sync_command(source.url, folder, serving.spec.start, chain.first.rps)
        cost = measured(command, ENVIRONMENT, folder / "first.json")
        rows = rows_of(copy_in(folder), _expected(counts))
        first = _figures(chain.first, PRODUCT, source.asked(), cost, counts, rows)
        yield first
        for workload in chain.then:
            changes = source.evolve(edits_for(rows, workload.changed)) if workload.changed else {}
            counts = replace(
                _grown(counts, changes),
                actions=actions_of(source.records(ACTIONS)),
                broadcasts=len(source.records("broadcasts")),
            )
            source.forget()
            output = folder / f"{workload.name}.json"
            cost = measured(command, ENVIRONMENT, output)
            rows_of(copy_in(folder), _expected(counts))
            report = told(output)
            yield msgspec.structs.replace(
                _figures(workload, PRODUCT, source.asked(), cost, counts, report.read),
                first=first.requests,
                changed=sum(change.number for change in changes.values()),
                written=report.written,
            )


def baseline_round(workload: Workload, by: Baseline) -> Figures:
    """The same first sync by a baseline."""
    serving = _serving(workload)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, simulated(serving) as source:
        file = copy_in(Path(name))
        counts = counts_of(serving.spec, source.records(SENDERS), source.records(ACTIONS))
        arguments = [source.url, TOKEN, str(serving.spec.start), str(int(time.time())), str(file)]
        cost = measured([sys.executable, "-m", BASELINES[by], *arguments], ENVIRONMENT, file.with_suffix(".output"))
        return _figures(workload, by, source.asked(), cost, counts, rows_of(file, _expected(counts)))


def profile_round(workload: Workload, to: Path) -> Hotspots:
    """A first sync under the profiler, whose folded stacks are kept in `to`."""
    serving = _serving(workload)
    with tempfile.TemporaryDirectory(prefix="bench-") as name, simulated(serving) as source:
        folder = Path(name)
        command = sync_command(source.url, folder, serving.spec.start, workload.rps)
        measured(profiled(command, to), ENVIRONMENT, folder / "profiled.json")
    with to.open(encoding="utf-8") as folded:
        return summed_up(folded, per_second=SAMPLES_PER_SECOND)


def _serving(workload: Workload) -> Serving:
    return Serving(spec_of(workload, time.time()), TOKEN, workload.rps, workload.latency)


def _expected(counts: Counts) -> dict[str, int]:
    """The rows of the large tables in a right copy."""
    return {"messages": counts.messages, "customers": counts.people, "activities": counts.activities}


def _grown(counts: Counts, changes: dict[str, Changes]) -> Counts:
    """The counts of the large tables in a copy after the changes; it keeps activities that the source has forgotten."""
    messages, people, activities = (changes.get(table, Changes()) for table in ("messages", "customers", "activities"))
    return replace(
        counts,
        messages=counts.messages + len(messages.inserted),
        people=counts.people + len(people.inserted) - len(people.deleted),
        activities=counts.activities + len(activities.inserted),
    )


def _figures(workload: Workload, by: str, asked: Asked, cost: Cost, counts: Counts, rows: int) -> Figures:
    return Figures(
        workload=workload.name,
        by=by,
        requests=asked.requests,
        fewest=sum(fewest_requests(counts).values()),
        throttled=asked.throttled,
        most_in_a_second=asked.most_in_a_second,
        per_second=asked.per_second,
        budget=workload.rps,
        chain=longest_chain(counts) * workload.latency,
        seconds=cost.seconds,
        cpu_seconds=cost.cpu_seconds,
        peak=cost.peak_bytes,
        rows=rows,
        messages=counts.messages,
    )
