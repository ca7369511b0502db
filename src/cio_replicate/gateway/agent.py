"""The gateway as a running program: claims and executes runs until it is told to stop, or shut out by the console."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.base.errors import BoardAwayError
from cio_replicate.base.runtime import Clock
from cio_replicate.base.version import __version__
from cio_replicate.base.words import counted
from cio_replicate.gateway import health
from cio_replicate.gateway.allowed import GatewayPolicy
from cio_replicate.gateway.gateway_client import RemoteQueue
from cio_replicate.gateway.identity import Enrolment, GatewayFolder
from cio_replicate.gateway.inquirer import ProbeRunner
from cio_replicate.gateway.key import read_key
from cio_replicate.gateway.link import GatewayClient
from cio_replicate.gateway.outbox import Outbox
from cio_replicate.jobs.gateway_protocol import STANDING, MemberStatus, StatusRequest
from cio_replicate.jobs.launcher import ProcessStarter
from cio_replicate.jobs.worker import Worker

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
            board = RemoteQueue(link, outbox, self._clock, limits.alone, idle=IDLE, allowed=limits.allowed)
            worker = Worker(self._name, board, ProcessStarter(self._folder.tasks), self._clock, self._limits.slots)
            done = threading.Event()
            inquirer = ProbeRunner(self._name, second, self._clock, limits.allowed)
            answering = threading.Thread(target=inquirer.work, args=(done,), daemon=True)
            answering.start()
            try:
                self._work(worker, board, link, outbox, stop)
            finally:
                done.set()
            answering.join(timeout=1.0)
            if board.refusal is not None:
                raise board.refusal

    def _work(
        self, worker: Worker, board: RemoteQueue, link: GatewayClient, outbox: Outbox, stop: Callable[[], bool]
    ) -> None:
        pause = threading.Event()
        while not (stop() or board.is_refused()):
            worker.step()
            self._note(board, link, outbox)
            pause.wait(STEP)
        if not worker.idle:
            log.info("Stopping: each run finishes its page and its batch first.")
        board.draining = True
        worker.stop_all()
        while not worker.idle:
            worker.step()
            self._note(board, link, outbox)
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
        except BoardAwayError as error:
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

    def _note(self, board: RemoteQueue, link: GatewayClient, outbox: Outbox) -> None:
        steady, now = self._clock.monotonic(), self._clock.now()
        if self._noted is not None and steady - self._noted < health.EVERY:
            return
        self._noted = steady
        health.note(
            self._folder.path,
            health.GatewayHealth(
                at=int(now),
                pid=os.getpid(),
                version=__version__,
                console=self._identity.console,
                gateway=self._identity.gateway,
                member=self._identity.member,
                started_at=self._started,
                heard_at=int(now - (steady - link.heard)) if link.heard is not None else None,
                running=board.holding,
                untold=sum(1 for _ in outbox.waiting()),
            ),
        )
