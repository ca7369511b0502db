"""The first rows of a table, as a copy would have them: asked for, shown, and kept nowhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cio_replicate.app.replication_preview import preview
from cio_replicate.app.settings import IMPATIENT, connected, connection_of, names_among, tables_of
from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.documents import stored_names
from cio_replicate.config.secret_references import stored_variable
from cio_replicate.console import secrets
from cio_replicate.console.secrets import EncryptionKeys
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.schema.table import Table

MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a table, and the table as the copy has it."""

    table: Table
    rows: list[dict[str, Any]]


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
        connection = connection_of(kept.settings, self._clock, kept.settings.start_date, environment)
        looks = task.settings if task is not None else None
        declared = tables_of(names_among([table]), looks, environment)[0]
        found = asyncio.run(self._ask(connection, declared, max(1, min(count, MOST_ROWS))))
        return Preview(declared, found)

    async def _ask(self, connection: Connection, table: Table, count: int) -> list[dict[str, Any]]:
        async with connected(connection, self._clock, IMPATIENT) as client:
            return await preview(client, table, count, int(self._clock.now()))

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
