"""The ports of an engine, *dispatch* (ask, cancel, forget) and *queue* (claim, heartbeat, end), and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import as_options
from cio_replicate.pipeline.events import LogLine, Progress
from cio_replicate.pipeline.report import Report

if TYPE_CHECKING:  # a gateway has no control database, and is installed without SQLAlchemy
    from sqlalchemy import Connection

#: What worker and queue must agree on; another is refused by name. To be raised when a struct here changes its sense.
PROTOCOL = 1
CANCELLED = "cancelled"  # how a run ends that a user has stopped; other ends are those of a report
SILENCE = 45.0  # seconds without a sign of life from the worker, after which a run stops: less than a lease


class ActionKind(StrEnum):
    """What may be done with a task."""

    SYNC = "sync"
    RESYNC = "resync"  # forget tables and read them again
    BACKFILL = "backfill"  # read a stretch of time of a table once more


class RunAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done. `tables` are those of a resync, or the one of a backfill, from `first` to `until` (dates)."""

    kind: ActionKind = ActionKind.SYNC
    tables: tuple[str, ...] = ()
    first: str | None = None
    until: str | None = None


SYNC = RunAction()


class Trigger(StrEnum):
    """Why a run was asked for."""

    SCHEDULE = "schedule"
    USER = "user"
    AFTER = "after"  # another task ended well
    RETRY = "retry"


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is asked for. `times` is how often it was due: more than once when a scheduler was not there.

    `due_at` is the time that asks for it, `not_before` when it may begin, in unix seconds.
    """

    task_id: str
    cause: Trigger
    due_at: int
    not_before: int
    action: RunAction = RunAction()
    attempt: int = 1
    times: int = 1
    asked_by: str | None = None


class Dispatch(Protocol):
    """Takes requests for runs, in the transaction of the control database in which the caller decides on them.

    What is asked, cancelled or forgotten counts once that transaction is committed, and never if it is not.
    """

    def ask(self, transaction: Connection, request: RunRequest) -> str:
        """Enqueue a run and return its id.

        If a new run of the task for the same action waits already, it is that one: it counts the further times, begins
        when the earlier of the two may, and is a user's if one of them is. Raises InvalidSettings if the task is gone.
        """

    def cancel(self, transaction: Connection, run_id: str) -> bool:
        """End a queued run, or ask a running one to end; return False for a run that has ended."""

    def forget(self, transaction: Connection, task_id: str) -> bool:
        """Delete a task's runs; return False, and delete nothing, while one of them is running."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `stored` are secrets that the control database keeps, revealed: none leaves the console's machine."""

    run_id: str
    task_id: str
    task_name: str
    connection: ConnectionSettings
    task: TaskSettings
    action: RunAction = RunAction()
    stored: dict[str, str] = {}


class HeartbeatReply(StrEnum):
    """The queue's reply to a heartbeat."""

    GO_ON = "go on"
    CANCEL = "cancel"  # a user wants it to end
    LOST = "lost"  # the run is not this worker's any more


class Lease(msgspec.Struct, frozen=True):
    """A run that is this worker's for so many seconds after each heartbeat."""

    job: Job
    lease: float


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended: as its report says, `cancelled`, or without a report, when its process died.

    With `given_back` it was interrupted only because its worker was stopped: it is for another worker at once.
    """

    status: str
    report: Report | None = None
    error: str | None = None
    lines: list[LogLine] = []
    given_back: bool = False


class JobQueue(Protocol):
    """Hands out runs. Every method raises Unavailable when it cannot be reached; each may be repeated then."""

    def claim(self, worker: str) -> Lease | None:
        """Return the next run that this worker may execute, now its own; None when there is nothing to do."""

    def heartbeat(
        self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]
    ) -> HeartbeatReply:
        """Report the progress of a run, and renew its lease. Lines that were reported before may come again."""

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Report the outcome of a run, once; to repeat it, or to end a run that is lost, changes nothing."""


class ProcessMessage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message of a run's process: its progress, a line of its log, or its report, which is the last message."""

    progress: Progress | None = None
    line: LogLine | None = None
    report: Report | None = None


# What may be asked of a connection besides a run: whether its key works, and what its tables hold and cost. It is
# answered where the connection's secrets are: on the console's own machine, or by a gateway.


class ProbeRequest(StrEnum):
    """What is asked."""

    ACCESS = "access"  # whether the key works, and which tables it may read: a request per table
    TABLES = "tables"  # the same, and about how many rows they have and what a whole read costs: some more requests


class TableProbe(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One table: numbers, and why it cannot be read. `least` and `most` are requests; None when that is not known."""

    name: str
    readable: bool
    cause: str = ""
    fix: str = ""
    rows: int | None = None
    least: int | None = None
    most: int | None = None
    basis: str = ""


class ProbeResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was found. `cause` and `fix` say why nothing was, when the key or the settings are wrong."""

    api: str = ""
    region: str | None = None
    requests: int = 0
    seconds: float = 0.0
    tables: list[TableProbe] = []
    cause: str = ""
    fix: str = ""

    @property
    def works(self) -> bool:
        """Whether the key works, for some tables at least."""
        return not self.cause


def refused(error: CioReplicateError) -> ProbeResult:
    """What is answered when nothing could be asked."""
    return ProbeResult(cause=as_options(error.cause), fix=as_options(error.fix))
