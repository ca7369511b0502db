"""Open the control database, with the services over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.console.notifications import note
from cio_replicate.console.secrets import EncryptionKeys, Secrets, keys_for
from cio_replicate.console.stored_settings import Channels, Connections, Tasks
from cio_replicate.database.connection import Database, store_url
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.ports import Dispatch


@dataclass(frozen=True, slots=True)
class ControlServices:
    """The services over a control database."""

    database: Database
    keys: EncryptionKeys
    connections: Connections
    tasks: Tasks
    channels: Channels
    secrets: Secrets
    dispatch: Dispatch


@contextmanager
def opened(
    url: str | None, environment: Mapping[str, str] | None = None, clock: Clock | None = None
) -> Iterator[ControlServices]:
    """Open the store at this address, or at the usual place; its tables are made or brought up to date first.

    Raises Refused and DatabaseError.
    """
    environment, clock = os.environ if environment is None else environment, clock or SystemClock()
    database = Database(store_url(url, environment), environment)
    try:
        database.migrate()
        keys = keys_for(database.address, environment)
        engine = LocalEngine(database, clock, note)
        yield ControlServices(
            database,
            keys,
            Connections(database, keys, clock, engine, environment),
            Tasks(database, keys, clock, engine, environment),
            Channels(database, keys, clock, engine, environment),
            Secrets(database, keys, clock),
            engine,
        )
    finally:
        database.close()
