"""The gateway client: signed HTTPS requests to the console, the queue behind them, and outcomes that wait on disk."""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
import msgspec

from cio_replicate.base.errors import GatewayRefusedError, InvalidSettings, Refused, Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted, quoted
from cio_replicate.base.version import __version__
from cio_replicate.config.connection_options import host_of
from cio_replicate.config.documents import ConnectionSettings, TaskSettings, decoded
from cio_replicate.gateway.identity import MemberKey
from cio_replicate.gateway.policy import GatewayPolicy, outbound, outbound_outcome, require_allowed
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.gateway_protocol import MOST_BYTES, MOST_SKEW, ROOT, SCHEME, GatewayRefusal
from cio_replicate.jobs.ports import PROTOCOL, HeartbeatReply, Job, Lease, Outcome, RunAction
from cio_replicate.pipeline.events import WARNING, LogLine, Progress
from cio_replicate.pipeline.report import Status
from cio_replicate.source.client import RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

TIMEOUT = httpx2.Timeout(20.0, connect=5.0)
PAUSES = RetryPolicy(first_wait=1.0, longest_wait=60.0)
TRIED_AGAIN = "Nothing is lost: it is tried again."


class GatewayClient:
    """Requests of one machine to one console. Use as a context manager, from one thread.

    Nothing listens: the machine only calls. Redirects are not followed. After a failure, further ones wait longer and
    longer before they are tried, by chance not at the same time as others.
    """

    def __init__(
        self,
        url: str,
        key: MemberKey,
        issuer: str,
        clock: Clock,
        *,
        ca_file: Path | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self.heard: float | None = None  # when the console last answered, on the steady clock
        self.skew = 0  # seconds by which the console's clock is ahead of this machine's
        self._key = key
        self._issuer = issuer
        self._clock = clock
        self._failures = 0
        self._not_before = clock.monotonic()
        self._random = random.Random()  # noqa: S311 - spreads waits, guards nothing
        self._http = _client(url, ca_file, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def is_open(self) -> bool:
        """Whether a request would be tried now: false while a failure is too fresh."""
        return self._clock.monotonic() >= self._not_before

    def ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """The console's answer. Raises GatewayRefusedError with its refusal, Unavailable when it gives none.

        A clock that is off by minutes is allowed for, once the console has said so.
        """
        body = wire.encoded(message)
        try:
            try:
                answer = self._send(path, body)
            except GatewayRefusedError as error:
                if error.code != "clock" or not self._allowed_for():
                    raise
                answer = self._send(path, body)
        except Unavailable:
            self._failures += 1
            self._not_before = self._clock.monotonic() + PAUSES.wait(self._failures, None, self._random)
            raise
        self._failures = 0
        return wire.decoded(answer, kind)

    def _send(self, path: str, body: bytes) -> bytes:
        token = self._key.sign(self._issuer, host_of(self.url), path, body, self._clock.now() + self.skew)
        headers = {"Authorization": f"{SCHEME} {token}", "Content-Type": "application/json"}
        try:
            with self._http.stream("POST", f"{self.url}{ROOT}{path}", content=body, headers=headers) as response:
                answer = _read(response)
        except httpx2.HTTPError as error:
            raise _away(self.url, error) from None
        if response.status_code == httpx2.codes.OK and response.headers.get("content-type", "").startswith(
            "application/json"
        ):
            self.heard = self._clock.monotonic()
            return answer
        raise self._refused(response.status_code, answer)

    def _refused(self, status: int, answer: bytes) -> Unavailable | GatewayRefusedError:
        try:
            refusal = msgspec.json.decode(answer, type=GatewayRefusal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return Unavailable(
                f"What answers at {self.url} is no console, or something stands before it ({status}).",
                "Check the address and what stands in between; it is tried again.",
            )
        if refusal.code == "away":
            return Unavailable(refusal.message, TRIED_AGAIN)
        self.heard = self._clock.monotonic()
        if refusal.code == "clock":
            self.skew = round(refusal.now - self._clock.now())
        return GatewayRefusedError(refusal.message, refusal.fix, code=refusal.code)

    def _allowed_for(self) -> bool:
        """Whether the clocks differ by no more than is allowed for."""
        if abs(self.skew) > MOST_SKEW:
            self.skew = 0
            return False
        said = f"{abs(self.skew)} seconds {'behind' if self.skew > 0 else 'ahead of'}"
        log.warning("The clock of this machine is %s the console's, which is allowed for. Set both by NTP.", said)
        return True


def _away(url: str, error: httpx2.HTTPError) -> Unavailable:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Unavailable(
            f"The certificate at {url} is not believed ({quoted(error)}).",
            "Name the private authority that vouches for it with --ca-file, and look at the address.",
        )
    return Unavailable(f"Nobody answers at {url} ({type(error).__name__}: {quoted(error)}).", TRIED_AGAIN)


def _read(response: httpx2.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MOST_BYTES:
            raise Unavailable("The console's answer is too long to be one.", TRIED_AGAIN)
        parts.append(part)
    return b"".join(parts)


def _client(url: str, ca_file: Path | None, transport: httpx2.BaseTransport | None) -> httpx2.Client:
    try:
        return httpx2.Client(
            timeout=TIMEOUT,
            headers={"User-Agent": f"cio-replicate/{__version__}"},
            follow_redirects=False,
            transport=transport,
            verify=True if ca_file is None else ssl.create_default_context(cafile=str(ca_file)),
            # unprotected is for this machine only, so no proxy may see it; for all else the company's proxy counts
            trust_env=url.startswith("https:"),
        )
    except (ImportError, OSError, ValueError) as error:
        if ca_file is not None:
            cause = f"The file {ca_file} holds no certificates that can be used ({type(error).__name__})."
            raise InvalidSettings(cause, "Name a file in PEM format with --ca-file.") from None
        raise InvalidSettings(
            f"The network settings in the environment cannot be used ({type(error).__name__}: {quoted(error)}).",
            "Mend or unset HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None


# Outcomes of runs that could not be sent yet.

MOST_FILES = 1_000  # of more the oldest go, whose leases have run out long ago


@dataclass(frozen=True, slots=True)
class Outbox:
    """A folder with a file for each outcome. One that cannot be read is thrown away: its run's lease runs out."""

    folder: Path

    def put(self, run_id: str, end: wire.EndRequest) -> None:
        """Store the outcome of a run. What the disk does not take is lost, as the run's lease runs out."""
        with suppress(OSError):
            new = self.folder / f"{run_id}.new"
            new.write_bytes(msgspec.json.encode(end))
            new.replace(self.folder / f"{run_id}.json")
            for file in self._files()[:-MOST_FILES]:
                file.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[str, wire.EndRequest]]:
        """Yield what is stored, the oldest first."""
        for file in self._files():
            try:
                end = msgspec.json.decode(file.read_bytes(), type=wire.EndRequest)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                file.unlink(missing_ok=True)
                continue
            yield file.stem, end

    def take(self, run_id: str) -> None:
        """Delete an outcome: the console has it, or does not want it any more."""
        (self.folder / f"{run_id}.json").unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name))


# What the console asks for, read as strictly as a file of settings: nothing in it is passed over.


def job_of(document: msgspec.Raw) -> Job:
    """Decode a job. Raises InvalidSettings for what this version does not know, and for what it must not be given."""
    try:
        fields = _fields(document)
        return Job(
            run_id=str(fields["run_id"]),
            task_id=str(fields["task_id"]),
            task_name=str(fields["task_name"]),
            connection=decoded(fields.get("connection"), ConnectionSettings, "connection"),
            task=decoded(fields.get("task"), TaskSettings, "task"),
            action=msgspec.convert(fields.get("action", {}), RunAction),
        )
    except Refused as error:
        raise _newer(error.cause) from None
    except (KeyError, msgspec.ValidationError):
        raise _newer("It lacks what a job must have.") from None


def connection_settings_of(document: msgspec.Raw) -> ConnectionSettings:
    """Decode the settings of a connection that is probed. Raises InvalidSettings as `job_of`."""
    try:
        return decoded(_fields(document), ConnectionSettings, "connection")
    except Refused as error:
        raise _newer(error.cause) from None


def _fields(document: msgspec.Raw) -> dict[str, Any]:  # Any: looked at by who calls this
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise InvalidSettings("It is no document.") from None


def _newer(cause: str) -> InvalidSettings:
    return InvalidSettings(
        f"This gateway (version {__version__}) does not understand what the console asks for. {cause}",
        "Bring both to the same version.",
    )


# The queue: claims, heartbeats and outcomes go out by the client, and wait while the console is away.

MOST_LINES = 2_000  # of a run's log, that wait for a console that is away; then the oldest go
AT_ONCE = 300  # lines in one request
#: Refusals after which nothing this machine says will be taken: somebody has to fix it first.
FINAL = ("revoked", "unknown", "protocol")


@dataclass
class UnsentEvents:
    """What the console has not got yet of a run. `heard` is when it last answered, on the steady clock."""

    heard: float
    lines: list[LogLine] = field(default_factory=list)
    left_out: int = 0
    repeated: int = 0  # how many of the next lines were handed over here before

    def add(self, run_id: str, lines: Sequence[LogLine]) -> None:
        """Log lines of a run here, and hold them for the console; of too many, the newest."""
        for line in lines[self.repeated :]:
            log.info("%s: %s", run_id[:8], line.text)
        self.repeated = 0
        self.lines.extend(map(outbound, lines))
        self.left_out += max(0, len(self.lines) - MOST_LINES)
        self.lines = self.lines[-MOST_LINES:]

    def forget(self, count: int) -> None:
        """Drop the newest lines: the worker still has them, and hands them over again."""
        self.repeated = count
        self.lines = self.lines[: max(0, len(self.lines) - count)]

    def written(self) -> list[LogLine]:
        """Return the lines, and before them how many are missing."""
        if not self.left_out or not self.lines:
            return self.lines
        text = f"The console was away for long: {counted(self.left_out, 'line')} of the log were left out here."
        return [LogLine(self.lines[0].at, WARNING, text), *self.lines]

    def sent(self, count: int) -> None:
        """Drop so many of what was written: the console has them."""
        if self.left_out and count:
            self.left_out, count = 0, count - 1
        self.lines = self.lines[count:]


@dataclass
class RemoteQueue:
    """A `JobQueue`. While the console is away a run goes on for `alone` seconds, and what it reports waits here.

    A console that had nothing to do is asked again after `idle` seconds. Nothing that others said leaves this machine:
    see `policy.outbound`. When the console refuses this machine for good, `refusal` says why; every run is then lost,
    and nothing more is claimed.
    """

    link: GatewayClient
    outbox: Outbox
    clock: Clock
    alone: float
    idle: float = 0.0
    allowed: GatewayPolicy = field(default_factory=GatewayPolicy)
    refusal: GatewayRefusedError | None = field(default=None, init=False)
    _nothing: float | None = field(default=None, init=False)  # when the console last had no run
    _unsent: dict[str, UnsentEvents] = field(default_factory=dict, init=False)

    def is_refused(self) -> bool:
        """Return whether the console takes nothing from this machine any more."""
        return self.refusal is not None

    @property
    def holding(self) -> int:
        """How many runs this machine has."""
        return len(self._unsent)

    def claim(self, worker: str) -> Lease | None:
        """Return the next run for this machine. Outcomes that wait are sent first."""
        now = self.clock.monotonic()
        recently = self._nothing is not None and now - self._nothing < self.idle
        if self.is_refused() or not self.link.is_open or recently:
            return None
        for run_id, end in self.outbox.waiting():
            self._deliver(run_id, end)
        answer = self._ask(wire.CLAIM, wire.ClaimRequest(worker, __version__, PROTOCOL), wire.ClaimAnswer)
        self._nothing = now if answer.run_id is None else None
        if answer.run_id is None:
            return None
        self._unsent[answer.run_id] = UnsentEvents(self.clock.monotonic())
        try:
            job = job_of(answer.job)
            require_allowed(job.connection, job.task.to, self.allowed)
            return Lease(job, answer.lease)
        except Refused as error:
            self.end(worker, answer.run_id, Outcome(status=Status.REFUSED, error=str(error)))
            return None

    def heartbeat(
        self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]
    ) -> HeartbeatReply:
        """Send the progress of a run and all lines that wait, and extend its lease."""
        unsent = self._unsent.get(run_id) or UnsentEvents(self.clock.monotonic())
        unsent.add(run_id, lines)
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            answer = self._heartbeat(worker, run_id, progress, unsent)
        except Unavailable:
            if self.is_refused():
                return HeartbeatReply.LOST
            if self.clock.monotonic() - unsent.heard < self.alone:
                return HeartbeatReply.GO_ON
            unsent.forget(len(lines))
            raise
        unsent.heard = self.clock.monotonic()
        if answer is HeartbeatReply.LOST:
            self._unsent.pop(run_id, None)
        return answer

    def end(self, worker: str, run_id: str, end: Outcome) -> HeartbeatReply:
        """Send the outcome of a run; one that cannot be sent now waits on disk, and is sent before the next claim."""
        unsent = self._unsent.pop(run_id, UnsentEvents(0.0))
        unsent.add(run_id, end.lines)
        log.info("%s: ended, %s%s", run_id[:8], end.status, f": {end.error}" if end.error else "")
        sent = outbound_outcome(end)
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            if len(unsent.lines) > AT_ONCE:
                self._heartbeat(worker, run_id, None, unsent)
            request = wire.EndRequest(worker, msgspec.structs.replace(sent, lines=unsent.written()))
            return self._ask(f"runs/{run_id}/end", request, wire.HeartbeatResponse).answer
        except Unavailable:
            if self.is_refused():
                return HeartbeatReply.LOST
            sent.lines = unsent.written()[-AT_ONCE:]
            self.outbox.put(run_id, wire.EndRequest(worker, sent))
            return HeartbeatReply.GO_ON

    def _heartbeat(self, worker: str, run_id: str, progress: Progress | None, unsent: UnsentEvents) -> HeartbeatReply:
        progress = None if progress is None else outbound(progress)
        while True:
            lines = unsent.written()[:AT_ONCE]
            beat = wire.HeartbeatRequest(worker, progress, tuple(lines))
            answer = self._ask(f"runs/{run_id}/beat", beat, wire.HeartbeatResponse).answer
            unsent.sent(len(lines))
            if not unsent.lines or answer is HeartbeatReply.LOST:
                return answer

    def _ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """Return the console's answer. Every way in which there is none is Unavailable; a final refusal is noted."""
        if not self.link.is_open:
            raise Unavailable("The console was away a moment ago.")
        try:
            return self.link.ask(path, message, kind)
        except GatewayRefusedError as error:
            raise self._refused(error) from None

    def _refused(self, error: GatewayRefusedError) -> Unavailable:
        if error.code in FINAL:
            self.refusal = error
            log.error("%s", error)
        return Unavailable(error.cause, error.fix)

    def _deliver(self, run_id: str, end: wire.EndRequest) -> None:
        try:
            self.link.ask(f"runs/{run_id}/end", end, wire.HeartbeatResponse)
        except GatewayRefusedError as error:
            if error.code != "request":
                raise self._refused(error) from None
            log.warning("%s: its end cannot be told, so its lease runs out. %s", run_id[:8], error)
        self.outbox.take(run_id)
