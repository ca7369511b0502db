"""The gateway agent: enrolment, health file, answers to probes, and the loop that executes runs."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import tenacity

from cio_replicate.app.probe import inquire
from cio_replicate.app.settings import connection_of
from cio_replicate.base.errors import CioReplicateError, Defect, GatewayRefusedError, StateFolderError, Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted
from cio_replicate.base.version import __version__
from cio_replicate.gateway.gateway_client import GatewayClient, Outbox, RemoteQueue, connection_settings_of
from cio_replicate.gateway.identity import Enrolment, GatewayFolder, MemberKey, new_key, read_key
from cio_replicate.gateway.policy import GatewayPolicy, outbound, require_allowed
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.gateway_protocol import STANDING, MemberStatus, StatusRequest
from cio_replicate.jobs.ports import PROTOCOL, ProbeRequest, ProbeResult, refused
from cio_replicate.jobs.worker import ProcessStarter, Worker

# The health file: the gateway writes it every few seconds, and the status command and health checks read it.

HEALTH_FILE = "health.json"
EVERY = 5.0  # seconds between two notes
FRESH = 60.0  # seconds after which a note is too old to say anything
AWAY = 120.0  # seconds without a word of the console after which the gateway counts as cut off


class GatewayHealth(msgspec.Struct, kw_only=True):
    """A note. Moments are unix seconds; `heard_at` is when the console last answered."""

    at: int
    pid: int
    version: str
    console: str
    gateway: str
    member: str
    started_at: int
    heard_at: int | None = None
    running: int = 0
    untold: int = 0  # ends of runs that the console does not have yet
    trouble: str = ""


def note(folder: Path, health: GatewayHealth) -> None:
    """Write a note. A full disk is no reason to stop a run."""
    with suppress(OSError):
        new = folder / f"{HEALTH_FILE}.new"
        new.write_bytes(msgspec.json.encode(health))
        new.replace(folder / HEALTH_FILE)


def noted(folder: Path) -> GatewayHealth | None:
    """The last note, if there is one that can be read."""
    try:
        return msgspec.json.decode((folder / HEALTH_FILE).read_bytes(), type=GatewayHealth)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def trouble_of(health: GatewayHealth | None, now: float, *, running: bool) -> str | None:
    """What is wrong, in a sentence; None when the gateway runs and the console answers it."""
    if not running or health is None:
        return "The gateway is not running."
    if now - health.at > FRESH:
        return f"The gateway has not noted anything for {now - health.at:.0f} seconds."
    if health.trouble:
        return health.trouble
    if health.heard_at is None:
        return "The console has not answered yet."
    if now - health.heard_at > AWAY:
        return f"The console has not answered for {now - health.heard_at:.0f} seconds."
    return None


# Answers what the console asks about connections besides runs: whether a key works, what the tables hold and cost.

PAUSE = 3.0  # seconds between two looks for a question


@dataclass(frozen=True, slots=True)
class ProbeRunner:
    """Asks for questions and answers them, one at a time. `step` takes as long as a question does."""

    name: str
    link: GatewayClient
    clock: Clock
    allowed: GatewayPolicy = field(default_factory=GatewayPolicy)

    def step(self) -> bool:
        """Answer a question, if there is one; whether there was. Raises nothing: what fails is asked again."""
        if not self.link.is_open:
            return False
        try:
            asked = self.link.ask(wire.INQUIRY, wire.ProbeRequestBody(self.name), wire.ProbeAnswer)
            if asked.id is None:
                return False
            found = outbound(self._found(asked))
            self.link.ask(f"inquiries/{asked.id}", wire.ProbeResultBody(self.name, found), wire.Acknowledged)
        except (Unavailable, GatewayRefusedError) as error:
            log.debug("%s", error)  # the queue tells the same
            return False
        return True

    def work(self, stop: threading.Event) -> None:
        """Answer questions until it is told to stop."""
        while not stop.wait(PAUSE):
            while not stop.is_set() and self.step():
                pass

    def _found(self, asked: wire.ProbeAnswer) -> ProbeResult:
        try:
            settings = connection_settings_of(asked.connection)
            require_allowed(settings, (), self.allowed)
            connection = connection_of(settings, self.clock, settings.start_date)
            found = asyncio.run(inquire(connection, ProbeRequest(asked.about), self.clock))
        except CioReplicateError as error:
            log.info("A question about a connection: %s", error)
            return refused(error)
        except ValueError:
            return ProbeResult(
                cause="This gateway does not know the question.", fix="Bring it to the console's version."
            )
        except Exception as error:  # noqa: BLE001 - a question must not end whoever answers the next ones
            return ProbeResult(cause=str(Defect.of(error)), fix="Look at the gateway's own log.")
        log.info("A question about a connection (%s): answered with %d requests.", asked.about, found.requests)
        return found


log = logging.getLogger(__name__)

STEP = 0.2  # seconds between two steps of the worker
IDLE = 3.0  # seconds between two questions for a run, where there was none


@dataclass
class Agent:
    """Serves under a gateway's name, with the folder and the enrolment of this machine.

    Executes so many runs at a time (`slots`). A run goes on for `alone` seconds while the console is away.
    """

    folder: GatewayFolder
    enrolment: Enrolment
    clock: Clock
    slots: int
    alone: float
    allowed: GatewayPolicy = field(default_factory=GatewayPolicy)
    # the name and the start are others after each start, as are the runs it holds
    _name: str = field(default_factory=lambda: f"{os.getpid()}-{secrets.token_hex(4)}", init=False)
    _started: int = field(default=0, init=False)
    _noted: float | None = field(default=None, init=False)

    def serve(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so; then every run ends its page and batch in order and is given back.

        Raises GatewayRefusedError when the console shuts this machine out, once its runs have ended.
        """
        self._started = int(self.clock.now())
        with self._linked() as link, self._linked() as second:
            self._greet(link)
            outbox = Outbox(self.folder.outbox)
            queue = RemoteQueue(link, outbox, self.clock, self.alone, idle=IDLE, allowed=self.allowed)
            worker = Worker(self._name, queue, ProcessStarter(self.folder.tasks), self.clock, self.slots)
            done = threading.Event()
            probes = ProbeRunner(self._name, second, self.clock, self.allowed)
            answering = threading.Thread(target=probes.work, args=(done,), daemon=True)
            answering.start()
            try:
                self._work(worker, queue, stop)
            finally:
                done.set()
            answering.join(timeout=1.0)
            if queue.refusal is not None:
                raise queue.refusal

    def _work(self, worker: Worker, queue: RemoteQueue, stop: Callable[[], bool]) -> None:
        pause = threading.Event()
        while not (worker.draining and worker.idle):
            if not worker.draining and (stop() or queue.is_refused()):
                if not worker.idle:
                    log.info("Stopping: each run finishes its page and its batch first.")
                worker.stop_all()
            else:
                worker.step()
                self._note(queue)
                pause.wait(STEP)

    def _linked(self) -> GatewayClient:
        ca_file = Path(self.enrolment.ca_file) if self.enrolment.ca_file is not None else None
        key = read_key(self.folder.path)
        return GatewayClient(self.enrolment.console, key, self.enrolment.member, self.clock, ca_file=ca_file)

    def _greet(self, link: GatewayClient) -> None:
        """Say who is there. A console that is away is waited for; one that refuses this machine ends it."""
        try:
            standing = link.ask(STANDING, StatusRequest(), MemberStatus)
        except Unavailable as error:
            log.warning("%s", error)
            return
        log.info(
            "Serving as the gateway %s for %s (version here %s, there %s), %s at a time.",
            standing.gateway,
            self.enrolment.console,
            __version__,
            standing.console_version,
            counted(self.slots, "run"),
        )

    def _note(self, queue: RemoteQueue) -> None:
        steady, now, heard = self.clock.monotonic(), self.clock.now(), queue.link.heard
        if self._noted is not None and steady - self._noted < EVERY:
            return
        self._noted = steady
        note(
            self.folder.path,
            GatewayHealth(
                at=int(now),
                pid=os.getpid(),
                version=__version__,
                console=self.enrolment.console,
                gateway=self.enrolment.gateway,
                member=self.enrolment.member,
                started_at=self._started,
                heard_at=int(now - (steady - heard)) if heard is not None else None,
                running=queue.holding,
                untold=sum(1 for _ in queue.outbox.waiting()),
            ),
        )


# Enrolment: a key pair is made on this machine, and its public half goes to the console with a one-time code.

ATTEMPTS = 4


def enrol(
    folder: GatewayFolder,
    console: str,
    code: str,
    clock: Clock,
    *,
    ca_file: Path | None = None,
    pause: Callable[[float], None],
) -> Enrolment:
    """Enrol this machine and remember it. Raises GatewayRefusedError for a code that does not count, Unavailable.

    The key is stored before it is sent: when the answer is lost, the same command asks again, as the same.
    """
    key = _own_key(folder)
    wish = wire.EnrolRequest(code.strip(), platform.node() or "unnamed", key.public, __version__, PROTOCOL)
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unavailable),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
        sleep=pause,
        reraise=True,
    )
    with GatewayClient(console, key, key.thumbprint, clock, ca_file=ca_file) as link:
        enrolled = again(link.ask, wire.ENROL, wish, wire.Enrolled)
    identity = Enrolment(
        console=console,
        gateway=enrolled.gateway,
        member=enrolled.member,
        ca_file=str(ca_file.absolute()) if ca_file is not None else None,
    )
    folder.remember(identity)
    return identity


def _own_key(folder: GatewayFolder) -> MemberKey:
    try:
        return read_key(folder.path)
    except StateFolderError:  # none yet, or one that is worth nothing
        key = new_key()
        key.write(folder.path)
        return key
