"""The control database opened, with everything that is kept in it at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.console.secrets import EncryptionKeys, Secrets, keys_for
from cio_replicate.console.stored_settings import Channels, Connections, Tasks
from cio_replicate.database.connection import Database, store_url


@dataclass(frozen=True, slots=True)
class ControlServices:
    """What is kept, each kind with what may be done with it."""

    database: Database
    keys: EncryptionKeys
    connections: Connections
    tasks: Tasks
    channels: Channels
    secrets: Secrets


@contextmanager
def opened(
    url: str | None, environment: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Iterator[ControlServices]:
    """The store at this address, or at the usual place; its tables are made or brought up to date first.

    Raises Refused and DatabaseError.
    """
    environment, clock = os.environ if environment is None else environment, clock or SystemClock()
    database = Database(store_url(url, environment), environment)
    try:
        database.migrate()
        keys = keys_for(database.address, environment)
        yield ControlServices(
            database,
            keys,
            Connections(database, keys, clock, environment),
            Tasks(database, keys, clock, environment),
            Channels(database, keys, clock, environment),
            Secrets(database, keys, clock),
        )
    finally:
        database.close()
