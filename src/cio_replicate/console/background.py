"""Background services of a console: scheduler, worker, notification sender, and removal of old rows."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, delete, select

from cio_replicate.base.errors import CioReplicateError, Defect, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console.apply_settings import ChangeContext, recognise
from cio_replicate.console.notifications import Send, note, send_by_apprise, send_due
from cio_replicate.console.secrets import EncryptionKeys, revealed
from cio_replicate.console.stored_settings import address_of
from cio_replicate.database.actor import LOCAL
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import (
    gateway_codes,
    gateway_nonces,
    invitations,
    logins,
    missed,
    notices,
    run_lines,
    runs,
    sessions,
)
from cio_replicate.jobs.local_engine import LEASE, LocalEngine
from cio_replicate.jobs.scheduler import Scheduler
from cio_replicate.jobs.worker import Launcher, Worker

# Removes what is old: sessions, codes and links that are over, and runs and logs that nobody looks at any more.

DAY = 86_400
LOG_AGE, RUN_AGE = 90 * DAY, 400 * DAY


def reap(connection: Connection, now: int) -> None:
    """Remove what is over and old, in a transaction that writes. Settings, people and the audit log stay."""
    for table in (sessions, invitations, gateway_codes, gateway_nonces, logins):
        connection.execute(delete(table).where(table.c.expires_at < now - DAY))
    old = select(runs.c.id).where(runs.c.ended_at < now - LOG_AGE)
    connection.execute(delete(run_lines).where(run_lines.c.run_id.in_(old)))
    very_old = select(runs.c.id).where(runs.c.ended_at < now - RUN_AGE)
    connection.execute(delete(notices).where(notices.c.run_id.in_(very_old)))
    connection.execute(delete(runs).where(runs.c.ended_at < now - RUN_AGE))
    connection.execute(delete(missed).where(missed.c.due_at < now - RUN_AGE))


log = logging.getLogger(__name__)

TICK, STEP, SEND, REAP = 1.0, 0.2, 3.0, 3_600.0  # seconds between two of each
LONGEST_PAUSE = 30.0  # seconds after something went wrong, before it is tried again
LATE = 60.0  # seconds without a tick after which a scheduler counts as stuck
SENDING = 20.0  # seconds that a notification under way is waited for at the end
SLOTS = 4  # runs that are executed at a time, unless something else is said


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """Whether the engine does its work. `said` is what went wrong last, if it still does."""

    well: bool
    ticked: float | None  # seconds since the scheduler last did its work
    said: str | None


class BackgroundServices:
    """The scheduler, the worker of this machine and the sender of notifications, each on a thread of its own.

    Whatever goes wrong in one of them is written to the log, and tried again after a growing pause: the database may be
    away for a while. Several engines may work on one database.
    """

    def __init__(
        self,
        database: Database,
        keys: EncryptionKeys,
        clock: Clock,
        launcher: Launcher,
        *,
        slots: int = SLOTS,
        lease: int = LEASE,
        environment: Mapping[str, str] | None = None,
        send: Send = send_by_apprise,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment
        self._send = send
        self._engine = LocalEngine(database, clock, note, reveal=self._reveal, lease=lease)
        self._scheduler = Scheduler(database, clock, self._engine, self._engine.recover)
        self._worker = Worker(worker_name(), self._engine, launcher, clock, slots)
        self._stopping = threading.Event()
        self._ticked: float | None = None
        self._reaped: float | None = None
        self._said: dict[str, str] = {}
        parts: dict[str, Callable[[], None]] = {
            "scheduler": partial(self._repeat, "scheduler", self._tick, TICK),
            "notifier": partial(self._repeat, "notifier", self._notify, SEND),
            "worker": self._work,
        }
        self._threads = [threading.Thread(target=one, name=name, daemon=True) for name, one in parts.items()]

    def start(self) -> None:
        """Begin. May be called once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more, and return when every run has ended its page and its batch, and is given back."""
        self._worker.draining = True
        self._stopping.set()
        for thread in self._threads:
            thread.join(SENDING if thread.name == "notifier" else None)

    def health(self) -> ServiceHealth:
        """How it does; also while the database is away."""
        ticked = None if self._ticked is None else self._clock.monotonic() - self._ticked
        said = next(iter(tuple(self._said.values())), None)  # copied at once: other threads add and remove some
        alive = all(thread.is_alive() for thread in self._threads)
        return ServiceHealth(alive and ticked is not None and ticked < LATE, ticked, said)

    def _tick(self) -> None:
        self._scheduler.tick()
        self._ticked = now = self._clock.monotonic()
        if self._reaped is None or now - self._reaped >= REAP:
            with self._database.writing() as connection:
                reap(connection, int(self._clock.now()))
            self._recognise()
            self._reaped = now

    def _recognise(self) -> None:
        """Which connections share a workspace: tokens may be found here that who made a connection could not find."""
        means = ChangeContext(LOCAL, int(self._clock.now()), self._keys, self._environment, self._engine)
        with suppress(Refused), self._database.writing() as connection:
            recognise(connection, means)

    def _notify(self) -> None:
        send_due(self._database, self._address, self._send, int(self._clock.now()))

    def _work(self) -> None:
        self._repeat("worker", self._worker.step, STEP)
        self._worker.stop_all()
        pause = threading.Event()
        while not self._worker.idle:
            self._guarded("worker", self._worker.step)
            pause.wait(STEP)

    def _repeat(self, name: str, step: Callable[[], object], seconds: float) -> None:
        """Do something again and again, until it is to stop."""
        trouble = 0
        while not self._stopping.wait(min(LONGEST_PAUSE, seconds * 2 ** min(trouble, 10))):
            trouble = 0 if self._guarded(name, step) else trouble + 1

    def _guarded(self, name: str, step: Callable[[], object]) -> bool:
        """Do it; whether nothing went wrong. What did is written to the log when it is something else than before."""
        try:
            step()
        except CioReplicateError as error:
            said = str(error)
        except Exception as error:  # noqa: BLE001 - a defect in one step must not end the schedules of all tasks
            said = str(Defect.of(error))
        else:
            if self._said.pop(name, None) is not None:
                log.info("The %s works again.", name)
            return True
        if self._said.get(name) != said:
            log.error("The %s: %s", name, said)
        self._said[name] = said
        return False

    def _reveal(self, transaction: Connection, names: Iterable[str]) -> dict[str, str]:
        return revealed(transaction, self._keys, names)

    def _address(self, transaction: Connection, settings: ChannelSettings) -> Secret:
        return address_of(transaction, self._keys, self._environment, settings)


def worker_name() -> str:
    """A name that no other worker has, nor one that was started here before."""
    host = "".join(one for one in socket.gethostname() if one.isalnum() or one in ".-")[:40]
    return f"{host or 'console'}-{os.getpid()}-{secrets.token_hex(4)}"
