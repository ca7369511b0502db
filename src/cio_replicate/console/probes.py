"""Preview rows, verify and plan tasks, and try destinations, with stored secrets; each is in the audit log."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.app.plan import PlanReport, plan
from cio_replicate.app.preview import Preview, preview
from cio_replicate.app.probe import try_destination
from cio_replicate.app.verify import MOST_REQUESTS, VerificationReport, verify
from cio_replicate.base.errors import Conflict, LoadError, Refused, Unavailable
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options
from cio_replicate.config.documents import stored_names, stored_names_in
from cio_replicate.console.secrets import EncryptionKeys, with_revealed
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.sinks.addresses import destination

MOST_ROWS = 50
MOST = 5  # destinations that are tried at once


@dataclass(frozen=True, slots=True)
class DestinationProbe:
    """What came of trying a place out: the cause and the fix are empty when it can be written."""

    shown: str
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Probes:
    """Asks the API and reads copies from this machine, which keeps the state of its tasks in `state_dir`.

    Stored secrets that settings refer to are used for it, and shown nowhere. What a data gateway reaches is refused.
    """

    database: Database
    keys: EncryptionKeys
    clock: Clock
    environment: Mapping[str, str] | None = None
    state_dir: Path | None = None

    def rows(self, connection: StoredConnection, task: StoredTask | None, table: str, count: int, by: Actor) -> Preview:
        """At most so many rows of a table, as that task would copy them.

        Raises Refused, and for a connection with a data gateway says that no row leaves its network; also
        AccessError and ReadError.
        """
        by.require(Role.OPERATOR)
        if connection.settings.gateway is not None:
            raise Conflict(
                f"The rows of {connection.name} are seen by its data gateway {connection.settings.gateway} alone.",
                f"On a machine of the gateway: cio-replicate preview {table}.",
            )
        names = {*stored_names(connection.settings)}
        if task is not None and task.settings.salt is not None:
            names |= set(stored_names(task.settings))
        seen = f"table {table}" + (f" as task {task.name} has it" if task is not None else "")
        environment = self._with_secrets(names, by, "connection.preview", connection.name, seen)
        looks = task.settings if task is not None else None
        return preview(connection.settings, table, max(1, min(count, MOST_ROWS)), looks, self.clock, environment)

    def verify(
        self, connection: StoredConnection, task: StoredTask, by: Actor, most_requests: int = MOST_REQUESTS
    ) -> VerificationReport:
        """Verify a task's copy. Raises Refused, AccessError, LoadError and DestinationUnavailableError."""
        return verify(
            connection.settings,
            task.settings,
            self.clock,
            most_requests=most_requests,
            state_dir=self.state_dir,
            environment=self._for_task(connection, task, by, "verify"),
        )

    def plan(self, connection: StoredConnection, task: StoredTask, by: Actor) -> PlanReport:
        """Estimate a task's next run. Raises Refused, AccessError and DestinationUnavailableError."""
        environment = self._for_task(connection, task, by, "plan")
        return plan(connection.settings, task.settings, self.clock, state_dir=self.state_dir, environment=environment)

    def try_out(self, urls: Sequence[str], dataset: str, by: Actor) -> list[DestinationProbe]:
        """One answer for each address, in their order; what is wrong with one is in its answer."""
        by.require(Role.ADMIN)
        if not urls:
            return [DestinationProbe("", "The task has no destination.", "Write where the copy goes.")]
        return [self._tried(url, dataset, by) for url in urls[:MOST]]

    def _tried(self, url: str, dataset: str, by: Actor) -> DestinationProbe:
        shown = url.partition(":")[0][:40]
        try:
            names = stored_names_in(url)
            environment = self._with_secrets(names, by, "destination.try", url.partition("?")[0])
            address = destination(url, environment)
            shown = address.shown
            try_destination(address, connection_options.dataset(dataset))
        except (Refused, Unavailable, LoadError) as error:
            return DestinationProbe(shown, error.cause, error.fix)
        return DestinationProbe(shown)

    def _for_task(self, connection: StoredConnection, task: StoredTask, by: Actor, what: str) -> Mapping[str, str]:
        """The environment of a task of this machine. Raises Refused for one of a data gateway."""
        by.require(Role.OPERATOR)
        if connection.settings.gateway is not None:
            raise Conflict(
                f"The copy of {task.name} is reached by its data gateway {connection.settings.gateway} alone.",
                f"On a machine of the gateway, use the command: cio-replicate {what}.",
            )
        names = {*stored_names(connection.settings), *stored_names(task.settings)}
        return self._with_secrets(names, by, f"task.{what}", task.name)

    def _with_secrets(
        self, names: Iterable[str], by: Actor, what: str, target: str, details: str | None = None
    ) -> Mapping[str, str]:
        """The environment with these stored secrets; that they are used, and for what, is in the audit log."""
        environment = os.environ if self.environment is None else self.environment
        with self.database.writing() as transaction:
            found = with_revealed(transaction, self.keys, environment, names)
            record(transaction, int(self.clock.now()), by, what, target, details)
        return found
