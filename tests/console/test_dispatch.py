"""The contract of a dispatch, over every implementation: a run is asked for once, cancelled, or forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.database.tables import tasks
from cio_replicate.jobs.ports import ActionKind, HeartbeatReply, RunAction, RunRequest, Trigger
from cio_replicate.jobs.runs import StoredRunSummary
from tests.console.queues import DISPATCHES, DispatchUnderTest
from tests.console.stage import START, ended, run_of

NOW = int(START)
RESYNC = RunAction(kind=ActionKind.RESYNC, tables=("segments",))


@pytest.fixture(params=DISPATCHES)
def given(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DispatchUnderTest]:
    """A dispatch of each kind, with a task `a`."""
    with DISPATCHES[request.param](tmp_path) as made:
        made.stage.connection("main")
        made.stage.task("a", "main", retries=0)
        yield made


class _UndoError(Exception):
    """Undoes a transaction."""


def _task_id(given: DispatchUnderTest, name: str = "a") -> str:
    with given.stage.database.reading() as transaction:
        return str(transaction.scalar(select(tasks.c.id).where(tasks.c.name == name)))


def _ask(given: DispatchUnderTest, cause: Trigger = Trigger.SCHEDULE, **more: object) -> str:
    values = {"due_at": NOW, "not_before": NOW, **more}
    request = RunRequest(task_id=_task_id(given), cause=cause, **values)  # type: ignore[arg-type] # of several types
    with given.stage.database.writing() as transaction:
        return given.dispatch.ask(transaction, request)


def _cancel(given: DispatchUnderTest, run: str) -> bool:
    with given.stage.database.writing() as transaction:
        return given.dispatch.cancel(transaction, run)


def _forget(given: DispatchUnderTest) -> bool:
    with given.stage.database.writing() as transaction:
        return given.dispatch.forget(transaction, _task_id(given))


def _only(given: DispatchUnderTest) -> StoredRunSummary:
    (run,) = given.stage.listed()
    return run


def test_what_is_asked_for_is_handed_out_once(given: DispatchUnderTest) -> None:
    """A run is handed out with its action, and no other after it."""
    run = _ask(given, action=RESYNC)
    lease = given.queue.claim("w")
    assert lease is not None
    assert (lease.job.run_id, lease.job.task_name, lease.job.action) == (run, "a", RESYNC)
    assert given.queue.claim("w") is None


def test_what_is_asked_for_in_a_transaction_that_is_undone_is_not_handed_out(given: DispatchUnderTest) -> None:
    """The request counts with what its caller has decided, or not at all."""
    request = RunRequest(task_id=_task_id(given), cause=Trigger.SCHEDULE, due_at=NOW, not_before=NOW)
    with suppress(_UndoError), given.stage.database.writing() as transaction:
        given.dispatch.ask(transaction, request)
        raise _UndoError
    assert (given.queue.claim("w"), given.stage.listed()) == (None, [])


def test_a_run_begins_no_earlier_than_it_was_asked_for(given: DispatchUnderTest) -> None:
    """It waits until then."""
    run = _ask(given, not_before=NOW + 300)
    assert given.queue.claim("w") is None
    given.stage.later(300)
    assert run_of(given.queue.claim("w")) == run


def test_requests_for_the_same_are_one_run(given: DispatchUnderTest) -> None:
    """It counts the times, begins when the earlier may, and is the user's who asked for it."""
    first = _ask(given, times=3, not_before=NOW + 300)
    assert _ask(given, Trigger.USER, not_before=NOW, asked_by="olga") == first
    assert _ask(given, not_before=NOW + 900) == first
    assert _ask(given, Trigger.RETRY, attempt=2) == first
    run = _only(given)
    assert (run.merged, run.not_before, run.cause, run.asked_by, run.attempt) == (4, NOW, "user", "olga", 2)


def test_requests_for_something_else_are_another_run(given: DispatchUnderTest) -> None:
    """Neither another action, nor the same while a run of it is executed, is merged."""
    first, second = _ask(given), _ask(given, action=RESYNC)
    assert first != second
    executed = run_of(given.queue.claim("w"))
    assert executed in (first, second)
    third = _ask(given, action=RESYNC if executed == second else RunAction())
    assert third not in (first, second)


def test_nothing_is_asked_of_a_task_that_is_gone(given: DispatchUnderTest) -> None:
    """It is refused in a sentence."""
    request = RunRequest(task_id="0" * 32, cause=Trigger.SCHEDULE, due_at=NOW, not_before=NOW)
    with pytest.raises(InvalidSettings, match="was deleted"), given.stage.database.writing() as transaction:
        given.dispatch.ask(transaction, request)


def test_a_queued_run_is_cancelled_at_once(given: DispatchUnderTest) -> None:
    """It is handed out to nobody; to cancel it again changes nothing."""
    run = _ask(given)
    assert _cancel(given, run)
    assert (_only(given).status, given.queue.claim("w"), _cancel(given, run)) == ("cancelled", None, False)


def test_a_running_run_is_asked_to_end(given: DispatchUnderTest) -> None:
    """Its worker hears of it; a run that has ended stays as it ended."""
    run = _ask(given)
    given.queue.claim("w")
    assert _cancel(given, run)
    assert given.queue.heartbeat("w", run, None, ()) is HeartbeatReply.CANCEL
    given.queue.end("w", run, ended("complete"))
    assert (_only(given).status, _cancel(given, run)) == ("complete", False)


def test_a_run_that_there_is_not_is_not_cancelled(given: DispatchUnderTest) -> None:
    """Nor does that harm anything."""
    assert not _cancel(given, "0" * 32)


def test_a_task_s_runs_are_forgotten(given: DispatchUnderTest) -> None:
    """Those that wait and those that have ended, but none while one is executed."""
    given.stage.task("b", "main")
    kept = given.stage.ask("b")
    run = _ask(given)
    while (lease := given.queue.claim("w")) is not None and lease.job.run_id != run:
        given.queue.end("w", lease.job.run_id, ended("complete"))
        given.stage.later(10)
    assert not _forget(given)
    assert given.stage.states("a") == [("a", "running")]
    given.queue.end("w", run, ended("complete"))
    _ask(given)
    assert _forget(given)
    assert [one.id for one in given.stage.listed()] == [kept]
    assert given.stage.states("a") == []
