"""The console as a gateway sees it: signed requests by HTTPS, the queue behind them, and ends that wait on disk."""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import msgspec

from cio_replicate.base.errors import BoardAwayError, GatewayRefusedError, InvalidSettings, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted, quoted
from cio_replicate.base.version import __version__
from cio_replicate.config.connection_options import host_of
from cio_replicate.config.documents import ConnectionSettings, TaskSettings, decoded
from cio_replicate.gateway.identity import MemberKey
from cio_replicate.gateway.policy import GatewayPolicy, end_to_tell, lines_to_tell, progress_to_tell, require_allowed
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.gateway_protocol import MOST_BYTES, MOST_SKEW, ROOT, SCHEME, GatewayRefusal
from cio_replicate.jobs.ports import PROTOCOL, HeartbeatReply, Job, Lease, Outcome, RunAction
from cio_replicate.pipeline.events import WARNING, LogLine, Progress
from cio_replicate.pipeline.report import Status
from cio_replicate.source.client import RetryPolicy

log = logging.getLogger(__name__)

T = TypeVar("T", bound=msgspec.Struct)

# Requests: answered, refused, or known to have got nowhere.

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    @property
    def is_open(self) -> bool:
        """Whether a request would be tried now: false while a failure is too fresh."""
        return self._clock.monotonic() >= self._not_before

    def ask(self, path: str, message: msgspec.Struct, kind: type[T]) -> T:
        """The console's answer. Raises GatewayRefusedError with its refusal, BoardAwayError when it gives none.

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
        except BoardAwayError:
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

    def _refused(self, status: int, answer: bytes) -> BoardAwayError | GatewayRefusedError:
        try:
            refusal = msgspec.json.decode(answer, type=GatewayRefusal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return BoardAwayError(
                f"What answers at {self.url} is no console, or something stands before it ({status}).",
                "Check the address and what stands in between; it is tried again.",
            )
        if refusal.code == "away":
            return BoardAwayError(refusal.message, TRIED_AGAIN)
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


def _away(url: str, error: httpx2.HTTPError) -> BoardAwayError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return BoardAwayError(
            f"The certificate at {url} is not believed ({quoted(error)}).",
            "Name the private authority that vouches for it with --ca-file, and look at the address.",
        )
    return BoardAwayError(f"Nobody answers at {url} ({type(error).__name__}: {quoted(error)}).", TRIED_AGAIN)


def _read(response: httpx2.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_bytes():
        size += len(part)
        if size > MOST_BYTES:
            raise BoardAwayError("The console's answer is too long to be one.", TRIED_AGAIN)
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
            raise InvalidSettings(
                f"The file {ca_file} holds no certificates that can be used ({type(error).__name__}).",
                "Name a file in PEM format with --ca-file.",
            ) from None
        raise InvalidSettings(
            f"The network settings in the environment cannot be used ({type(error).__name__}: {quoted(error)}).",
            "Mend or unset HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from None


# Ends of runs that could not be told yet.


MOST_KEPT = 1_000  # files; of more the oldest go, whose leases have run out long ago


class Outbox:
    """A folder with a file for each end. A file that cannot be read is thrown away: its run's lease runs out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run_id: str, end: wire.EndRequest) -> None:
        """Keep the end of a run. What the disk does not take is lost, as the run's lease runs out."""
        with suppress(OSError):
            new = self._folder / f"{run_id}.new"
            new.write_bytes(msgspec.json.encode(end))
            new.replace(self._folder / f"{run_id}.json")
            for file in self._files()[:-MOST_KEPT]:
                file.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[str, wire.EndRequest]]:
        """What is kept, the oldest first."""
        for file in self._files():
            try:
                end = msgspec.json.decode(file.read_bytes(), type=wire.EndRequest)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                file.unlink(missing_ok=True)
                continue
            yield file.stem, end

    def take(self, run_id: str) -> None:
        """Forget an end: the console has it, or does not want it any more."""
        (self._folder / f"{run_id}.json").unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name))


# What the console asks for, read as strictly as a file of settings: nothing in it is passed over.


def job_of(document: msgspec.Raw) -> Job:
    """The job. Raises InvalidSettings for what this version does not know, and for what it must not be given."""
    fields = _fields(document)
    try:
        connection = decoded(fields.get("connection"), ConnectionSettings, "connection")
        task = decoded(fields.get("task"), TaskSettings, "task")
        action = msgspec.convert(fields.get("action", {}), RunAction)
        return Job(
            run_id=str(fields["run_id"]),
            task_id=str(fields["task_id"]),
            task_name=str(fields["task_name"]),
            connection=connection,
            task=task,
            action=action,
        )
    except Refused as error:
        raise _newer(error.cause) from None
    except (KeyError, msgspec.ValidationError):
        raise _newer("It lacks what a job must have.") from None


def connection_settings_of(document: msgspec.Raw) -> ConnectionSettings:
    """The settings of a connection that a question is about. Raises InvalidSettings as `job_of`."""
    try:
        return decoded(_fields(document), ConnectionSettings, "connection")
    except Refused as error:
        raise _newer(error.cause) from None


def _fields(document: msgspec.Raw) -> dict[str, Any]:  # Any: looked at by who calls this
    try:
        return msgspec.json.decode(document, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise _newer("It is no document.") from None


def _newer(cause: str) -> InvalidSettings:
    return InvalidSettings(
        f"This gateway (version {__version__}) does not understand what the console asks for. {cause}",
        "Bring both to the same version.",
    )


# The queue: claims, heartbeats and ends go out by the client, and wait while the console is away.


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
    """A `JobQueue`. While the console is away a run goes on for `alone` seconds, and what it tells is kept.

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

    def heartbeat(
        self, worker: str, run_id: str, progress: Progress | None, lines: Sequence[LogLine]
    ) -> HeartbeatReply:
        """Tell how a run goes on, with all that is kept of it."""
        kept = self._kept.get(run_id) or UnsentEvents(self._clock.monotonic())
        for line in lines[kept.again :]:
            log.info("%s: %s", run_id[:8], line.text)
        kept.again = 0
        kept.add(lines_to_tell(lines))
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            answer = self._heartbeat(worker, run_id, progress, kept)
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
        kept.add(told.lines)
        if self.is_refused():
            return HeartbeatReply.LOST
        try:
            if len(kept.lines) > AT_ONCE:
                self._heartbeat(worker, run_id, None, kept)
            request = wire.EndRequest(worker, msgspec.structs.replace(told, lines=kept.written()))
            return self._ask(wire.end_path(run_id), request, wire.HeartbeatResponse).answer
        except BoardAwayError:
            if self.is_refused():
                return HeartbeatReply.LOST
            told.lines = kept.written()[-AT_ONCE:]
            self._outbox.put(run_id, wire.EndRequest(worker, told))
            return HeartbeatReply.GO_ON

    def _heartbeat(self, worker: str, run_id: str, progress: Progress | None, kept: UnsentEvents) -> HeartbeatReply:
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
