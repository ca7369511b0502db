"""Small decisions of the command line: failures in one line, the proof, the chart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.cli import failure
from cio_replicate.cli.demo import Campaign, SourceEdits, bar, chart, proofs, remarks, share
from cio_replicate.cli.terminal import ProductConsole
from cio_replicate.config.options import as_options
from cio_replicate.pipeline.report import TableReport

TOKEN = "marked-token"


def test_a_defect_is_one_line_without_the_token() -> None:
    """An exception that nobody expected becomes one line, and whatever it carries is scrubbed."""
    line = failure.scrubbed(failure.internal(ValueError(f"first {TOKEN}\nsecond")), {"CIO_ACCESS_TOKEN": TOKEN})
    assert line.startswith("Internal error: ValueError (first *** second).")
    assert "\n" not in line


def test_a_traceback_is_scrubbed() -> None:
    """Even where it is asked for, a traceback does not hold the token."""
    with pytest.raises(ValueError, match=TOKEN) as raised:
        int(TOKEN)
    trace = failure.scrubbed(failure.trace_of(raised.value), {"CIO_ACCESS_TOKEN": TOKEN})
    assert "ValueError: " in trace
    assert TOKEN not in trace


def test_a_command_other_than_sync_fails_in_json_too() -> None:
    """A program that reads the JSON learns why there is none."""
    assert json.loads(failure.document("It is so.", 2, ["check", "--json"])) == {
        "status": "refused",
        "error": "It is so.",
    }


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=4), st.integers(0, 20_000))
def test_a_bar_never_exceeds_its_width(counts: list[int], most: int) -> None:
    """Whatever the counts, no piece is negative and all of them fit."""
    sent, delivered, opened, clicked = sorted(counts, reverse=True)
    lengths = bar(Campaign("x", sent, delivered, opened, clicked), max(most, sent), 28)
    assert all(length >= 0 for length in lengths)
    assert sum(lengths) <= 28


def test_a_stage_that_anything_reached_is_visible() -> None:
    """One click of a thousand messages is still a mark."""
    assert bar(Campaign("x", 1_000, 900, 300, 1), 1_000, 20)[0] == 1


def test_the_chart_needs_no_colour_and_no_unicode() -> None:
    """The stages differ by their marks, also on a terminal that knows only letters."""
    console = ProductConsole(width=80, no_color=True)
    with console.capture() as captured:
        console.print(chart([Campaign("Welcome", 100, 90, 40, 10)], unicode=False))
    assert "Welcome" in captured.get()
    assert "###" in captured.get()
    assert captured.get().isascii()
    assert (share(1, 3), share(1, 0)) == ("33%", "")


def test_a_proof_holds_only_when_counts_and_changes_agree() -> None:
    """A row too many, or a change that nobody made, is told."""
    first = [TableReport(name="topics", inserted=4), TableReport(name="types", inserted=3)]
    second = [TableReport(name="topics", inserted=1, deleted=1), TableReport(name="types", updated=1)]
    edits = {"topics": SourceEdits(inserted=1, deleted=1)}
    every = proofs(first, second, copy={"topics": 4, "types": 3}, source={"topics": 4, "types": 3}, edits=edits)
    assert [(one.table, one.holds) for one in every] == [("topics", True), ("types", False)]


def test_rows_that_the_source_has_dropped_by_age_are_kept_and_explained() -> None:
    """A log that forgets has fewer rows than the copy, and the proof says how many."""
    report = [TableReport(name="activities", inserted=9)]
    again = [TableReport(name="activities", inserted=0)]
    every = proofs(
        report, again, copy={"activities": 9}, source={"activities": 7}, edits={"activities": SourceEdits(expired=2)}
    )
    assert every[0].holds
    assert "2 of the rows" in remarks(every)[0]


def test_a_setting_is_named_as_the_option_that_it_is_here() -> None:
    """Errors name settings as no face does; the command line puts its options there, and leaves other text alone."""
    error = InvalidSettings("‹mode› full takes back what a backfill brings.", "Give ‹start_date› or ‹unknown›.")
    assert error.field == "mode"
    assert as_options(str(error)) == "--mode full takes back what a backfill brings. Give --start-date or unknown."
    assert as_options("No --setting is ‹named here›.") == "No --setting is ‹named here›."
