"""Executes what a board hands out: claims runs, starts them, tells how they go on, stops them, tells their end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from cio_replicate.base.errors import BoardAwayError
from cio_replicate.base.quoting import quoted
from cio_replicate.base.runtime import Clock
from cio_replicate.jobs.board import CANCELLED, HeartbeatReply, JobQueue, Lease, Outcome
from cio_replicate.jobs.launcher import Launcher, RunProcess
from cio_replicate.pipeline.progress import ERROR, LONGEST, LogLine, Progress
from cio_replicate.pipeline.replication_report import Report, Status

log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two beats of a run
CLAIM = 1.0  # seconds between two looks for a run
PATIENCE = 120.0  # seconds that a run may take to end in order
MARGIN = 10.0  # seconds before the end of a lease at which a run that cannot be told of is stopped, a quarter at most
MOST_LINES = 2_000  # of a log, that wait for a board that is away; then the oldest go


@dataclass
class ActiveRun:
    """A run that this worker holds. All moments are of the steady clock."""

    claim: Lease
    child: RunProcess
    beaten: float  # when the board last heard of it
    tried: float  # when it was last tried to tell
    progress: Progress | None = None
    untold: bool = False  # whether there is progress that the board has not heard of
    lines: list[LogLine] = field(default_factory=list)
    report: Report | None = None
    stopping: float | None = None
    cancelled: bool = False
    lost: bool = False
    ended: Outcome | None = None  # what is still to be told

    @property
    def run_id(self) -> str:
        """Of the run."""
        return self.claim.job.run_id


class Worker:
    """Holds up to `slots` runs at a time. `step` is to be called often, from one thread; it never waits long.

    A run whose lease cannot be renewed is stopped before it ends, and killed when it does, so that no other worker
    begins it meanwhile.
    """

    def __init__(self, name: str, board: JobQueue, launcher: Launcher, clock: Clock, slots: int) -> None:
        self.name = name
        self._board = board
        self._launcher = launcher
        self._clock = clock
        self._slots = slots
        self._held: list[ActiveRun] = []
        self._looked: float | None = None
        self.draining = False  # takes no further run

    @property
    def idle(self) -> bool:
        """Whether it holds no run."""
        return not self._held

    def step(self) -> None:
        """Take in what the runs have told, tell the board, and begin what is due."""
        for held in list(self._held):
            self._tend(held)
        now = self._clock.monotonic()
        if self.draining or (self._looked is not None and now - self._looked < CLAIM):
            return
        self._looked = now
        while len(self._held) < self._slots and self._begin():
            pass

    def stop_all(self) -> None:
        """Ask every run to end in order, and begin no other; they are given back to the board."""
        self.draining = True
        for held in self._held:
            self._stop(held)

    def _begin(self) -> bool:
        """Claim a run and start it; whether there was one."""
        try:
            claim = self._board.claim(self.name)
        except BoardAwayError as error:
            log.warning("%s", error)
            return False
        if claim is None:
            return False
        try:
            child = self._launcher.start(claim.job)
        except OSError as error:
            said = f"No process could be started for the run ({error.strerror or type(error).__name__})."
            self._give_back(claim, Outcome(status=Status.FAILED, error=said))
            return False
        now = self._clock.monotonic()
        self._held.append(ActiveRun(claim, child, now, now))
        return True

    def _give_back(self, claim: Lease, end: Outcome) -> None:
        try:
            self._board.end(self.name, claim.job.run_id, end)
        except BoardAwayError as error:
            log.warning("%s", error)  # its lease runs out

    def _tend(self, held: ActiveRun) -> None:
        now = self._clock.monotonic()
        _take_in(held)
        if held.ended is None and (code := held.child.exit_code()) is not None:
            held.ended, held.tried = self._end_of(held, code), now - BEAT
        due = now - held.tried >= BEAT
        if held.ended is not None:
            told = due and self._told(held, self._end)
            if told or now - held.beaten >= held.claim.lease:
                if not told:
                    log.error("%s: its end could not be told; it is handed out again.", held.claim.job.task_name)
                held.child.close()
                self._held.remove(held)
            return
        lease, unheard = held.claim.lease, now - held.beaten
        if (held.stopping is not None and now - held.stopping >= PATIENCE) or (held.lost and unheard >= lease):
            held.child.kill()
        if due:
            held.child.keep()
            self._told(held, self._beat)
        if now - held.beaten >= lease - min(MARGIN, lease / 4):
            held.lost = True
            self._stop(held)

    def _told(self, held: ActiveRun, tell: Callable[[ActiveRun], None]) -> bool:
        """Tell the board; whether it could be reached."""
        held.tried = self._clock.monotonic()
        try:
            tell(held)
        except BoardAwayError as error:
            log.warning("%s: %s", held.claim.job.task_name, error)
            return False
        return True

    def _beat(self, held: ActiveRun) -> None:
        lines = list(held.lines)
        answer = self._board.beat(self.name, held.run_id, held.progress, lines)
        held.lines, held.untold = held.lines[len(lines) :], False
        if answer is HeartbeatReply.LOST:
            held.lost = True
            self._stop(held)
            return
        held.beaten = self._clock.monotonic()
        if answer is HeartbeatReply.CANCEL:
            held.cancelled = True
            self._stop(held)

    def _end(self, held: ActiveRun) -> None:
        if held.ended is not None and not held.lost:
            if held.untold:  # the last numbers, of a short run the only ones
                with suppress(BoardAwayError):  # a board that is away may still take the end in
                    self._board.beat(self.name, held.run_id, held.progress, ())
                held.untold = False
            self._board.end(self.name, held.run_id, held.ended)

    def _stop(self, held: ActiveRun) -> None:
        if held.stopping is None:
            held.stopping = self._clock.monotonic()
            held.child.stop()

    def _end_of(self, held: ActiveRun, code: int) -> Outcome:
        lines = list(held.lines)
        if held.report is None:
            said = held.child.last_words()
            if said:
                lines.append(LogLine(int(self._clock.now()), ERROR, quoted(said, LONGEST)))
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            stopped = held.stopping is not None and code < 0  # before it watched for signals, or it took too long
            status = CANCELLED if held.cancelled else Status.INTERRUPTED if stopped else Status.FAILED
            error = f"The process of the run ended without a report ({how}). What has landed is kept."
            return Outcome(status=status, error=None if held.cancelled else error, lines=lines)
        stopped = held.report.status is Status.INTERRUPTED
        status = CANCELLED if held.cancelled and stopped else str(held.report.status)
        return Outcome(status=status, report=held.report, error=held.report.error, lines=lines)


def _take_in(held: ActiveRun) -> None:
    """What a run has told since."""
    for message in held.child.messages():
        if message.progress is not None:
            held.progress, held.untold = message.progress, True
        held.report = message.report or held.report
        if message.line is not None:
            held.lines = [*held.lines, message.line][-MOST_LINES:]
