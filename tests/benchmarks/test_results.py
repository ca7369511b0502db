"""Figures become ratios, verdicts, tables and a page, and come back from the file that they are kept in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.figures import Figures, medians
from benchmarks.hotspots import Hotspots
from benchmarks.loads import Load
from benchmarks.page import BEGIN, END, LOADS_BEGIN, LOADS_END, NoPlaceError, as_text, written_into
from benchmarks.promises import MIB, verdicts
from benchmarks.results import Results, keep, kept

LIMITED = Figures(
    workload="limited",
    by="cio-replicate",
    requests=126,
    fewest=120,
    throttled=0,
    most_in_a_second=10,
    per_second=9.8,
    budget=10.0,
    chain=7.5,
    seconds=13.2,
    cpu_seconds=2.0,
    peak=200 * MIB,
    rows=28_000,
    messages=20_000,
)
BULK = msgspec.structs.replace(LIMITED, workload="bulk", budget=None, chain=0.0, messages=90_000, peak=300 * MIB)


def results(*figures: Figures) -> Results:
    """Results that hold these figures."""
    return Results(at="2026-01-31T10:20:30Z", scale=1.0, runs=1, machine={"python": "3.11"}, figures=list(figures))


def test_the_limit_is_the_longer_of_budget_and_chain() -> None:
    """Where answers are slow, the chain of pages is the limit, and the rate that was possible is lower."""
    assert LIMITED.limit == pytest.approx(12.0)
    assert LIMITED.to_limit == pytest.approx(1.1)
    assert LIMITED.attained == pytest.approx(0.98)
    slow = msgspec.structs.replace(LIMITED, chain=30.0, per_second=4.2)
    assert slow.limit == pytest.approx(30.0)
    assert slow.attained == pytest.approx(1.0)


def test_without_a_budget_there_is_no_limit() -> None:
    """Ratios to a limit that is not there are left out instead of being wrong."""
    assert (BULK.limit, BULK.to_limit, BULK.to_own_limit, BULK.attained, BULK.on_top) == (None,) * 5


def test_each_number_is_its_own_median() -> None:
    """Several runs of a workload become one line, and whole numbers stay whole."""
    runs = [msgspec.structs.replace(LIMITED, requests=126 + n, seconds=13.0 - n) for n in (2, 0, 1)]
    (line,) = medians([*runs])
    assert (line.requests, line.seconds) == (127, 12.0)
    assert isinstance(line.requests, int)


def test_verdicts_tell_which_promise_is_kept() -> None:
    """A figure at its bound keeps the promise, one beyond it does not, and what was not measured is not judged."""
    tenth = msgspec.structs.replace(BULK, workload="bulk-tenth", peak=200 * MIB)
    told = {verdict.promise: verdict.holds for verdict in verdicts([LIMITED, BULK, tenth])}
    assert told == {
        "limited: requests to the fewest": True,
        "limited: rate to the one that was possible": True,
        "limited: seconds to the limit of its requests": True,
        "bulk: messages per CPU second": True,
        "bulk: peak memory, MiB": True,
        "bulk: peak memory to that of a tenth of it": False,
    }


def test_kept_results_come_back(tmp_path: Path) -> None:
    """What is kept is what was measured, so that the page can be written later."""
    given = results(LIMITED, BULK)
    given.hotspots = Hotspots({"decoding": 1.0}, {"extract/lane.py": 1.0}, 3.0)
    assert kept(keep(given, tmp_path)) == given


def test_the_page_takes_new_results_in_place_of_old_ones() -> None:
    """Results are written between two marks, and all other text stays as it is."""
    page = f"# Speed\n\n{BEGIN}\nstale\n{END}\n\nWhy.\n"
    written = written_into(page, results(LIMITED))
    assert "stale" not in written
    assert "| limited | cio-replicate | 126 | 1.050 |" in written
    assert written.startswith("# Speed\n\n")
    assert written.endswith("\n\nWhy.\n")
    assert written_into(written, results(LIMITED)) == written
    with pytest.raises(NoPlaceError):
        written_into("# Speed\n", results(LIMITED))


def test_the_page_names_the_next_bottleneck() -> None:
    """The largest phase of the profile is named, and what would be won if it took no time."""
    given = results(BULK)
    given.hotspots = Hotspots({"decoding": 0.5, "loading": 0.5}, {"lane.py": 0.3, "duckdb.py": 0.5}, 3.0)
    written = written_into(f"{BEGIN}\n{END}", given)
    assert "*decoding*, with 50%" in written
    assert "`duckdb.py`" in written
    assert "2.00 times as much" in written


def test_text_compares_with_whoever_did_the_same() -> None:
    """A baseline that did the same workload is compared with, figure by figure."""
    plain = msgspec.structs.replace(LIMITED, by="plain", requests=120, seconds=26.4, cpu_seconds=4.0)
    assert ["limited", "plain", "1.05", "0.50", "2.0", "1.00"] in [
        one.split() for one in as_text(results(LIMITED, plain)).splitlines()
    ]


def test_loads_have_a_place_of_their_own() -> None:
    """Loads that are measured alone leave the other figures of the page as they are, and the other way round."""
    page = f"{BEGIN}\nold figures\n{END}\n{LOADS_BEGIN}\nold loads\n{LOADS_END}\n"
    line = Load(kind="sqlite", rows=100_000, first=2.0, same=1.0, changed=1.5, own=1.0)
    alone = msgspec.structs.replace(results(), loads=[line])
    written = written_into(page, alone)
    assert "old figures" in written
    assert "| sqlite | 100,000 | 2.00 | 1.00 | 2.00 |" in written
    assert "old loads" in written_into(page, results(LIMITED))
