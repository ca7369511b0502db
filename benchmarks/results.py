"""The results of one benchmark: how they are kept, and the tables in which they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import PRODUCT, Figures, found, medians
from benchmarks.hotspots import Hotspots
from benchmarks.loads import Load
from benchmarks.promises import MIB, verdicts

MODULES_SHOWN = 12
NONE = "–"
LOADS = "Loads into each destination"


class Results(msgspec.Struct, kw_only=True):
    """All that one benchmark found out.

    `at` is ISO 8601 in UTC, `scale` what the counts were multiplied with, `failures` the runs that came to nothing.
    """

    at: str
    scale: float
    runs: int
    machine: dict[str, str]
    figures: list[Figures] = []
    failures: list[str] = []
    hotspots: Hotspots | None = None
    loads: list[Load] = []


Table = list[list[str]]  # the first row holds the headings


def keep(results: Results, folder: Path) -> Path:
    """Write the results, with the ratios worked out, into a file of their own; its path."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{results.at.replace(':', '').replace('-', '')}.json"
    ratios = [{"workload": line.workload, "by": line.by, **_ratios(line)} for line in medians(results.figures)]
    kept = {**msgspec.to_builtins(results), "medians": ratios}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    return path


def kept(path: Path) -> Results:
    """The results that `keep` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def tables(results: Results) -> dict[str, Table]:
    """The tables by their titles; one without a row is left out."""
    lines = medians(results.figures)
    made = {
        "Promises": _promises(lines),
        "First syncs": _first_syncs(lines),
        "Against what else a user would write": _against(lines),
        "Later syncs": _later_syncs(lines),
        LOADS: _loads(results.loads),
        "Where the time of bulk goes, by phase": _phases(results.hotspots),
        "Where the time of bulk goes, by module": _modules(results.hotspots),
    }
    return {title: table for title, table in made.items() if len(table) > 1}


def _promises(lines: Sequence[Figures]) -> Table:
    rows = [[one.promise, one.bound, one.figure, "yes" if one.holds else "**no**"] for one in verdicts(lines)]
    return [["promise", "bound", "figure", "holds"], *rows]


def _first_syncs(lines: Sequence[Figures]) -> Table:
    head = ["workload", "by", "requests", "to fewest", "429", "per second", "of possible", "seconds", "to limit"]
    head += ["rows", "CPU s", "rows per CPU s", "peak MiB"]
    rows = [
        [
            line.workload,
            line.by,
            f"{line.requests:,}",
            f"{line.requests_to_fewest:.3f}",
            f"{line.throttled}",
            f"{line.per_second:,.1f}",
            _two(line.attained),
            f"{line.seconds:.1f}",
            _two(line.to_limit),
            f"{line.rows:,}",
            f"{line.cpu_seconds:.1f}",
            f"{line.rows_per_cpu_second:,.0f}",
            f"{line.peak / MIB:,.0f}",
        ]
        for line in lines
        if line.first is None
    ]
    return [head, *rows]


def _against(lines: Sequence[Figures]) -> Table:
    rows = []
    for other in (line for line in lines if line.by != PRODUCT):
        ours = found(lines, other.workload, PRODUCT)
        if ours is not None:
            rows.append(
                [
                    other.workload,
                    other.by,
                    f"{ours.requests / other.requests:.2f}",
                    f"{ours.seconds / other.seconds:.2f}",
                    f"{ours.rows_per_cpu_second / other.rows_per_cpu_second:.1f}",
                    f"{ours.peak / other.peak:.2f}",
                ]
            )
    return [["workload", "ours to", "requests", "seconds", "rows per CPU s", "peak memory"], *rows]


def _later_syncs(lines: Sequence[Figures]) -> Table:
    head = ["workload", "requests", "of the first", "429", "seconds", "on top of requests", "CPU s", "rows read"]
    head += ["rows changed", "rows written"]
    rows = [
        [
            line.workload,
            f"{line.requests:,}",
            f"{line.requests / line.first:.2f}",
            f"{line.throttled}",
            f"{line.seconds:.1f}",
            _two(line.on_top),
            f"{line.cpu_seconds:.1f}",
            f"{line.rows:,}",
            f"{line.changed or 0:,}",
            f"{line.written or 0:,}",
        ]
        for line in lines
        if line.first
    ]
    return [head, *rows]


def _loads(loads: Sequence[Load]) -> Table:
    head = [
        "destination",
        "rows",
        "first load, s",
        "own bulk load, s",
        "ratio",
        "all the same, s",
        "one in ten changed, s",
    ]
    rows = [
        [
            one.kind,
            f"{one.rows:,}",
            f"{one.first:.2f}",
            f"{one.own:.2f}",
            f"{one.ratio:.2f}",
            f"{one.same:.2f}",
            f"{one.changed:.2f}",
        ]
        for one in loads
    ]
    return [head, *rows]


def _phases(hotspots: Hotspots | None) -> Table:
    shares = hotspots.phases.items() if hotspots else ()
    return [["phase", "share"], *([name, f"{share:.1%}"] for name, share in shares)]


def _modules(hotspots: Hotspots | None) -> Table:
    shares = list(hotspots.modules.items())[:MODULES_SHOWN] if hotspots else []
    return [["module", "share"], *([name, f"{share:.1%}"] for name, share in shares)]


def _ratios(line: Figures) -> dict[str, float | None]:
    return {
        "requests_to_fewest": line.requests_to_fewest,
        "attained": line.attained,
        "limit_seconds": line.limit,
        "seconds_to_limit": line.to_limit,
        "seconds_to_own_limit": line.to_own_limit,
        "seconds_on_top": line.on_top,
        "rows_per_cpu_second": line.rows_per_cpu_second,
        "messages_per_cpu_second": line.messages_per_cpu_second,
        "peak_mib": line.peak / MIB,
    }


def _two(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"
