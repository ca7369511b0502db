"""What a run looks like at a moment, decided from its events alone."""

from __future__ import annotations

from cio_replicate.base.text import counted, duration
from cio_replicate.cli.run_display import brief_changes, picture, totals, visible
from cio_replicate.cli.terminal import ProductConsole
from cio_replicate.pipeline import events
from cio_replicate.pipeline.events import (
    ASKING,
    LOADING,
    READING,
    WAITING,
    RunProgress,
    TableProgress,
    after,
    changes,
    line_of,
    new_standing,
    problem,
)


def told(*happened: tuple[float, events.Event]) -> RunProgress:
    """The standing of a run of two tables after events at seconds."""
    standing = new_standing(("campaigns", "messages"), 0.0)
    for at, event in happened:
        standing = after(standing, event, at)
    return standing


def page(rows: int, done: float | None = None) -> events.PageStaged:
    """A landed page of messages."""
    return events.PageStaged("messages", rows, rows // 1_000, rows // 1_000, done)


BEGUN = (0.0, events.TableStarted("messages", resumed=False))


def test_a_table_goes_through_its_states() -> None:
    """A table waits, is asked for, is read, is loaded, and ends."""
    ended = events.TableEnded("messages", "complete", None)
    steps: list[tuple[float, events.Event]] = [BEGUN, (2.0, page(1_000, 0.5)), (4.0, page(2_000, 1.0)), (5.0, ended)]
    states = [told(*steps[:count]).lines["messages"].status for count in range(5)]
    assert states == [WAITING, ASKING, READING, LOADING, "complete"]


def test_the_rate_and_the_time_left_follow_what_was_read() -> None:
    """Half of the rows in ten seconds means as many rows a second, and ten seconds more."""
    line = told(BEGUN, (10.0, page(4_000, 0.5))).lines["messages"]
    assert (line.rate(10.0), line.seconds_left(10.0)) == (400.0, 10.0)


def test_the_time_left_is_not_guessed() -> None:
    """Where the share read is not known, no time is shown; nor for a table that has ended."""
    assert told(BEGUN, (10.0, page(4_000))).lines["messages"].seconds_left(10.0) is None
    ended = (11.0, events.TableEnded("messages", "complete", None))
    assert told(BEGUN, (10.0, page(4_000, 0.5)), ended).lines["messages"].seconds_left(12.0) is None


def test_the_totals_count_rows_requests_and_failures() -> None:
    """One line tells the whole run."""
    started = (1.0, events.RunStarted("r", "https://api", "duckdb", ("campaigns", "messages")))
    failed = (2.0, events.TableEnded("campaigns", "failed", "because"))
    line = totals(told(started, BEGUN, failed, (10.0, page(20_000))), 10.0)
    assert line == "1 of 2 tables done · 1 failed · 20,000 rows · 20 requests (2.0/s) · 10 s"


def test_a_table_that_is_not_read_again_is_done() -> None:
    """What the run that was broken off had completed counts as complete from the start."""
    standing = told((1.0, events.RunStarted("r", "https://api", "duckdb", ("messages",))))
    assert (standing.lines["campaigns"].status, standing.over) == ("complete", 1)


def test_before_the_api_has_answered_the_totals_say_so() -> None:
    """Nothing is counted before every table is let in."""
    assert totals(told(BEGUN), 2.0) == "Asking whether every table may be read · 2.0 s"


def test_a_log_gets_a_line_for_each_end_and_each_problem() -> None:
    """Pages are no lines; ends, notes and resumed tables are."""
    loaded = events.BatchWritten("messages", 5, 2, 1)
    ended = events.TableEnded("messages", "complete", None)
    standing = told(BEGUN, (1.0, page(8_000)), (2.0, loaded), (3.0, ended))
    assert line_of(page(8_000), standing) is None
    assert line_of(ended, standing) == "messages: complete, 8,000 rows read, 5 new, 2 changed, 1 deleted"
    resumed = events.TableStarted("messages", resumed=True)
    assert line_of(resumed, standing) == "messages: goes on where the last run stopped"
    assert line_of(events.NoteAdded("mind the gap", "activities"), standing) == "activities: mind the gap"
    assert problem(events.TableEnded("messages", "failed", "it broke.")) == "messages: failed. it broke."


def test_changes_are_told_in_words_and_in_signs() -> None:
    """Only what happened is named."""
    assert changes(TableProgress("x")) == "nothing changed"
    assert brief_changes(TableProgress("x", inserted=1_234, deleted=2)) == "+1,234 -2"


def test_a_low_terminal_shows_what_moves() -> None:
    """Tables under way stay in sight, then failures; those that wait or are complete give way, and are counted."""
    lines = [
        TableProgress("waits"),
        TableProgress("moves", began=1.0),
        TableProgress("done", began=1.0, ended=2.0),
        TableProgress("failed", began=1.0, ended=2.0, error="x"),
    ]
    shown, hidden = visible(lines, 3)
    assert ([line.table for line in shown], hidden) == (["moves", "failed"], 2)
    assert visible(lines, 4) == (lines, 0)


def test_the_picture_fits_a_terminal_of_80_columns() -> None:
    """No line of the live table is cut, whatever the numbers."""
    wide = TableProgress(
        "transactional_messages", READING, 12_345_678, 12_345, 99_999, 0.3, 12_345, 1_234, 123, began=0.0
    )
    console = ProductConsole(width=80, height=24)
    with console.capture() as captured:
        console.print(picture(RunProgress(0.0, {wide.table: wide}, "api", "copy"), 5_000.0, 24))
    assert "12,345,678" in captured.get()
    assert "+12,345" in captured.get()


def test_durations_and_counts_read_like_speech() -> None:
    """Small numbers stay small."""
    shown = [duration(seconds) for seconds in (0.44, 12.3, 59.9, 185.0, 3_723.0)]
    assert shown == ["0.4 s", "12 s", "1:00", "3:05", "1:02:03"]
    assert (counted(1, "row"), counted(2_000, "row")) == ("1 row", "2,000 rows")
