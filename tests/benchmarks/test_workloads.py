"""The workloads are chosen by name, and scaled."""

from __future__ import annotations

from benchmarks.workloads import BULK, WORKLOADS, chains, scaled


def test_a_later_sync_brings_the_first_one_with_it() -> None:
    """Choosing a workload that follows another one does that one too, and nothing else."""
    (chain,) = chains(frozenset({"one-percent-changed"}))
    assert (chain.first.name, [one.name for one in chain.then]) == ("limited", ["one-percent-changed"])


def test_all_workloads_are_done_once() -> None:
    """Choosing all does each once, a later sync after the first one."""
    done = [
        one.name for chain in chains(frozenset(one.name for one in WORKLOADS)) for one in (chain.first, *chain.then)
    ]
    assert sorted(done) == sorted(one.name for one in WORKLOADS)


def test_scale_changes_the_counts_alone() -> None:
    """A smaller workload is served in the same way, and never becomes empty."""
    small = scaled(BULK, 0.001)
    assert (small.messages, small.people, small.activities) == (2_000, 50, 5)
    assert scaled(BULK, 1e-9).people == 1
    assert (small.rps, small.latency, small.name) == (BULK.rps, BULK.latency, BULK.name)
