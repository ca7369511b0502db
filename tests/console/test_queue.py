"""The contract of a queue, over every implementation: runs are handed out one by one, kept by beats, and end once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cio_replicate.database.actor import LOCAL
from cio_replicate.jobs.local_engine import LEASE, MOST_CLAIMS, REST
from cio_replicate.jobs.ports import ActionKind, HeartbeatReply, Outcome, RunAction
from cio_replicate.pipeline.events import LogLine, Progress, TableProgressEvent
from tests.console.queues import QUEUES, QueueUnderTest
from tests.console.stage import ended, run_of

LINES = [LogLine(1, "info", "first"), LogLine(2, "warning", "second"), LogLine(2, "info", "third")]


@pytest.fixture(params=QUEUES)
def hall(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueUnderTest]:
    """A queue of each kind."""
    with QUEUES[request.param](tmp_path) as made:
        yield made


def _texts(hall: QueueUnderTest, run: str) -> list[str]:
    return [one.line.text for one in hall.stage.runs.lines(run)]


def test_a_run_is_handed_out_with_what_it_needs(hall: QueueUnderTest) -> None:
    """The job holds the settings of its task and connection, and what is to be done; then there is nothing more."""
    hall.tasks("nightly", tables="segments")
    action = RunAction(kind=ActionKind.RESYNC, tables=("segments",))
    asked = hall.stage.runs.ask("nightly", LOCAL, action)
    claim = hall.queue.claim("w")
    assert claim is not None
    job = claim.job
    assert (job.run_id, job.task_name, job.action, claim.lease) == (asked, "nightly", action, LEASE)
    assert (job.task.tables, job.connection.start_date) == ("segments", "2024-01-01")
    assert hall.queue.claim("w") is None
    (run,) = hall.stage.listed()
    assert (run.status, run.claims, run.started_at) == ("running", 1, hall.stage.clock.now())


def test_who_has_waited_longest_comes_first(hall: QueueUnderTest) -> None:
    """Runs are handed out in the order in which they may begin."""
    hall.tasks("b", "a", "c")
    asked = []
    for name in ("c", "a", "b"):
        asked.append(hall.stage.ask(name))
        hall.stage.later(10)
    assert [run_of(hall.queue.claim("w")) for _ in asked] == asked


def test_a_task_has_one_run_at_a_time(hall: QueueUnderTest) -> None:
    """What is asked for while a run goes on waits for its end."""
    hall.tasks("a")
    first = hall.stage.ask("a")
    assert run_of(hall.queue.claim("w")) == first
    second = hall.stage.ask("a")
    assert hall.queue.claim("other") is None
    hall.queue.end("w", first, ended("complete"))
    hall.stage.later(REST)
    assert run_of(hall.queue.claim("other")) == second != first


def test_a_workspace_has_one_run_at_a_time(hall: QueueUnderTest) -> None:
    """Tasks of one workspace share its budget, so they wait for each other; those of others do not."""
    hall.tasks("a", "b", workspace="shared")
    hall.tasks("c")
    first, second, other = (hall.stage.ask(name) for name in ("a", "b", "c"))
    claimed = {run_of(hall.queue.claim("w")), run_of(hall.queue.claim("w"))}
    assert (len(claimed & {first, second}), other in claimed, hall.queue.claim("w")) == (1, True, None)
    (running,) = claimed & {first, second}
    hall.queue.end("w", running, ended("failed"))
    assert hall.queue.claim("w") is None  # the second in which its last requests were sent is not over
    hall.stage.later(REST)
    assert run_of(hall.queue.claim("w")) == ({first, second} - claimed).pop()


def test_a_beat_keeps_a_run_and_shows_how_it_goes_on(hall: QueueUnderTest) -> None:
    """As long as it is spoken of a run is its worker's, and what was told last is seen."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    for number in range(4):
        hall.stage.later(LEASE - 10)
        progress = Progress(requests=number, tables=[TableProgressEvent(name="segments", rows=number)])
        assert hall.queue.heartbeat("w", run, progress, ()) is HeartbeatReply.GO_ON
    assert hall.queue.heartbeat("w", run, None, ()) is HeartbeatReply.GO_ON
    shown = hall.stage.runs.show(run)
    assert (shown.run.status, shown.run.claims) == ("running", 1)
    assert shown.progress is not None
    assert (shown.progress.requests, shown.progress.rows) == (3, 3)


def test_lines_come_in_their_order_and_once(hall: QueueUnderTest) -> None:
    """A line that is told again, since the worker heard no answer, is in the log once."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    hall.queue.heartbeat("w", run, None, LINES[:2])
    hall.queue.heartbeat("w", run, None, LINES[:3])
    hall.queue.heartbeat("w", run, None, LINES[2:])
    hall.queue.end("w", run, ended("complete", LINES[2], LogLine(3, "info", "fourth")))
    assert _texts(hall, run) == ["first", "second", "third", "fourth"]


def test_a_run_ends_once(hall: QueueUnderTest) -> None:
    """What is told of a run after its end changes nothing."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    hall.queue.end("w", run, ended("complete", *LINES))
    hall.stage.later(20)
    hall.queue.end("w", run, ended("failed", LogLine(9, "error", "again"), error="It failed."))
    assert hall.queue.heartbeat("w", run, Progress(requests=7), LINES) is HeartbeatReply.LOST
    (shown,) = hall.stage.listed()
    assert (shown.status, shown.error, shown.ended_at) == ("complete", None, hall.stage.clock.now() - 20)
    assert _texts(hall, run) == ["first", "second", "third"]


def test_a_worker_that_is_lost_loses_its_run_to_another(hall: QueueUnderTest) -> None:
    """Once its lease is over, another goes on with the same run, and what the first one says of it is not heard."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    assert hall.queue.claim("other") is None
    hall.stage.later(LEASE + 20)
    assert run_of(hall.queue.claim("other")) == run
    assert hall.queue.heartbeat("w", run, Progress(requests=9), LINES) is HeartbeatReply.LOST
    assert hall.queue.end("w", run, ended("failed")) is HeartbeatReply.LOST
    (shown,) = hall.stage.listed()
    assert (shown.status, shown.claims, shown.attempt) == ("running", 2, 1)
    assert hall.queue.end("other", run, ended("complete")) is HeartbeatReply.GO_ON
    assert hall.stage.states() == [("a", "complete")]
    assert "was not heard of" in _texts(hall, run)[0]


def test_a_worker_that_comes_back_goes_on_unless_another_has_its_run(hall: QueueUnderTest) -> None:
    """A machine that slept, or a console that was away, costs no run that nobody else has taken."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    hall.stage.later(LEASE + 20)
    assert hall.stage.states() == [("a", "queued")]
    assert hall.queue.claim("w") is None  # it is thought to have it still
    assert hall.queue.heartbeat("w", run, None, ()) is HeartbeatReply.GO_ON
    assert hall.stage.states() == [("a", "running")]
    assert hall.queue.claim("other") is None


def test_what_others_said_is_kept_whatever_characters_it_has(hall: QueueUnderTest) -> None:
    """PostgreSQL keeps no NUL: a run whose error quotes one is told of and ends all the same."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    assert hall.queue.heartbeat("w", run, None, [LogLine(1, "error", "“a\x00b”")]) is HeartbeatReply.GO_ON
    assert (
        hall.queue.end("w", run, ended("failed", LogLine(2, "error", "c\x00d"), error="“a\x00b”"))
        is HeartbeatReply.GO_ON
    )
    assert hall.stage.states()[0] == ("a", "failed")


def test_a_worker_that_comes_back_late_may_claim_its_run_anew(hall: QueueUnderTest) -> None:
    """A run whose only worker has forgotten it does not wait for ever."""
    hall.tasks("a")
    hall.stage.ask("a")
    run = run_of(hall.queue.claim("w"))
    hall.stage.later(2 * LEASE + 40)
    assert run_of(hall.queue.claim("w")) == run


def test_a_worker_that_comes_back_does_not_disturb_its_workspace(hall: QueueUnderTest) -> None:
    """Where another run of the workspace has begun meanwhile, the one that was lost waits for its end."""
    hall.tasks("a", "b", workspace="shared")
    first = hall.stage.ask("a")
    assert run_of(hall.queue.claim("w")) == first
    hall.stage.later(LEASE + 20)
    second = hall.stage.ask("b")
    assert run_of(hall.queue.claim("w")) == second
    assert hall.queue.heartbeat("w", first, None, ()) is HeartbeatReply.LOST
    assert hall.queue.claim("other") is None
    hall.queue.end("w", second, ended("complete"))
    hall.stage.later(REST)
    assert run_of(hall.queue.claim("other")) == first


def test_a_run_that_is_executed_is_cancelled_by_its_worker(hall: QueueUnderTest) -> None:
    """The worker is told by the next beat; a run that is stopped then has been cancelled."""
    hall.tasks("a")
    run = hall.stage.ask("a")
    hall.queue.claim("w")
    assert hall.stage.runs.cancel(run, LOCAL).status == "running"
    assert hall.queue.heartbeat("w", run, None, ()) is HeartbeatReply.CANCEL
    hall.queue.end("w", run, ended("interrupted"))
    assert hall.stage.states() == [("a", "cancelled")]
    hall.stage.later(3_600)
    assert hall.queue.claim("w") is None  # a user's wish is not tried again


def test_a_run_that_waits_is_cancelled_at_once(hall: QueueUnderTest) -> None:
    """Nobody is handed it; and what was complete before the wish came is complete."""
    hall.tasks("a", "b")
    hall.stage.runs.cancel(hall.stage.ask("a"), LOCAL)
    assert hall.queue.claim("w") is None
    run = hall.stage.ask("b")
    hall.queue.claim("w")
    hall.stage.runs.cancel(run, LOCAL)
    hall.queue.end("w", run, ended("complete"))
    assert sorted(hall.stage.states()) == [("a", "cancelled"), ("b", "complete")]


def test_a_cancelled_run_whose_worker_is_lost_has_been_cancelled(hall: QueueUnderTest) -> None:
    """It is not handed out again."""
    hall.tasks("a")
    run = hall.stage.ask("a")
    hall.queue.claim("w")
    hall.stage.runs.cancel(run, LOCAL)
    hall.stage.later(LEASE + 20)
    assert (hall.stage.states(), hall.queue.claim("other")) == ([("a", "cancelled")], None)


def test_a_run_that_ends_its_workers_is_given_up(hall: QueueUnderTest) -> None:
    """After several workers were lost the run has failed, in a sentence that says what to look at."""
    hall.tasks("a", retries=0)
    run = hall.stage.ask("a")
    for number in range(MOST_CLAIMS):
        assert run_of(hall.queue.claim(f"w{number}")) == run
        hall.stage.later(LEASE + 20)
    assert hall.queue.claim("w") is None
    (shown,) = hall.stage.listed()
    assert (shown.status, shown.claims) == ("failed", MOST_CLAIMS)
    assert "it may need more memory" in (shown.error or "")


def test_a_run_of_nobody_is_lost(hall: QueueUnderTest) -> None:
    """A run that there is not, or that was never handed out, is none of a worker's."""
    hall.tasks("a")
    run = hall.stage.ask("a")
    for one in (run, "0" * 32):
        assert hall.queue.heartbeat("w", one, None, LINES) is HeartbeatReply.LOST
        assert hall.queue.end("w", one, Outcome(status="complete")) is HeartbeatReply.LOST
    assert (hall.stage.states(), _texts(hall, run)) == ([("a", "queued")], [])
