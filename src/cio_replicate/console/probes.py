"""Preview rows and try destinations with stored secrets; check the role and record both in the audit log."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cio_replicate.app.preview import Preview, preview
from cio_replicate.app.probe import try_destination
from cio_replicate.base.errors import LoadError, SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options
from cio_replicate.config.documents import stored_names, stored_names_in
from cio_replicate.config.secret_references import stored_variable
from cio_replicate.console import secrets
from cio_replicate.console.secrets import EncryptionKeys
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.sinks.addresses import destination

MOST_ROWS = 50
MOST = 5  # destinations that are tried at once


class Previews:
    """Asks the API for a few rows; what a task excludes, hashes or masks is that way here too."""

    def __init__(
        self, database: Database, keys: EncryptionKeys, clock: Clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment

    def rows(self, kept: StoredConnection, task: StoredTask | None, table: str, count: int, by: Actor) -> Preview:
        """At most so many rows of a table, as that task would copy them.

        Raises SettingsError, and for a connection with a data gateway says that no row leaves its network; also
        AccessError and ReadError.
        """
        by.require(Role.OPERATOR)
        if kept.settings.gateway is not None:
            raise SettingsError(
                f"The rows of {kept.name} are seen by its data gateway {kept.settings.gateway} alone.",
                f"On a machine of the gateway: cio-replicate preview {table}.",
            )
        environment = self._with_secrets(kept, task, table, by)
        looks = task.settings if task is not None else None
        return preview(kept.settings, table, max(1, min(count, MOST_ROWS)), looks, self._clock, environment)

    def _with_secrets(
        self, kept: StoredConnection, task: StoredTask | None, table: str, by: Actor
    ) -> Mapping[str, str]:
        """The environment with the stored secrets that this needs; that somebody looked at rows is in the audit log."""
        names = {*stored_names(kept.settings)}
        if task is not None and task.settings.salt is not None:
            names |= set(stored_names(task.settings))
        with self._database.writing() as transaction:
            found = secrets.revealed(transaction, self._keys, names)
            seen = f"table {table}" + (f" as task {task.name} has it" if task is not None else "")
            record(transaction, int(self._clock.now()), by, "connection.preview", kept.name, seen)
        return {**self._environment, **{stored_variable(name): value for name, value in found.items()}}


@dataclass(frozen=True, slots=True)
class DestinationProbe:
    """What came of trying a place out: the cause and the fix are empty when it can be written."""

    shown: str
    cause: str = ""
    fix: str = ""


class DestinationProbes:
    """Tries destinations out. Stored secrets that an address names are used for it, and shown nowhere."""

    def __init__(
        self, database: Database, keys: EncryptionKeys, clock: Clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment

    def try_out(self, urls: Sequence[str], dataset: str, by: Actor) -> list[DestinationProbe]:
        """One answer for each address, in their order; what is wrong with one is in its answer."""
        by.require(Role.ADMIN)
        if not urls:
            return [DestinationProbe("", "The task has no destination.", "Write where the copy goes.")]
        return [self._tried(url, dataset, by) for url in urls[:MOST]]

    def _tried(self, url: str, dataset: str, by: Actor) -> DestinationProbe:
        shown = url.partition(":")[0][:40]
        try:
            address = destination(url, self._with_secrets(url, by))
            shown = address.shown
            try_destination(address, connection_options.dataset(dataset))
        except (SettingsError, LoadError) as error:
            return DestinationProbe(shown, error.message, error.fix)
        return DestinationProbe(shown)

    def _with_secrets(self, url: str, by: Actor) -> Mapping[str, str]:
        with self._database.writing() as transaction:
            found = secrets.revealed(transaction, self._keys, stored_names_in(url))
            record(transaction, int(self._clock.now()), by, "destination.try", url.partition("?")[0])
        return {**self._environment, **{stored_variable(name): value for name, value in found.items()}}
