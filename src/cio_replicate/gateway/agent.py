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
from dataclasses import dataclass
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

# How a gateway is: written by itself every few seconds, read by whoever wants to know whether it lives.


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


class ProbeRunner:
    """Asks for questions and answers them, one at a time. `step` takes as long as a question does."""

    def __init__(self, name: str, link: GatewayClient, clock: Clock, allowed: GatewayPolicy | None = None) -> None:
        self._name = name
        self._link = link
        self._clock = clock
        self._allowed = allowed or GatewayPolicy()

    def step(self) -> bool:
        """Answer a question, if there is one; whether there was. Raises nothing: what fails is asked again."""
        if not self._link.is_open:
            return False
        try:
            asked = self._link.ask(wire.INQUIRY, wire.ProbeRequestBody(self._name), wire.ProbeAnswer)
            if asked.id is None:
                return False
            found = outbound(self._found(asked))
            self._link.ask(wire.found_path(asked.id), wire.ProbeResultBody(self._name, found), wire.Acknowledged)
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
            require_allowed(settings, (), self._allowed)
            connection = connection_of(settings, self._clock, settings.start_date)
            found = asyncio.run(inquire(connection, ProbeRequest(asked.about), self._clock))
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


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """How many runs at a time, for how many seconds a run goes on while the console is away, and what may be asked."""

    slots: int
    alone: float
    allowed: GatewayPolicy = GatewayPolicy()  # noqa: RUF009 - a constant


class Agent:
    """Serves under a gateway's name, with the folder and the identity of this machine."""

    def __init__(self, folder: GatewayFolder, identity: Enrolment, limits: AgentLimits, clock: Clock) -> None:
        self._folder = folder
        self._identity = identity
        self._limits = limits
        self._clock = clock
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"  # another one after each start, as are the runs it holds
        self._started = int(clock.now())
        self._noted: float | None = None

    def serve(self, stop: Callable[[], bool]) -> None:
        """Work until `stop` says so; then every run ends its page and batch in order and is given back.

        Raises GatewayRefusedError when the console shuts this machine out, once its runs have ended.
        """
        with self._linked() as link, self._linked() as second:
            self._greet(link)
            outbox = Outbox(self._folder.outbox)
            limits = self._limits
            queue = RemoteQueue(link, outbox, self._clock, limits.alone, idle=IDLE, allowed=limits.allowed)
            worker = Worker(self._name, queue, ProcessStarter(self._folder.tasks), self._clock, self._limits.slots)
            done = threading.Event()
            inquirer = ProbeRunner(self._name, second, self._clock, limits.allowed)
            answering = threading.Thread(target=inquirer.work, args=(done,), daemon=True)
            answering.start()
            try:
                self._work(worker, queue, link, outbox, stop)
            finally:
                done.set()
            answering.join(timeout=1.0)
            if queue.refusal is not None:
                raise queue.refusal

    def _work(
        self, worker: Worker, queue: RemoteQueue, link: GatewayClient, outbox: Outbox, stop: Callable[[], bool]
    ) -> None:
        pause = threading.Event()
        while not (stop() or queue.is_refused()):
            worker.step()
            self._note(queue, link, outbox)
            pause.wait(STEP)
        if not worker.idle:
            log.info("Stopping: each run finishes its page and its batch first.")
        worker.stop_all()
        while not worker.idle:
            worker.step()
            self._note(queue, link, outbox)
            pause.wait(STEP)

    def _linked(self) -> GatewayClient:
        identity = self._identity
        ca_file = Path(identity.ca_file) if identity.ca_file is not None else None
        return GatewayClient(
            identity.console, read_key(self._folder.path), identity.member, self._clock, ca_file=ca_file
        )

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
            self._identity.console,
            __version__,
            standing.console_version,
            counted(self._limits.slots, "run"),
        )

    def _note(self, queue: RemoteQueue, link: GatewayClient, outbox: Outbox) -> None:
        steady, now = self._clock.monotonic(), self._clock.now()
        if self._noted is not None and steady - self._noted < EVERY:
            return
        self._noted = steady
        note(
            self._folder.path,
            GatewayHealth(
                at=int(now),
                pid=os.getpid(),
                version=__version__,
                console=self._identity.console,
                gateway=self._identity.gateway,
                member=self._identity.member,
                started_at=self._started,
                heard_at=int(now - (steady - link.heard)) if link.heard is not None else None,
                running=queue.holding,
                untold=sum(1 for _ in outbox.waiting()),
            ),
        )


# Enrolment: a key pair is made on this machine, and its public half goes to the console, with a one-time code.


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

    The key is kept before it is shown to anybody: when the answer is lost, the same command asks again, as the same.
    """
    key = _kept_key(folder)
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


def _kept_key(folder: GatewayFolder) -> MemberKey:
    try:
        return read_key(folder.path)
    except StateFolderError:  # none yet, or one that is worth nothing
        key = new_key()
        key.write(folder.path)
        return key
