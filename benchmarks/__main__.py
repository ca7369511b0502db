"""The command behind `make bench`: measure the chosen workloads, show the figures and keep them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.machine import description
from benchmarks.page import as_text, written_into
from benchmarks.results import Results, keep, kept
from benchmarks.rounds import baseline_round, product_round, profile_round
from benchmarks.workloads import BULK, WORKLOADS, Chain, chains, scaled

ROOT = Path(__file__).parents[1]
KEPT_IN = ROOT / "bench-results"
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Measure, or take figures that were kept; show them, and write them into the page if asked to."""
    options = _options()
    if options.read:
        results = kept(options.read)
    else:
        results = _measured(options)
        print(f"kept in {keep(results, KEPT_IN)}\n")
    print(as_text(results))
    if options.write:
        PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


def _measured(options: argparse.Namespace) -> Results:
    results = Results(
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        scale=options.scale,
        runs=options.runs,
        machine=description(),
    )
    for figures in _all_rounds(options):
        results.figures.append(figures)
        _say(f"  {figures.workload} by {figures.by}: {figures.requests} requests, {figures.seconds:.1f} s, "
             f"{figures.cpu_seconds:.1f} CPU s")  # fmt: skip
    if BULK.name in options.only and not options.no_profile:
        _say("bulk under the profiler")
        KEPT_IN.mkdir(exist_ok=True)
        results.hotspots = profile_round(scaled(BULK, options.scale), KEPT_IN / "bulk.folded")
    return results


def _all_rounds(options: argparse.Namespace) -> Iterator[Figures]:
    for chain in chains(frozenset(options.only)):
        sized = Chain(scaled(chain.first, options.scale), tuple(scaled(one, options.scale) for one in chain.then))
        for run in range(1, options.runs + 1):
            _say(f"{chain.first.name}, run {run} of {options.runs}: {chain.first.about}")
            yield from product_round(sized)
        for by in () if options.no_baselines else sized.first.baselines:
            _say(f"{chain.first.name}, {by}")
            yield baseline_round(sized.first, by)


def _options() -> argparse.Namespace:
    names = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", type=_names, default=names, metavar="A,B", help=f"some of {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=3, help="how often the product does each workload")
    parser.add_argument("--scale", type=float, default=1.0, help="what all counts are multiplied with")
    parser.add_argument("--no-baselines", action="store_true", help="leave the baselines out")
    parser.add_argument("--no-profile", action="store_true", help="do not profile bulk")
    parser.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: take the figures kept in FILE")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    chosen = text.split(",")
    known = {workload.name for workload in WORKLOADS}
    if unknown := set(chosen) - known:
        raise argparse.ArgumentTypeError(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return chosen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
