"""A worker: what a queue hands out is executed, told, stopped when it must be, and ended once."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.jobs.ports import HeartbeatReply, Job, ProcessMessage
from cio_replicate.jobs.worker import CLAIM, PATIENCE, Worker
from cio_replicate.pipeline.events import LogLine, Progress
from cio_replicate.pipeline.report import Report, Status
from tests.jobs.jobs import MemoryQueue
from tests.manual_clock import ManualClock

LEASE = 60.0


@dataclass
class PlayedChild:
    """A run whose process a test plays."""

    told: list[ProcessMessage] = field(default_factory=list)
    code: int | None = None
    stopped: int = 0
    killed: int = 0
    closed: bool = False

    def messages(self) -> list[ProcessMessage]:
        """What was told since."""
        told, self.told = self.told, []
        return told

    def exit_code(self) -> int | None:
        """How it ended."""
        return self.code

    def keep(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Count it."""
        self.stopped += 1

    def kill(self) -> None:
        """Count it, and die."""
        self.killed += 1
        self.code = -9

    def last_words(self) -> str:
        """As Python says them."""
        return "MemoryError"

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def end(self, status: Status) -> None:
        """Tell a report, and end."""
        self.told.append(ProcessMessage(report=Report(run_id="r", started="", status=status)))
        self.code = 0


class PlayedLauncher:
    """Starts runs that a test plays."""

    def __init__(self) -> None:
        self.children: dict[str, PlayedChild] = {}
        self.fails = False

    def start(self, job: Job) -> PlayedChild:
        """Start one."""
        if self.fails:
            raise OSError(11, "Resource temporarily unavailable")
        self.children[job.run_id] = PlayedChild()
        return self.children[job.run_id]


class Stage:
    """A worker with runs to execute, on a clock that a test moves."""

    def __init__(self, *runs: str, slots: int = 2) -> None:
        job = Job(
            run_id="",
            task_id="t",
            task_name="nightly",
            connection=ConnectionSettings(start_date="2024-01-01"),
            task=TaskSettings(connection="c", to=["duckdb:///x"]),
        )
        self.clock = ManualClock()
        self.queue = MemoryQueue([msgspec.structs.replace(job, run_id=run) for run in runs], LEASE)
        self.launcher = PlayedLauncher()
        self.worker = Worker("w", self.queue, self.launcher, self.clock, slots)
        self.worker.step()

    def child(self, run: str) -> PlayedChild:
        """The process of a run."""
        return self.launcher.children[run]

    def later(self, seconds: float) -> None:
        """Let time go by, a second at a time."""
        end = self.clock.time + seconds
        while self.clock.time < end:
            self.clock.time += min(1.0, end - self.clock.time)
            self.worker.step()

    @property
    def ends(self) -> list[tuple[str, str]]:
        """The runs that have ended, and how."""
        return [(run, str(end.status)) for run, end in self.queue.ends]


def test_runs_are_executed_as_many_at_a_time_as_there_are_slots() -> None:
    """The third waits until one has ended."""
    stage = Stage("a", "b", "c")
    assert set(stage.launcher.children) == {"a", "b"}
    stage.child("a").end(Status.COMPLETE)
    stage.later(3)
    assert (set(stage.launcher.children), stage.ends) == ({"a", "b", "c"}, [("a", "complete")])
    assert stage.child("a").closed


def test_what_a_run_tells_reaches_the_board() -> None:
    """The newest progress, and every line once."""
    stage = Stage("a")
    for number in range(5):
        line = LogLine(number, "info", f"line {number}")
        stage.child("a").told += [ProcessMessage(progress=Progress(requests=number)), ProcessMessage(line=line)]
        stage.later(2)
    stage.child("a").end(Status.FAILED)
    stage.later(3)
    assert [line.text for line in stage.queue.lines] == [f"line {number}" for number in range(5)]
    assert [one.requests for one in stage.queue.told if one] == list(range(5))
    assert stage.ends == [("a", "failed")]


def test_the_last_numbers_of_a_short_run_are_told() -> None:
    """It may have ended before the first beat."""
    stage = Stage("a")
    stage.child("a").told.append(ProcessMessage(progress=Progress(requests=7)))
    stage.child("a").end(Status.COMPLETE)
    stage.later(1)
    assert [one.requests for one in stage.queue.told if one] == [7]
    assert stage.ends == [("a", "complete")]


def test_a_run_that_a_user_cancels_is_stopped_and_ends_as_cancelled() -> None:
    """It ends in order, and is not taken for one that was broken off."""
    stage = Stage("a")
    stage.queue.answers["a"] = HeartbeatReply.CANCEL
    stage.later(5)
    assert stage.child("a").stopped == 1
    stage.child("a").end(Status.INTERRUPTED)
    stage.later(3)
    assert stage.ends == [("a", "cancelled")]


def test_a_run_that_was_complete_before_it_could_be_cancelled_is_complete() -> None:
    """What it did is done."""
    stage = Stage("a")
    stage.queue.answers["a"] = HeartbeatReply.CANCEL
    stage.later(5)
    stage.child("a").end(Status.COMPLETE)
    stage.later(3)
    assert stage.ends == [("a", "complete")]


def test_a_run_that_does_not_end_in_order_is_killed() -> None:
    """After it had long enough."""
    stage = Stage("a")
    stage.queue.answers["a"] = HeartbeatReply.CANCEL
    stage.later(PATIENCE - 1)
    assert stage.child("a").killed == 0
    stage.later(10)
    assert (stage.child("a").killed, stage.ends) == (1, [("a", "cancelled")])


def test_a_run_that_is_lost_is_stopped_and_its_end_is_not_told() -> None:
    """It is somebody else's by now."""
    stage = Stage("a")
    stage.queue.answers["a"] = HeartbeatReply.LOST
    stage.later(5)
    assert stage.child("a").stopped == 1
    stage.child("a").end(Status.INTERRUPTED)
    stage.later(5)
    assert (stage.ends, stage.worker.idle) == ([], True)


def test_a_process_that_dies_ends_its_run_as_failed_with_its_last_words() -> None:
    """So that somebody finds out why."""
    stage = Stage("a")
    stage.child("a").code = -9
    stage.later(3)
    ((_, end),) = stage.queue.ends
    assert (end.status, end.report) == ("failed", None)
    assert "signal 9" in (end.error or "")
    assert end.lines[-1].text == "“MemoryError”"


def test_a_process_that_cannot_be_started_fails_its_run() -> None:
    """And does not stop the worker."""
    stage = Stage()
    stage.launcher.fails = True
    stage.queue.jobs = [*Stage("a").queue.jobs, *Stage("z", slots=0).queue.jobs]
    stage.later(CLAIM + 1)
    assert stage.ends[:1] == [("z", "failed")]


def test_a_board_that_is_away_for_a_moment_misses_nothing() -> None:
    """Lines wait, the run goes on."""
    stage = Stage("a")
    stage.queue.away = True
    stage.child("a").told = [ProcessMessage(line=LogLine(1, "info", "while it was away"))]
    stage.later(20)
    stage.queue.away = False
    stage.later(3)
    assert stage.child("a").stopped == 0
    assert [line.text for line in stage.queue.lines] == ["while it was away"]


def test_the_end_of_a_run_waits_for_a_board_that_is_away() -> None:
    """And is told once."""
    stage = Stage("a")
    stage.queue.away = True
    stage.child("a").end(Status.COMPLETE)
    stage.later(20)
    stage.queue.away = False
    stage.later(10)
    assert stage.ends == [("a", "complete")]


def test_a_board_that_takes_ends_while_it_is_away_gets_them() -> None:
    """A gateway's queue keeps them on disk; that the last numbers cannot be told is no reason to keep the end back."""
    stage = Stage("a")
    stage.queue.away, stage.queue.takes_ends = True, True
    stage.child("a").told.append(ProcessMessage(progress=Progress(requests=7)))
    stage.child("a").end(Status.COMPLETE)
    stage.later(1)
    assert stage.ends == [("a", "complete")]


@pytest.mark.parametrize("ends", [True, False])
def test_a_run_is_stopped_before_its_lease_runs_out(ends: bool) -> None:  # noqa: FBT001
    """Nobody else may begin it while this one still writes; a run of which nothing can be told is left to the lease."""
    stage = Stage("a")
    stage.queue.away = True
    stage.later(LEASE - 1)
    assert stage.child("a").stopped == 1
    if ends:
        stage.child("a").end(Status.INTERRUPTED)
        stage.later(LEASE)
        assert (stage.worker.idle, stage.ends) == (True, [])
    else:
        assert stage.child("a").killed == 0
        stage.later(1)
        assert stage.child("a").killed == 1


def test_a_worker_that_is_stopped_gives_its_runs_back() -> None:
    """They end in order, and no other begins."""
    stage = Stage("a", "b", "c")
    stage.worker.stop_all()
    for run in ("a", "b"):
        stage.child(run).end(Status.INTERRUPTED)
    stage.later(5)
    assert stage.ends == [("a", "interrupted"), ("b", "interrupted")]
    assert (stage.worker.idle, set(stage.launcher.children)) == (True, {"a", "b"})


@pytest.mark.parametrize("code", [-15, -9])
def test_a_run_that_is_stopped_before_it_could_tell_is_given_back_too(code: int) -> None:
    """One that had just begun does not watch for signals yet, and one may take too long; neither has failed."""
    stage = Stage("a")
    stage.worker.stop_all()
    stage.child("a").code = code
    stage.later(5)
    assert (stage.ends, stage.worker.idle) == ([("a", "interrupted")], True)
