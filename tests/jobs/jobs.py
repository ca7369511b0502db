"""Jobs for a workspace of the stand-in, and a queue that is kept in memory: the twin of those in a database or away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cio_replicate.base.errors import Unavailable
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.jobs.ports import HeartbeatReply, Job, Lease, Outcome, RunAction
from cio_replicate.pipeline.events import LogLine, Progress
from customerio_simulator import Simulator

SYNC = RunAction()
SECRET = "marked-secret-of-the-workspace"


def job_of(simulator: Simulator, folder: Path, action: RunAction = SYNC, **task: object) -> Job:
    """A job that copies the workspace into a DuckDB file, with a stored secret."""
    return Job(
        run_id="1" * 32,
        task_id="2" * 32,
        task_name="nightly",
        connection=ConnectionSettings(
            start_date="2020-01-01", api_url=simulator.url, access_token_from="stored:connection/prod", max_rps=1_000.0
        ),
        task=TaskSettings(connection="prod", to=[f"duckdb:///{folder}/copy.duckdb"], **task),  # type: ignore[arg-type]
        action=action,
        stored={"connection/prod": SECRET},
    )


@dataclass
class MemoryQueue:
    """Hands out the jobs that it was given, and remembers what it is told."""

    jobs: list[Job]
    lease: float = 60.0
    answers: dict[str, HeartbeatReply] = field(default_factory=dict)
    away: bool = False
    takes_ends: bool = False  # even while it is away
    told: list[Progress | None] = field(default_factory=list)
    lines: list[LogLine] = field(default_factory=list)
    ends: list[tuple[str, Outcome]] = field(default_factory=list)

    def claim(self, worker: str) -> Lease | None:
        """The next job."""
        _ = worker
        self._require_here()
        return Lease(self.jobs.pop(0), self.lease) if self.jobs else None

    def heartbeat(
        self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]
    ) -> HeartbeatReply:
        """Remember it."""
        _ = worker
        self._require_here()
        self.told.append(progress)
        self.lines += lines
        return self.answers.get(run_id, HeartbeatReply.GO_ON)

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Remember it."""
        _ = worker
        if not self.takes_ends:
            self._require_here()
        self.ends.append((run_id, end))
        return HeartbeatReply.GO_ON

    def _require_here(self) -> None:
        if self.away:
            raise Unavailable("The queue is away.", "It comes back.")


def until(done: Callable[[], bool], step: Callable[[], None], seconds: float = 60.0) -> None:
    """Step until it is done; fails when that takes too long."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it took too long"
        step()
        time.sleep(0.01)  # else this process takes the time that the other needs
