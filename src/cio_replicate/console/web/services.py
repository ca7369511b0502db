"""What the pages and the API work with, put together in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from litestar.di import NamedDependency

from cio_replicate.base.runtime import Clock
from cio_replicate.console.background import ServiceHealth
from cio_replicate.console.notifications import note
from cio_replicate.console.oidc import Oidc
from cio_replicate.console.probes import Probes
from cio_replicate.console.secrets import EncryptionKeys, Secrets
from cio_replicate.console.sessions import Sessions, Tokens
from cio_replicate.console.stored_settings import Channels, Connections, Tasks
from cio_replicate.console.users import Users
from cio_replicate.console.web.http_security import LoginThrottle, Site
from cio_replicate.database.connection import Database
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.runs import Runs

TRIES_OF_A_NAME, PAUSE_OF_A_NAME = 10, 30.0  # at once, and then one per so many seconds
TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS = 30, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """What the handlers work with."""

    site: Site
    clock: Clock
    database: Database
    keys: EncryptionKeys
    oidc: Oidc | None
    people: Users
    sessions: Sessions
    tokens: Tokens
    connections: Connections
    tasks: Tasks
    runs: Runs
    channels: Channels
    secrets: Secrets
    probes: Probes
    by_name: LoginThrottle
    by_address: LoginThrottle
    health: Callable[[], ServiceHealth] | None  # of what runs tasks, where that is done beside the pages

    @property
    def now(self) -> int:
        """Unix time."""
        return int(self.clock.now())


def services_over(
    database: Database,
    keys: EncryptionKeys,
    clock: Clock,
    site: Site,
    oidc: Oidc | None = None,
    environment: Mapping[str, str] | None = None,
    health: Callable[[], ServiceHealth] | None = None,
    state_dir: Path | None = None,
) -> WebServices:
    """All services over one control database. References to secrets are looked up in `environment`, or in our own."""
    engine = LocalEngine(database, clock, note)
    return WebServices(
        site=site,
        clock=clock,
        database=database,
        keys=keys,
        oidc=oidc,
        people=Users(database, clock),
        sessions=Sessions(database, clock),
        tokens=Tokens(database, clock),
        connections=Connections(database, keys, clock, engine, environment),
        tasks=Tasks(database, keys, clock, engine, environment),
        runs=Runs(database, clock, engine),
        channels=Channels(database, keys, clock, engine, environment),
        secrets=Secrets(database, keys, clock),
        probes=Probes(database, keys, clock, environment, state_dir),
        by_name=LoginThrottle(database, clock, "name", TRIES_OF_A_NAME, PAUSE_OF_A_NAME),
        by_address=LoginThrottle(database, clock, "address", TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS),
        health=health,
    )


#: How a handler asks for them.
With = NamedDependency[WebServices]
