"""What the product promises about its speed, each with its bound, the figure and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figures, found

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """One promise after measuring."""

    promise: str
    bound: str
    figure: str
    holds: bool


def verdicts(lines: Sequence[Figures]) -> list[Verdict]:
    """The promises about what was measured; those about the rest are left out."""
    found_so_far: list[Verdict] = []
    for workload in ("limited", "slow"):
        if line := found(lines, workload):
            found_so_far += _first_sync(line)
    for workload in ("nothing-changed", "one-percent-changed"):
        if line := found(lines, workload):
            found_so_far += [_at_most(f"{workload}: seconds on top of its requests", 5.0, line.on_top, _plain)]
    bulk, tenth = found(lines, "bulk"), found(lines, "bulk-tenth")
    if bulk:
        rate = bulk.messages_per_cpu_second
        found_so_far += [
            Verdict("bulk: messages per CPU second", "at least 40,000", f"{rate:,.0f}", rate >= 40_000),
            _at_most("bulk: peak memory, MiB", 500.0, bulk.peak / MIB, lambda value: f"{value:,.0f}"),
        ]
    if bulk and tenth:
        found_so_far += [_at_most("bulk: peak memory to that of a tenth of it", 1.15, bulk.peak / tenth.peak, _plain)]
    return found_so_far


def _first_sync(line: Figures) -> list[Verdict]:
    attained = line.attained or 0.0
    return [
        _at_most(f"{line.workload}: requests to the fewest", 1.05, line.requests_to_fewest, _exact),
        Verdict(
            f"{line.workload}: rate to the one that was possible", "at least 0.95", _plain(attained), attained >= 0.95
        ),
        _at_most(f"{line.workload}: seconds to the limit of its requests", 1.10, line.to_own_limit, _exact),
    ]


def _at_most(promise: str, bound: float, value: float | None, shown: Callable[[float], str]) -> Verdict:
    number = value or 0.0
    return Verdict(promise, f"at most {shown(bound)}", shown(number), number <= bound)


def _plain(value: float) -> str:
    return f"{value:.2f}"


def _exact(value: float) -> str:
    return f"{value:.3f}"
