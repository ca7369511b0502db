"""The console's board as a gateway sees it: claims, beats and ends go out by the link, and wait while it is away."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from cio_replicate.base.errors import BoardAwayError, GatewayRefusedError, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted
from cio_replicate.base.version import __version__
from cio_replicate.gateway.job import job_of
from cio_replicate.gateway.link import GatewayClient
from cio_replicate.gateway.outbox import Outbox
from cio_replicate.gateway.policy import GatewayPolicy, end_to_tell, lines_to_tell, progress_to_tell, require_allowed
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.ports import PROTOCOL, HeartbeatReply, Lease, Outcome
from cio_replicate.pipeline.events import WARNING, LogLine, Progress
from cio_replicate.pipeline.report import Status

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

MOST_LINES = 2_000  # of a run's log, that wait for a console that is away; then the oldest go
AT_ONCE = 300  # lines in one request
#: Refusals after which nothing this machine says will be taken: it has to be set right by somebody.
FINAL = ("revoked", "unknown", "protocol")


@dataclass
class UnsentEvents:
    """What the console has not heard yet of a run. `heard` is when it last answered, on the steady clock."""

    heard: float
    lines: list[LogLine] = field(default_factory=list)
    left_out: int = 0
    again: int = 0  # how many of the next lines were told here before

    def add(self, lines: Sequence[LogLine]) -> None:
        """Keep lines; of too many, the newest."""
        self.lines.extend(lines)
        self.left_out += max(0, len(self.lines) - MOST_LINES)
        self.lines = self.lines[-MOST_LINES:]

    def forget(self, count: int) -> None:
        """The newest lines are kept by who told them, and come again."""
        self.again = count
        self.lines = self.lines[: max(0, len(self.lines) - count)]

    def written(self) -> list[LogLine]:
        """The lines, and before them what is missing."""
        if not self.left_out or not self.lines:
            return self.lines
        said = f"The console was away for long: {counted(self.left_out, 'line')} of the log were left out here."
        return [LogLine(self.lines[0].at, WARNING, said), *self.lines]

    def told(self, count: int) -> None:
        """So many of what was written are with the console now."""
        if self.left_out and count:
            self.left_out, count = 0, count - 1
        self.lines = self.lines[count:]


class RemoteQueue:
    """A Board. While the console is away a run goes on for `alone` seconds, and what it tells is kept.

    One that had nothing to do is asked again after `idle` seconds.

    Nothing that others said leaves this machine: see `leaving`. When the console refuses this machine for good,
    `refusal` says why; every run is then lost, and nothing more is claimed.
    """

    def __init__(
        self,
        link: GatewayClient,
        outbox: Outbox,
        clock: Clock,
        alone: float,
        *,
        idle: float = 0.0,
        allowed: GatewayPolicy | None = None,
    ) -> None:
        self.refusal: GatewayRefusedError | None = None
        self.draining = False  # this machine is being stopped: runs that it interrupts are given back
        self._link = link
        self._outbox = outbox
        self._clock = clock
        self._alone = alone
        self._allowed = allowed or GatewayPolicy()
        self._idle = idle
        self._nothing: float | None = None  # when the console last had no run
        self._kept: dict[str, UnsentEvents] = {}

    def is_refused(self) -> bool:
        """Whether the console takes nothing from this machine any more."""
        return self.refusal is not None

    @property
    def holding(self) -> int:
        """How many runs this machine has."""
        return len(self._kept)

    def claim(self, worker: str) -> Lease | None:
        """The next run for this machine. What still has to be told is told first."""
        now = self._clock.monotonic()
        recently = self._nothing is not None and now - self._nothing < self._idle
        if self.is_refused() or not self._link.is_open or recently:
            return None
        self._deliver()
        answer = self._ask(wire.CLAIM, wire.ClaimRequest(worker, __version__, PROTOCOL), wire.ClaimAnswer)
        self._nothing = now if answer.run_id is None else None
        if answer.run_id is None:
            return None
        self._kept[answer.run_id] = UnsentEvents(self._clock.monotonic())
        try:
            job = job_of(answer.job)
            require_allowed(job.connection, job.task.to, self._allowed)
            return Lease(job, answer.lease)
        except Refused as error:
            self.end(worker, answer.run_id, Outcome(status=Status.REFUSED, error=str(error)))
            return None

    def beat(self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]) -> HeartbeatReply:
        """Tell how a run goes on, with all that is kept of it."""
        kept = self._kept.get(run_id) or UnsentEvents(self._clock.monotonic())
        for line in lines[kept.again :]:
            log.info("%s: %s", run_id[:8], line.text)
        kept.again = 0
        kept.add(lines_to_tell(lines))
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            answer = self._beat(worker, run_id, progress, kept)
        except BoardAwayError:
            if self.is_refused():
                return HeartbeatReply.LOST
            if self._clock.monotonic() - kept.heard < self._alone:
                return HeartbeatReply.GO_ON
            kept.forget(len(lines))
            raise
        kept.heard = self._clock.monotonic()
        if answer is HeartbeatReply.LOST:
            self._kept.pop(run_id, None)
        return answer

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Tell how a run ended; what cannot be told now is kept on disk, and told before anything is claimed again."""
        kept = self._kept.pop(run_id, UnsentEvents(0.0))
        for line in end.lines[kept.again :]:
            log.info("%s: %s", run_id[:8], line.text)
        log.info("%s: ended, %s%s", run_id[:8], end.status, f": {end.error}" if end.error else "")
        told = end_to_tell(end)
        given_back = self.draining and told.status == Status.INTERRUPTED
        kept.add(told.lines)
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            if len(kept.lines) > AT_ONCE:
                self._beat(worker, run_id, None, kept)
            request = wire.EndRequest(worker, msgspec.structs.replace(told, lines=kept.written()), given_back)
            return self._ask(wire.end_path(run_id), request, wire.HeartbeatResponse).answer
        except BoardAwayError:
            if self.is_refused():
                return HeartbeatReply.LOST
            told.lines = kept.written()[-AT_ONCE:]
            self._outbox.put(run_id, wire.EndRequest(worker, told, given_back))
            return HeartbeatReply.GO_ON

    def _beat(self, worker: str, run_id: str, progress: Progress | None, kept: UnsentEvents) -> HeartbeatReply:
        while True:
            lines = kept.written()[:AT_ONCE]
            beat = wire.HeartbeatRequest(worker, progress_to_tell(progress), tuple(lines))
            answer = self._ask(wire.beat_path(run_id), beat, wire.HeartbeatResponse).answer
            kept.told(len(lines))
            if not kept.lines or answer is HeartbeatReply.LOST:
                return answer

    def _ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """The console's answer; every way in which there is none is BoardAwayError, and a final one is noted."""
        if not self._link.is_open:
            raise BoardAwayError("The console was away a moment ago.")
        try:
            return self._link.ask(path, message, kind)
        except GatewayRefusedError as error:
            raise self._refused(error) from None

    def _refused(self, error: GatewayRefusedError) -> BoardAwayError:
        """What a refusal is to a worker; a final one is noted."""
        if error.code in FINAL:
            self.refusal = error
            log.error("%s", error)
        return BoardAwayError(error.cause, error.fix)

    def _deliver(self) -> None:
        for run_id, end in self._outbox.waiting():
            try:
                self._link.ask(wire.end_path(run_id), end, wire.HeartbeatResponse)
            except GatewayRefusedError as error:
                if error.code != "request":
                    raise self._refused(error) from None
                log.warning("%s: its end cannot be told, so its lease runs out. %s", run_id[:8], error)
            self._outbox.take(run_id)
