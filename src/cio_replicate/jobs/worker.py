"""The worker: claim runs, start a process for each, report progress, stop them, and report their outcome."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import msgspec

from cio_replicate.base.errors import Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import quoted
from cio_replicate.jobs.ports import (
    CANCELLED,
    SILENCE,
    HeartbeatReply,
    Job,
    JobQueue,
    Lease,
    Outcome,
    ProcessMessage,
)
from cio_replicate.pipeline.events import ERROR, LONGEST, LogLine, Progress
from cio_replicate.pipeline.report import Report, Status

# The process of a run: it gets its job by standard input, and its messages are read from standard output.

MOST_WAITING = 10_000  # messages of a process that wait to be read; more make it wait


class RunProcess(Protocol):
    """A run that was started. Nothing here waits."""

    def messages(self) -> list[ProcessMessage]:
        """Return the messages since the last call."""

    def exit_code(self) -> int | None:
        """Return the exit code; None while running or while unread messages remain."""

    def keep(self) -> None:
        """Send a sign of life; without one for long the run stops in order."""

    def stop(self) -> None:
        """Ask it to end in order: the page and the batch under way are finished first."""

    def kill(self) -> None:
        """End it at once."""

    def last_words(self) -> str:
        """Return the last lines of its standard error."""

    def close(self) -> None:
        """Close the pipes, once it has ended."""


class Launcher(Protocol):
    """Starts runs."""

    def start(self, job: Job) -> RunProcess:
        """Start one. Raises OSError when no process can be started."""


@dataclass(frozen=True, slots=True)
class ProcessStarter:
    """Starts each run as a process of its own, so that one that dies, or takes much memory, takes no other with it."""

    state_dir: Path
    silence: float = SILENCE

    def start(self, job: Job) -> RunProcess:
        """Start one."""
        return _Process(job, self.state_dir, self.silence)


class _Process:
    def __init__(self, job: Job, state_dir: Path, silence: float) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "cio_replicate.app.run_process", str(state_dir), str(silence)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C at a terminal is for whoever started it, who then stops it in order
            env=dict(os.environ),
        )
        self._received: queue.Queue[ProcessMessage] = queue.Queue(MOST_WAITING)
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._input = self._process.stdin
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):  # it died at once, which its exit code tells
            self._input.write(msgspec.json.encode(job) + b"\n")
            self._input.flush()

    def messages(self) -> list[ProcessMessage]:
        received: list[ProcessMessage] = []
        while len(received) < MOST_WAITING:
            try:
                received.append(self._received.get_nowait())
            except queue.Empty:
                break
        return received

    def exit_code(self) -> int | None:
        code = self._process.poll()
        return None if code is None or self._reader.is_alive() or not self._received.empty() else code

    def keep(self) -> None:
        with suppress(BrokenPipeError):  # it has ended
            self._input.write(b"\n")
            self._input.flush()

    def stop(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def last_words(self) -> str:
        self._errors.seek(0)
        last = deque(self._errors, maxlen=5)
        return b"".join(last).decode(errors="replace").strip()

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._input.close()
        self._errors.close()

    def _read(self, out: IO[bytes]) -> None:
        for line in out:
            try:
                self._received.put(msgspec.json.decode(line, type=ProcessMessage))
            except msgspec.MsgspecError:
                continue  # a library has printed something
        out.close()


log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two beats of a run
CLAIM = 1.0  # seconds between two looks for a run
PATIENCE = 120.0  # seconds that a run may take to end in order
MARGIN = 10.0  # seconds before the end of a lease at which a run that cannot be reported is stopped, a quarter at most
MOST_LINES = 2_000  # of a log, that wait for a queue that is away; then the oldest go


@dataclass
class ActiveRun:
    """A run that this worker holds. All moments are of the steady clock."""

    claim: Lease
    child: RunProcess
    beaten: float  # when the queue last heard of it
    tried: float  # when the queue was last called
    progress: Progress | None = None
    unsent: bool = False  # whether there is progress that the queue has not got
    lines: list[LogLine] = field(default_factory=list)
    report: Report | None = None
    stopping: float | None = None
    cancelled: bool = False
    lost: bool = False
    ended: Outcome | None = None  # still to be sent

    @property
    def run_id(self) -> str:
        """Of the run."""
        return self.claim.job.run_id


@dataclass
class Worker:
    """Holds up to `slots` runs at a time. `step` is to be called often, from one thread; it never waits long.

    A run whose lease cannot be renewed is stopped before it ends, and killed when it does, so that no other worker
    begins it meanwhile.
    """

    name: str
    jobs: JobQueue
    launcher: Launcher
    clock: Clock
    slots: int
    draining: bool = field(default=False, init=False)  # takes no further run
    _held: list[ActiveRun] = field(default_factory=list, init=False)
    _looked: float | None = field(default=None, init=False)

    @property
    def idle(self) -> bool:
        """Whether it holds no run."""
        return not self._held

    def step(self) -> None:
        """Read the messages of runs, report them to the queue, and begin what is due."""
        for held in list(self._held):
            self._tend(held)
        now = self.clock.monotonic()
        if self.draining or (self._looked is not None and now - self._looked < CLAIM):
            return
        self._looked = now
        while len(self._held) < self.slots and self._begin():
            pass

    def stop_all(self) -> None:
        """Ask every run to end in order, and begin no other; they are given back to the queue."""
        self.draining = True
        for held in self._held:
            self._stop(held)

    def _begin(self) -> bool:
        """Claim a run and start it; return whether there was one."""
        try:
            claim = self.jobs.claim(self.name)
        except Unavailable as error:
            log.warning("%s", error)
            return False
        if claim is None:
            return False
        try:
            child = self.launcher.start(claim.job)
        except OSError as error:
            said = f"No process could be started for the run ({error.strerror or type(error).__name__})."
            self._give_back(claim, Outcome(status=Status.FAILED, error=said))
            return False
        now = self.clock.monotonic()
        self._held.append(ActiveRun(claim, child, now, now))
        return True

    def _give_back(self, claim: Lease, end: Outcome) -> None:
        try:
            self.jobs.end(self.name, claim.job.run_id, end)
        except Unavailable as error:
            log.warning("%s", error)  # its lease runs out

    def _tend(self, held: ActiveRun) -> None:
        now = self.clock.monotonic()
        _take_in(held)
        if held.ended is None and (code := held.child.exit_code()) is not None:
            held.ended, held.tried = self._end_of(held, code), now - BEAT
        due = now - held.tried >= BEAT
        if held.ended is not None:
            sent = due and self._report(held, self._end)
            if sent or now - held.beaten >= held.claim.lease:
                if not sent:
                    log.error("%s: its end could not be told; it is handed out again.", held.claim.job.task_name)
                held.child.close()
                self._held.remove(held)
            return
        lease, unheard = held.claim.lease, now - held.beaten
        if (held.stopping is not None and now - held.stopping >= PATIENCE) or (held.lost and unheard >= lease):
            held.child.kill()
        if due:
            held.child.keep()
            self._report(held, self._beat)
        if now - held.beaten >= lease - min(MARGIN, lease / 4):
            held.lost = True
            self._stop(held)

    def _report(self, held: ActiveRun, call: Callable[[ActiveRun], None]) -> bool:
        """Call the queue; return whether it could be reached."""
        held.tried = self.clock.monotonic()
        try:
            call(held)
        except Unavailable as error:
            log.warning("%s: %s", held.claim.job.task_name, error)
            return False
        return True

    def _beat(self, held: ActiveRun) -> None:
        lines = list(held.lines)
        answer = self.jobs.heartbeat(self.name, held.run_id, held.progress, lines)
        held.lines, held.unsent = held.lines[len(lines) :], False
        if answer is HeartbeatReply.LOST:
            held.lost = True
            self._stop(held)
            return
        held.beaten = self.clock.monotonic()
        if answer is HeartbeatReply.CANCEL:
            held.cancelled = True
            self._stop(held)

    def _end(self, held: ActiveRun) -> None:
        if held.ended is None:
            return
        if held.lost:
            said = "%s: ended, %s, when it was no longer this worker's; it is handed out again."
            log.warning(said, held.claim.job.task_name, held.ended.status)
            return
        if held.unsent:  # the last numbers, of a short run the only ones
            with suppress(Unavailable):  # a queue that is away may still take the end in
                self.jobs.heartbeat(self.name, held.run_id, held.progress, ())
            held.unsent = False
        self.jobs.end(self.name, held.run_id, held.ended)

    def _stop(self, held: ActiveRun) -> None:
        if held.stopping is None:
            held.stopping = self.clock.monotonic()
            held.child.stop()

    def _end_of(self, held: ActiveRun, code: int) -> Outcome:
        lines, report = list(held.lines), held.report
        if report is not None:
            status, error = str(report.status), report.error
        else:
            words = held.child.last_words()
            if words:
                lines.append(LogLine(int(self.clock.now()), ERROR, quoted(words, LONGEST)))
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            stopped = held.stopping is not None and code < 0  # before it watched for signals, or it took too long
            status = str(Status.INTERRUPTED if stopped else Status.FAILED)
            error = f"The process of the run ended without a report ({how}). The downloaded rows are kept."
            error = None if held.cancelled else error
        if held.cancelled and (report is None or status == Status.INTERRUPTED):
            status = CANCELLED
        given_back = self.draining and status == Status.INTERRUPTED
        return Outcome(status=status, report=report, error=error, lines=lines, given_back=given_back)


def _take_in(held: ActiveRun) -> None:
    """Read the messages of a run."""
    for message in held.child.messages():
        if message.progress is not None:
            held.progress, held.unsent = message.progress, True
        held.report = message.report or held.report
        if message.line is not None:
            held.lines = [*held.lines, message.line][-MOST_LINES:]
