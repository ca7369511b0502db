"""Writes results as text: for a terminal, and into their places in the page of the documents."""

from __future__ import annotations

import re

from benchmarks.figures import found, medians
from benchmarks.hotspots import Hotspots
from benchmarks.results import LOADS, Results, Table, tables

BEGIN, END = "<!-- written by make bench: begin -->", "<!-- written by make bench: end -->"
LOADS_BEGIN, LOADS_END = "<!-- loads written by make bench: begin -->", "<!-- loads written by make bench: end -->"


class NoPlaceError(ValueError):
    """The page has no place for results, or more than one."""


def as_text(results: Results) -> str:
    """The tables, in columns that are as wide as they must be, and what failed."""
    parts = [f"{title}\n\n{_aligned(table)}" for title, table in tables(results).items()]
    return "\n\n".join([*parts, *(f"Failed: {failure}" for failure in results.failures)])


def written_into(page: str, results: Results) -> str:
    """The page with the results in place of those it had; what was not measured stays. Raises NoPlaceError."""
    if results.figures or not results.loads:
        page = _put(page, BEGIN, END, as_markdown(results))
    return _put(page, LOADS_BEGIN, LOADS_END, loads_as_markdown(results)) if results.loads else page


def _put(page: str, begin: str, end: str, text: str) -> str:
    place = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    written, places = place.subn(lambda _: f"{begin}\n\n{text}\n{end}", page)
    if places != 1:
        raise NoPlaceError(f"The page has {places} places for results; it needs one.")
    return written


def loads_as_markdown(results: Results) -> str:
    """What the loads were taken with, and their table."""
    how = (
        f"Taken {results.at}, each figure the median of {results.runs} runs, on {results.machine.get('processor', '')}."
    )
    return f"{how}\n\n{_piped(tables(results)[LOADS])}\n"


def as_markdown(results: Results) -> str:
    """What the figures were taken with, then the tables."""
    how = [f"Taken {results.at}, each figure the median of its runs: {results.runs}, and one of each baseline."]
    if results.scale != 1:
        how.append(f"**Not the real thing: all counts are multiplied by {results.scale:g}.**")
    if results.failures:
        how.append(f"**{len(results.failures)} runs failed and are left out.**")
    machine = [f"- {name}: {value}" for name, value in results.machine.items()]
    parts = [" ".join(how), "\n".join(machine)]
    parts += [f"### {title}\n\n{_piped(table)}" for title, table in tables(results).items() if title != LOADS]
    hotspots, bulk = results.hotspots, found(medians(results.figures), "bulk")
    if hotspots and hotspots.phases:
        parts.append(_bottleneck(hotspots))
    if hotspots and hotspots.phases and bulk:
        parts.append(
            f"The profile saw {hotspots.seconds:,.0f} s in threads that run Python; unprofiled, the process takes "
            f"{bulk.cpu_seconds:,.0f} CPU s, the threads of DuckDB and Arrow included."
        )
    return "\n\n".join(parts) + "\n"


def _bottleneck(hotspots: Hotspots) -> str:
    """What would have to be made faster next: the largest phase, and the largest module."""
    phase, share = max(hotspots.phases.items(), key=lambda item: item[1])
    module, part = max(hotspots.modules.items(), key=lambda item: item[1])
    return (
        f"**The next bottleneck** is the largest phase, *{phase}*, with {share:.0%}; of the modules `{module}` has the "
        f"most, {part:.0%}. Were that phase free, a CPU second would do {1 / max(1 - share, 0.01):.2f} times as much."
    )


def _piped(table: Table) -> str:
    head, *rows = table
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _aligned(table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    )
