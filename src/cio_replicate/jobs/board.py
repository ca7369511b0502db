"""The port between what knows which runs are due and what executes them: claim, beat, end."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from cio_replicate.jobs.job import Job
from cio_replicate.pipeline.events import LogLine, Progress
from cio_replicate.pipeline.report import Report

CANCELLED = "cancelled"  # how a run ends that a user has stopped; other ends are those of a report


class HeartbeatReply(StrEnum):
    """What a worker is told when it tells how a run goes on."""

    GO_ON = "go on"
    CANCEL = "cancel"  # a user wants it to end
    LOST = "lost"  # the run is not this worker's any more


class Lease(msgspec.Struct, frozen=True):
    """A run that is this worker's for so many seconds after each beat."""

    job: Job
    lease: float


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended: as its report says, `cancelled`, or without a report, when its process died."""

    status: str
    report: Report | None = None
    error: str | None = None
    lines: list[LogLine] = []


class JobQueue(Protocol):
    """Hands out runs. Every method raises BoardAwayError when it cannot be reached; each may be repeated then."""

    def claim(self, worker: str) -> Lease | None:
        """The next run that this worker may execute, now its own; None when there is nothing to do."""
        ...

    def beat(self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]) -> HeartbeatReply:
        """Tell how a run goes on, and keep it for another lease. Lines that were told before may come again."""
        ...

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Tell how a run ended: once; to repeat it, or to end a run that is lost, changes nothing."""
        ...
