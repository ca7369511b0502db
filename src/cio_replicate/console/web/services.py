"""What the pages and the API work with, put together in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from litestar.di import NamedDependency
from litestar.params import SkipValidation

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
from cio_replicate.database.rows import StoredConnection, StoredTask
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.runs import Runs

TRIES_OF_A_NAME, PAUSE_OF_A_NAME = 10, 30.0  # at once, and then one per so many seconds
TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS = 30, 5.0


@dataclass
class WebServices:
    """What the handlers work with, over one control database.

    References to secrets are looked up in `environment`, or in our own. `health` is that of what runs tasks, where that
    is done beside the pages.
    """

    database: Database
    keys: EncryptionKeys
    clock: Clock
    site: Site
    oidc: Oidc | None = None
    environment: Mapping[str, str] | None = None
    health: Callable[[], ServiceHealth] | None = None
    state_dir: Path | None = None

    def __post_init__(self) -> None:
        """Put the services together."""
        database, keys, clock = self.database, self.keys, self.clock
        engine = LocalEngine(database, clock, note)
        self.people = Users(database, clock)
        self.sessions = Sessions(database, clock)
        self.tokens = Tokens(database, clock)
        self.connections = Connections(database, keys, clock, engine, self.environment)
        self.tasks = Tasks(database, keys, clock, engine, self.environment)
        self.channels = Channels(database, keys, clock, engine, self.environment)
        self.runs = Runs(database, clock, engine)
        self.secrets = Secrets(database, keys, clock)
        self.probes = Probes(database, keys, clock, self.environment, self.state_dir)
        self.by_name = LoginThrottle(database, clock, "name", TRIES_OF_A_NAME, PAUSE_OF_A_NAME)
        self.by_address = LoginThrottle(database, clock, "address", TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS)

    @property
    def now(self) -> int:
        """Unix time."""
        return int(self.clock.now())

    def task_and_connection(self, name: str) -> tuple[StoredTask, StoredConnection]:
        """Return a task, and the connection that it reads. Raises NotFound."""
        task = self.tasks.named(name)
        return task, self.connections.named(task.settings.connection)

    def password_link(self, value: str) -> str:
        """Return the address of a one-time link by which a user chooses a password."""
        return f"{self.site.url}/welcome/{value}"


#: How a handler asks for them.
With = NamedDependency[SkipValidation[WebServices]]
