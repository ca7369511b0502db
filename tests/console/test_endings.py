"""What follows the end of a run: another try after a pause, tasks that run after it, numbers for lists and charts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from cio_replicate.database.actor import LOCAL
from cio_replicate.database.tables import tasks
from cio_replicate.jobs.local_engine import REST
from cio_replicate.jobs.outcomes import retry_pause
from cio_replicate.jobs.ports import ActionKind, Outcome, RunAction
from cio_replicate.pipeline.report import BudgetReport, TableReport
from tests.console.stage import Stage, ended, run_of, stage

MINUTE, DAY = 60, 86_400


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Stage]:
    """A stage with two workspaces."""
    with stage("sqlite", tmp_path) as made:
        made.connection("main")
        made.connection("other")
        yield made


def _execute(one: Stage, end: Outcome) -> str:
    queue = one.queue()
    run = run_of(queue.claim("w"))
    queue.end("w", run, end)
    one.clock.time += REST
    return run


@pytest.mark.parametrize(
    ("status", "attempt", "passing", "expected"),
    [
        ("failed", 1, False, 300),
        ("failed", 2, False, 600),
        ("failed", 3, False, 1_200),
        ("failed", 4, False, None),
        ("interrupted", 1, False, 300),
        ("refused", 1, False, None),
        ("refused", 1, True, 300),
        ("cancelled", 1, False, None),
        ("complete", 1, False, None),
    ],
)
def test_which_runs_are_tried_again(status: str, attempt: int, passing: bool, expected: int | None) -> None:  # noqa: FBT001 - a table
    """Those that failed or were broken off, each time after twice the pause, and no more often than is wanted."""
    assert retry_pause(status, attempt, 3, 300, passing=passing) == expected


def test_pauses_grow_to_a_day_and_no_further() -> None:
    """However often a run failed, it is tried again within a day."""
    assert retry_pause("failed", 19, 20, 300, passing=False) == DAY
    assert retry_pause("failed", 10**9, 10**10, 1, passing=False) == DAY


def test_a_failed_run_is_tried_again_after_its_pause(one: Stage) -> None:
    """Each try is a run of its own, which says that it is one, and does what the first was to do."""
    one.task("a", "main", retries=2, retry_pause=5 * MINUTE)
    one.runs.ask("a", LOCAL, RunAction(kind=ActionKind.RESYNC, tables=("topics",)))
    for wait in (5, 10):
        _execute(one, ended("failed", error="It failed."))
        one.later(wait * MINUTE - 10)
        assert one.queue().claim("w") is None
        one.later(10)
    _execute(one, ended("failed"))
    one.clock.time += DAY
    assert one.queue().claim("w") is None
    found = one.listed()
    assert [(run.attempt, run.cause, run.status) for run in found] == [
        (1, "user", "failed"),
        (2, "retry", "failed"),
        (3, "retry", "failed"),
    ]
    assert {run.action.tables for run in found} == {("topics",)}


def test_a_run_that_fails_while_it_is_cancelled_is_not_tried_again(one: Stage) -> None:
    """Whoever cancels it wants no more of it, however it ends."""
    one.task("a", "main", retries=2)
    run = one.ask("a")
    queue = one.queue()
    queue.claim("w")
    one.runs.cancel(run, LOCAL)
    queue.end("w", run, ended("failed", error="It failed."))
    assert one.states() == [("a", "failed")]


def test_tries_go_on_when_a_run_waits_already(one: Stage) -> None:
    """A run that was asked for while the failed one went on takes its next try over, and begins at once."""
    one.task("a", "main", retries=1, retry_pause=DAY)
    one.ask("a")
    queue = one.queue()
    first = run_of(queue.claim("w"))
    second = one.ask("a")
    queue.end("w", first, ended("failed"))
    one.clock.time += REST
    assert [(run.id, run.attempt, run.merged) for run in one.listed() if run.status == "queued"] == [(second, 2, 0)]
    _execute(one, ended("failed"))
    assert [run for run in one.listed() if run.status == "queued"] == []  # it was the last of the tries


def test_a_task_runs_after_another_has_ended_well(one: Stage) -> None:
    """Whoever runs after a task waits from the moment of its complete end, and for no other end and no other work."""
    one.task("first", "main", retries=0)
    one.task("second", "other", after="first")
    one.task("third", "other", after="second")
    for status in ("failed", "interrupted", "refused", "cancelled"):
        one.ask("first")
        _execute(one, ended(status))
    one.runs.ask("first", LOCAL, RunAction(kind=ActionKind.RESYNC, tables=("topics",)))
    _execute(one, ended("complete"))
    assert one.listed("second") == []
    one.ask("first")
    _execute(one, ended("complete"))
    (follower,) = one.listed("second")
    assert (follower.cause, follower.status, one.listed("third")) == ("after", "queued", [])
    _execute(one, ended("complete"))
    assert one.states("third") == [("third", "queued")]


def test_a_task_that_rests_does_not_run_after_another(one: Stage) -> None:
    """What would have started it meanwhile is not made up."""
    one.task("first", "main")
    one.task("second", "other", after="first", paused=True)
    one.ask("first")
    _execute(one, ended("complete"))
    assert one.listed("second") == []


def test_numbers_for_lists_and_charts_come_from_the_report(one: Stage) -> None:
    """Rows that changed, requests, how long it took, and how much of the budget was used."""
    one.task("a", "main")
    one.ask("a")
    queue = one.queue()
    run = run_of(queue.claim("w"))
    one.later(50)
    tables = [
        TableReport(name="topics", inserted=3, updated=2, read=9),
        TableReport(name="types", deleted=1, read=1),
    ]
    budget = BudgetReport(allowed=10.0, achieved=9.0, used=0.905)
    queue.end("w", run, ended("complete", tables=tables, requests=41, budget=budget))
    (shown,) = one.runs.history("a")
    assert (shown.rows, shown.requests, shown.budget_used, shown.seconds) == (6, 41, 0.905, 50)
    report = one.runs.show(run).report
    assert report is not None
    assert [table.name for table in report.tables] == ["topics", "types"]


def test_numbers_that_nobody_can_have_counted_end_a_run_all_the_same(one: Stage) -> None:
    """What a gateway reports of itself may be false; the run has ended."""
    one.task("a", "main")
    one.ask("a")
    _execute(one, ended("complete", requests=10**30, tables=[TableReport(name="topics", inserted=10**30)]))
    assert one.states() == [("a", "complete")]


def test_a_run_without_a_report_has_ended_all_the_same(one: Stage) -> None:
    """When the process of a run dies, its end is recorded with the words of its worker, and the next try follows."""
    one.task("a", "main")
    one.ask("a")
    _execute(one, Outcome(status="failed", error="The process of the run ended without a report."))
    found = one.listed()
    assert [(run.status, run.error, run.rows) for run in found] == [
        ("failed", "The process of the run ended without a report.", None),
        ("queued", None, None),
    ]


def test_an_end_that_nobody_knows_is_a_failure(one: Stage) -> None:
    """A worker of another version cannot leave a run in a state that there is not."""
    one.task("a", "main", retries=0)
    one.ask("a")
    _execute(one, Outcome(status="splendid"))
    assert one.states() == [("a", "failed")]


def test_settings_that_cannot_be_used_refuse_the_run_and_not_the_worker(one: Stage) -> None:
    """A run whose secret is gone ends as refused, with cause and fix, and the worker gets the next one."""
    one.task("broken", "main")
    one.task("sound", "other")
    one.ask("broken")
    one.later(10)
    sound = one.ask("sound")
    settings = '{"connection": "main", "to": ["duckdb:////tmp/x?password=stored:gone"]}'
    with one.database.writing() as connection:
        connection.execute(update(tasks).where(tasks.c.name == "broken").values(settings=settings))
    assert run_of(one.queue().claim("w")) == sound
    (refused,) = one.listed("broken")
    assert (refused.status, "stored:gone is not stored" in (refused.error or "")) == ("refused", True)
