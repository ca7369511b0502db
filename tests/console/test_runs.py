"""Asking for runs, cancelling and retrying them, and looking at them: what the pages, the API and the commands call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from cio_replicate.base.errors import CioReplicateError, Conflict, InvalidSettings, NotAllowedError, NotFound
from cio_replicate.console.background import LOG_AGE, RUN_AGE, reap
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.audit_log import entries
from cio_replicate.database.tables import run_lines, sessions
from cio_replicate.jobs.local_engine import LATEST, LEFT_OUT, MOST_LINES, REST, unseen
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.pipeline.events import LogLine
from tests.console.stage import Stage, ended, run_of, stage

BACKFILL = RunAction(kind=ActionKind.BACKFILL, tables=("messages",), first="2024-03-01", until="2024-04-01")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a task."""
    with stage("sqlite", tmp_path) as made:
        made.connection("main")
        made.task("a", "main", tables="segments,topics,messages")
        yield made


def _execute(one: Stage, status: str, *lines: LogLine, error: str | None = None) -> str:
    queue = one.queue()
    run = run_of(queue.claim("w"))
    queue.end("w", run, ended(status, *lines, error=error))
    one.clock.time += REST
    return run


def test_who_may_only_look_changes_nothing(one: Stage) -> None:
    """A viewer can neither ask for a run nor cancel or retry one; an operator can."""
    run = one.ask("a")
    viewer = Actor("eve", Role.VIEWER)
    with pytest.raises(NotAllowedError):
        one.runs.ask("a", viewer)
    with pytest.raises(NotAllowedError):
        one.runs.cancel(run, viewer)
    with pytest.raises(NotAllowedError):
        one.runs.retry(run, viewer)
    assert one.runs.ask("a", Actor("olga", Role.OPERATOR)) == run


def test_what_users_do_with_runs_stands_in_the_audit_log(one: Stage) -> None:
    """Who asked, cancelled and retried, and which run it was."""
    olga = Actor("olga", Role.OPERATOR)
    first = one.runs.ask("a", olga, BACKFILL)
    one.runs.cancel(first, olga)
    second = one.runs.retry(first, olga)
    with one.database.reading() as connection:
        found = [(one.did, one.detail) for one in entries(connection, what="a") if one.who == "olga"]
    assert sorted(found) == [
        ("run.ask", f"backfill messages 2024-03-01 2024-04-01, run {first[:12]}"),
        ("run.cancel", f"run {first[:12]}"),
        ("run.retry", f"run {first[:12]} as {second[:12]}"),
    ]


def test_a_retry_does_what_the_run_was_to_do(one: Stage) -> None:
    """The same tables, as a first try, and only of a run that has ended otherwise than well."""
    one.runs.ask("a", LOCAL, BACKFILL)
    first = _execute(one, "refused", error="No.")
    second = one.runs.retry(first, LOCAL)
    assert [(run.id, run.action, run.attempt, run.cause) for run in one.listed() if run.status == "queued"] == [
        (second, BACKFILL, 1, "user")
    ]
    with pytest.raises(Conflict, match="is queued: there is nothing to retry"):
        one.runs.retry(second, LOCAL)
    _execute(one, "complete")
    with pytest.raises(Conflict, match="is complete"):
        one.runs.retry(second, LOCAL)


def test_different_things_to_do_wait_side_by_side(one: Stage) -> None:
    """A sync does not stand in for a resync, nor the other way round; each waits once."""
    resync = RunAction(kind=ActionKind.RESYNC, tables=("topics", "segments"))
    asked = [one.ask("a"), one.runs.ask("a", LOCAL, resync), one.runs.ask("a", LOCAL, BACKFILL), one.ask("a")]
    assert len(set(asked)) == 3
    assert asked[0] == asked[3]
    assert one.runs.show(asked[1]).run.action.tables == ("segments", "topics")


@pytest.mark.parametrize(
    ("action", "cause"),
    [
        (RunAction(kind=ActionKind.RESYNC), "No table was named"),
        (RunAction(kind=ActionKind.RESYNC, tables=("topics", "campaigns")), "The task has no table 'campaigns'"),
        (RunAction(kind=ActionKind.BACKFILL, tables=("segments",), first="2024-01-01"), "cannot be read by time"),
        (RunAction(kind=ActionKind.BACKFILL, tables=("messages", "topics"), first="2024-01-01"), "reads one table"),
        (RunAction(kind=ActionKind.BACKFILL, tables=("messages",), first="soon"), "‹first›"),
        (RunAction(kind=ActionKind.BACKFILL, tables=("messages",)), "‹first›"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_waits(one: Stage, action: RunAction, cause: str) -> None:
    """With cause and fix, and without a run."""
    with pytest.raises(InvalidSettings, match=cause):
        one.runs.ask("a", LOCAL, action)
    assert one.listed() == []


def test_cancelling_twice_or_too_late_changes_nothing(one: Stage) -> None:
    """A run that has ended stays as it ended."""
    run = one.ask("a")
    _execute(one, "complete")
    assert one.runs.cancel(run, LOCAL).status == "complete"
    second = one.ask("a")
    assert [one.runs.cancel(second, LOCAL).status for _ in range(2)] == ["cancelled", "cancelled"]


def test_runs_are_listed_newest_first_by_task_status_and_time(one: Stage) -> None:
    """As many as are wanted."""
    one.task("b", "main")
    for name, status in (("a", "complete"), ("b", "failed"), ("a", "refused")):
        one.ask(name)
        _execute(one, status)
        one.later(20)
    assert [run.task for run in one.runs.listed()] == ["b", "a", "b", "a"]  # the newest is the next try of b
    assert [run.status for run in one.runs.listed(task="a")] == ["refused", "complete"]
    assert [run.task for run in one.runs.listed(status="failed")] == ["b"]
    assert [run.task for run in one.runs.listed(limit=1)] == ["b"]
    first = one.listed()[0]
    assert [run.id for run in one.runs.listed(before=first.due_at + 1)] == [first.id]


def test_a_list_goes_on_past_its_last_run_when_several_were_due_at_once(one: Stage) -> None:
    """Tasks that share a time are all listed, wherever a sheet of the list ends."""
    for name in "bcdef":
        one.task(name, "main")
    for name in "abcdef":
        one.ask(name)
    seen: list[str] = []
    while sheet := one.runs.listed(limit=2, past=seen[-1] if seen else None):
        seen += [run.id for run in sheet]
    assert seen == [run.id for run in one.runs.listed()]
    assert len(seen) == 6


def test_a_run_is_found_by_the_beginning_of_its_id(one: Stage) -> None:
    """As long as no other begins so."""
    run = one.ask("a")
    assert one.runs.show(run[:12]).run.id == run
    for wrong in ("", "abc", "%", f"{run[:8]}%", "zzzzzzzz", run + "0"):
        with pytest.raises(NotFound, match="No run begins with"):
            one.runs.show(wrong)
    with pytest.raises(NotFound, match="There is no task 'nope'"):
        one.runs.listed(task="nope")


def test_a_log_is_read_from_where_one_left_off(one: Stage) -> None:
    """As a page does that shows it while it grows."""
    run = one.ask("a")
    _execute(one, "failed", *(LogLine(number, "info", f"line {number}") for number in range(5)))
    assert [line.number for line in one.runs.lines(run, after=3)] == [4, 5]
    assert [line.line.text for line in one.runs.lines(run, limit=2)] == ["line 0", "line 1"]


def test_a_log_has_an_end(one: Stage) -> None:
    """Of a run that says too much the first lines are kept, and that more are not."""
    run = one.ask("a")
    queue = one.queue()
    queue.claim("w")
    for start in range(0, MOST_LINES + 900, 900):
        queue.heartbeat("w", run, None, [LogLine(start + number, "info", str(start + number)) for number in range(900)])
    lines = one.runs.lines(run, limit=MOST_LINES + 1)
    assert (len(lines), lines[-2].line.text, lines[-1].line.text) == (MOST_LINES, str(MOST_LINES - 2), LEFT_OUT)


def test_the_newest_lines_of_a_long_log_are_known(one: Stage) -> None:
    """Not those of a first part of it."""
    run = one.ask("a")
    queue = one.queue()
    queue.claim("w")
    queue.heartbeat("w", run, None, [LogLine(number, "info", str(number)) for number in range(1_100)])
    assert [line.line.text for line in one.runs.last_lines(run, 3)] == ["1097", "1098", "1099"]


@pytest.mark.parametrize("at", [10**17, -(10**17)])
def test_a_line_has_a_time_that_can_be_shown(one: Stage, at: int) -> None:
    """Also one that a gateway makes up, so that the run's page is still there to cancel it."""
    run = one.ask("a")
    queue = one.queue()
    queue.claim("w")
    queue.heartbeat("w", run, None, [LogLine(at, "info", "told")])
    assert 0 <= one.runs.lines(run)[0].line.at <= LATEST


def test_lines_that_are_told_again_are_known() -> None:
    """Whatever part of what is told is new."""
    a, b, c = (LogLine(1, "info", text) for text in "abc")
    assert unseen([], [a, b]) == [a, b]
    assert unseen([a, b], [a, b, c]) == [c]
    assert unseen([a, b], [b, c]) == [c]
    assert unseen([a, b], [b]) == []
    assert unseen([a, a], [a]) == []
    assert unseen([a, b], [a]) == [a]


def test_what_a_run_waits_for_is_said(one: Stage) -> None:
    """A pause before it, another run of its task or workspace, a worker."""
    one.task("b", "main")
    first = one.ask("a")
    assert "waits for a worker" in (one.runs.show(first).waits or "")
    queue = one.queue()
    queue.claim("w")
    again, other = one.ask("a"), one.ask("b")
    assert one.runs.show(again).waits == "A run of its task goes on."
    assert (one.runs.show(other).waits or "").startswith("A run of a goes on, which reads the same workspace")
    one.runs.cancel(again, LOCAL)
    queue.end("w", first, ended("failed"))
    (retry,) = [run for run in one.listed("a") if run.status == "queued"]
    assert (one.runs.show(retry.id).waits or "").startswith("It begins at 2026-01-01 00:05:00 UTC")
    assert one.runs.show(first).waits is None


def test_a_run_for_a_gateway_waits_for_its_machines(one: Stage) -> None:
    """It is said when none of them has been heard of, and the console's own machine is never handed it."""
    with one.database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO gateways VALUES ('berlin', 1)")
    one.connection("inside", gateway="berlin")
    one.task("b", "inside")
    run = one.ask("b")
    assert one.runs.show(run).waits == "No machine of the gateway berlin has been heard of in the last 60 seconds."
    assert one.queue().claim("w") is None
    claim = one.queue("berlin").claim("m")
    assert (run_of(claim), claim.job.stored if claim else None) == (run, {})
    assert one.queue().end("m", run, ended("complete")).value == "lost"


def test_charts_show_runs_that_were_executed_oldest_first(one: Stage) -> None:
    """Not those that were cancelled before they began, and the last ones when there are many."""
    one.runs.cancel(one.ask("a"), LOCAL)
    executed = []
    for _ in range(3):
        one.ask("a")
        executed.append(_execute(one, "complete"))
        one.later(20)
    assert [run.id for run in one.runs.history("a")] == executed
    assert [run.id for run in one.runs.history("a", limit=2)] == executed[1:]


def test_what_is_old_is_removed_in_its_time(one: Stage) -> None:
    """First logs, then runs; sessions that are over at once; settings and the audit log stay."""
    old = one.ask("a")
    _execute(one, "complete", LogLine(1, "info", "text"))
    with one.database.writing() as connection:
        user = "INSERT INTO users (id, name, role, zone, disabled, created_at) VALUES ('u', 'u', 'admin', 'UTC', 0, 1)"
        connection.exec_driver_sql(user)
        values = {"user_id": "u", "csrf": "c", "created_at": 1, "seen_at": 1, "expires_at": 2}
        connection.execute(sessions.insert().values(digest="d", **values))

    def left(days: int) -> tuple[int, int, int]:
        with one.database.writing() as connection:
            reap(connection, int(one.clock.now()) - REST + days)
            lines, open_ones = (len(connection.execute(select(table)).all()) for table in (run_lines, sessions))
        return lines, open_ones, len(one.listed())

    assert left(LOG_AGE) == (1, 0, 1)
    assert left(LOG_AGE + 1) == (0, 0, 1)
    assert left(RUN_AGE + 1) == (0, 0, 0)
    with pytest.raises(CioReplicateError):
        one.runs.show(old)
    with one.database.reading() as connection:
        assert entries(connection, what="a")
