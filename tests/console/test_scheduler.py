"""The scheduler: each time that comes is one run, or merged into one that waits, or noted as missed; never two."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from cio_replicate.config.documents import ScheduleSettings
from cio_replicate.database.tables import tasks
from cio_replicate.jobs.local_engine import LEASE, REST
from cio_replicate.jobs.ports import HeartbeatReply, Trigger
from cio_replicate.jobs.scheduler import REASON
from tests.console.stage import START, STORES, Stage, ended, run_of, stage, task

MINUTE, HOUR = 60, 3_600
EVERY_15 = ScheduleSettings(every="15m")
SKIPPING = ScheduleSettings(every="15m", missed="skip")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a connection."""
    with stage("sqlite", tmp_path) as made:
        made.connection("main")
        yield made


def _execute(one: Stage, status: str = "complete") -> str:
    """Let a worker execute the run that is next."""
    queue = one.queue()
    run = run_of(queue.claim("w"))
    queue.end("w", run, ended(status))
    one.clock.time += REST
    return run


def test_what_is_due_waits_for_a_worker_once(one: Stage) -> None:
    """When a task's time comes a run waits, which knows the time that asked for it; the next one comes in its turn."""
    one.task("a", "main", schedule=EVERY_15)
    one.later(15 * MINUTE - 10)
    assert one.listed() == []
    one.later(10)
    _execute(one)
    one.later(14 * MINUTE)
    assert [(run.due_at - START, run.cause, run.merged) for run in one.listed()] == [(15 * MINUTE, "schedule", 0)]
    one.later(MINUTE)
    assert one.states() == [("a", "complete"), ("a", "queued")]


def test_a_time_that_comes_while_the_run_before_waits_is_merged(one: Stage) -> None:
    """A run that waits does for all times that come meanwhile, and counts them."""
    one.task("a", "main", schedule=EVERY_15)
    one.later(HOUR)
    assert [(run.status, run.merged) for run in one.listed()] == [("queued", 3)]


def test_a_time_that_comes_while_a_run_goes_on_waits_for_its_end(one: Stage) -> None:
    """One run waits behind the one that is executed, however many times come."""
    one.task("a", "main", schedule=EVERY_15)
    one.later(15 * MINUTE)
    queue = one.queue()
    first = run_of(queue.claim("w"))
    for _ in range(90):
        one.later(30)
        assert queue.heartbeat("w", first, None, ()) is HeartbeatReply.GO_ON
    assert [(run.status, run.merged) for run in one.listed()] == [("running", 0), ("queued", 2)]
    queue.end("w", first, ended("complete"))
    one.later(REST)
    assert run_of(queue.claim("w")) != first


def test_missed_times_are_made_up_by_one_run(one: Stage) -> None:
    """After a standstill a task whose missed runs are wanted once has one run for all of them."""
    one.task("a", "main", schedule=EVERY_15)
    one.clock.time += 5 * HOUR
    one.scheduler.tick()
    (run,) = one.listed()
    assert (run.due_at - START, run.merged + 1) == (5 * HOUR, 20)
    assert one.missed() == []


def test_missed_times_may_be_left_out(one: Stage) -> None:
    """A task that skips what was missed has it noted, with the reason; what is not late is run all the same."""
    one.task("a", "main", schedule=SKIPPING)
    one.clock.time += 5 * HOUR + 10 * MINUTE
    one.scheduler.tick()
    assert one.listed() == []
    assert one.missed() == [(START + 5 * HOUR, 20, REASON)]
    one.clock.time += 20 * MINUTE + 30
    one.scheduler.tick()
    assert [(run.due_at - START, run.merged) for run in one.listed()] == [(5 * HOUR + 30 * MINUTE, 0)]
    assert one.missed()[1:] == [(START + 5 * HOUR + 15 * MINUTE, 1, REASON)]


def test_a_task_that_rests_is_not_due_and_nothing_is_made_up(one: Stage) -> None:
    """Times that come while a task is paused are no runs and no missed ones; its schedule goes on when it does."""
    settings = task("main", schedule=EVERY_15)
    one.keep({"a": settings})
    one.edit("a", task("main", schedule=EVERY_15, paused=True))
    one.later(2 * HOUR + MINUTE)
    one.edit("a", settings)
    one.later(13 * MINUTE)
    assert (one.listed(), one.missed()) == ([], [])
    one.later(MINUTE)
    assert [run.due_at - START for run in one.listed()] == [2 * HOUR + 15 * MINUTE]


def test_runs_that_wait_rest_with_their_task_but_not_a_users(one: Stage) -> None:
    """What the schedule asked for waits until the task goes on; what a user asks for is executed."""
    one.task("a", "main", schedule=EVERY_15)
    one.later(15 * MINUTE)
    one.edit("a", task("main", schedule=EVERY_15, paused=True))
    assert one.queue().claim("w") is None
    waiting = one.listed()[0].id
    assert one.runs.show(waiting).waits == "Its task is paused."
    assert one.ask("a") == waiting
    assert run_of(one.queue().claim("w")) == waiting
    assert one.listed()[0].cause == Trigger.USER


def test_a_user_who_asks_while_a_run_waits_gets_that_run(one: Stage) -> None:
    """It begins at once even if it was to wait for a pause, and it is the user's."""
    one.task("a", "main", retry_pause=HOUR)
    one.ask("a")
    _execute(one, "failed")
    assert one.queue().claim("w") is None
    (waiting,) = [run for run in one.listed() if run.status == "queued"]
    assert (waiting.cause, waiting.attempt) == (Trigger.RETRY, 2)
    assert one.ask("a") == waiting.id
    assert run_of(one.queue().claim("w")) == waiting.id


def test_a_schedule_that_cannot_be_read_stops_its_task_alone(one: Stage) -> None:
    """It is noted why the task does not run, and other tasks go on."""
    one.task("bad", "main", schedule=EVERY_15)
    one.task("good", "main", schedule=EVERY_15)
    broken = '{"connection": "main", "to": ["duckdb:////tmp/x"], "schedule": {"every": "sometimes"}}'
    with one.database.writing() as connection:
        connection.execute(update(tasks).where(tasks.c.name == "bad").values(settings=broken))
    one.later(20 * MINUTE)
    assert one.states() == [("good", "queued")]
    (missed,) = one.missed()
    assert "'sometimes' is no interval" in missed[2]


def test_a_schedule_ends_with_its_last_day(one: Stage) -> None:
    """After its last time a task is not due any more."""
    one.task("a", "main", schedule=ScheduleSettings(every="15m", end="2026-01-01T00:30"))
    one.clock.time += HOUR
    one.scheduler.tick()
    assert [run.merged + 1 for run in one.listed()] == [2]
    one.later(HOUR)
    assert len(one.listed()) == 1


def test_workers_are_not_lost_while_nobody_listens(one: Stage) -> None:
    """After the scheduler was away each worker has the time of a lease to speak of its run, before it is lost."""
    one.task("a", "main")
    one.ask("a")
    queue = one.queue()
    run = run_of(queue.claim("w"))
    one.clock.time += HOUR
    again = one.new_scheduler()
    assert again.tick().lost == 0
    assert queue.claim("other") is None
    assert queue.heartbeat("w", run, None, ()) is HeartbeatReply.GO_ON
    for _ in range(LEASE + 2):
        one.clock.time += 1
        again.tick()
    assert run_of(queue.claim("other")) == run


@pytest.mark.parametrize("kind", STORES)
def test_schedulers_that_tick_at_once_fire_each_time_once(kind: str, tmp_path: Path) -> None:
    """Several schedulers over one database, each with connections of its own, make one run of each time."""
    with stage(kind, tmp_path) as made:
        made.connection("main")
        for number in range(8):
            made.task(f"t{number}", "main", schedule=EVERY_15)
        databases = [made.another() for _ in range(3)]
        schedulers = [made.new_scheduler(database) for database in databases for _ in range(2)]
        for _ in range(3):
            made.clock.time += 15 * MINUTE
            threads = [threading.Thread(target=scheduler.tick) for scheduler in schedulers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        counted = {run.task: run.merged + 1 for run in made.listed()}
        assert counted == {f"t{number}": 3 for number in range(8)}
        for database in databases:
            database.close()
