"""The command behind `make bench`: measure the chosen workloads, show the figures and keep them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.copies import WrongCopyError
from benchmarks.figures import Figures
from benchmarks.loads import loads
from benchmarks.machine import description
from benchmarks.measure import CommandFailedError
from benchmarks.own_loads import OWN
from benchmarks.page import as_text, written_into
from benchmarks.results import Results, keep, kept
from benchmarks.rounds import baseline_round, product_round, profile_round
from benchmarks.workloads import BULK, WORKLOADS, Baseline, Chain, Workload, chains, scaled

ROOT = Path(__file__).parents[1]
KEPT_IN = ROOT / "bench-results"
PAGE = ROOT / "docs" / "benchmarks.md"
LOADS = "destinations"


def main() -> int:
    """Measure, or take figures that were kept; show them, and write them into the page if asked to.

    The exit code is 1 when a run failed or copied wrongly. A promise that is not kept is shown and is no failure: the
    machine may have been busy.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both let the processes that were started end
    options = _options()
    if options.read:
        results = kept(options.read)
    else:
        results = _measured(options)
        print(f"kept in {keep(results, KEPT_IN)}\n")
    print(as_text(results))
    if options.write:
        PAGE.write_text(written_into(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    return 1 if results.failures else 0


def _measured(options: argparse.Namespace) -> Results:
    results = Results(
        at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        scale=options.scale,
        runs=options.runs,
        machine=description(),
    )
    try:
        _measure(options, results)
    except KeyboardInterrupt:
        results.failures.append("stopped before the end")
    return results


def _measure(options: argparse.Namespace, results: Results) -> None:
    """Add what each round comes to; a round that fails is told, and the others go on."""
    for told, measure in _rounds(options):
        _say(told)
        try:
            for line in measure():
                results.figures.append(line)
                _say(f"  {line.workload}: {line.requests} requests, {line.seconds:.1f} s, {line.cpu_seconds:.1f} CPU s")
        except (CommandFailedError, WrongCopyError) as error:
            results.failures.append(f"{told}: {error}")
            _say(f"  failed: {error}")
    if LOADS in options.only:
        for load in loads(list(OWN), options.runs, options.scale):
            results.loads.append(load)
            _say(f"  {LOADS} {load.kind}: {load.first:.2f} s, its own bulk load {load.own:.2f} s")
    if BULK.name in options.only and not options.no_profile:
        _say("bulk under the profiler")
        KEPT_IN.mkdir(exist_ok=True)
        try:
            results.hotspots = profile_round(scaled(BULK, options.scale), KEPT_IN / "bulk.folded")
        except CommandFailedError as error:
            results.failures.append(f"bulk under the profiler: {error}")


def _rounds(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Iterable[Figures]]]]:
    """What is to be done, each with the words for it."""
    for chain in chains(frozenset(options.only)):
        sized = Chain(scaled(chain.first, options.scale), tuple(scaled(one, options.scale) for one in chain.then))
        names = ", ".join(one.name for one in (chain.first, *chain.then))
        for run in range(1, options.runs + 1):
            yield f"{names}: run {run} of {options.runs}", partial(product_round, sized)
        for by in () if options.no_baselines else sized.first.baselines:
            yield f"{chain.first.name}: {by}", partial(_alone, sized.first, by)


def _alone(workload: Workload, by: Baseline) -> list[Figures]:
    return [baseline_round(workload, by)]


def _options() -> argparse.Namespace:
    names = [*(workload.name for workload in WORKLOADS), LOADS]
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
    known = {*(workload.name for workload in WORKLOADS), LOADS}
    if unknown := set(chosen) - known:
        raise argparse.ArgumentTypeError(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return chosen


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
