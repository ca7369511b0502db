"""What the pages and the API work with, put together in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from cio_replicate.base.clock import Clock
from cio_replicate.control.database import Database
from cio_replicate.control.people import People
from cio_replicate.control.sessions import Sessions
from cio_replicate.control.tokens import Tokens
from cio_replicate.web.oidc import Oidc
from cio_replicate.web.site import Site
from cio_replicate.web.throttle import Throttle

TRIES_OF_A_NAME, PAUSE_OF_A_NAME = 10, 30.0  # at once, and then one per so many seconds
TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS = 30, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the handlers work with."""

    site: Site
    clock: Clock
    database: Database
    oidc: Oidc | None = None
    people: People = field(init=False)
    sessions: Sessions = field(init=False)
    tokens: Tokens = field(init=False)
    by_name: Throttle = field(init=False)
    by_address: Throttle = field(init=False)

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "people", People(self.database, self.clock))
        set_field(self, "sessions", Sessions(self.database, self.clock))
        set_field(self, "tokens", Tokens(self.database, self.clock))
        set_field(self, "by_name", Throttle(self.clock, TRIES_OF_A_NAME, PAUSE_OF_A_NAME))
        set_field(self, "by_address", Throttle(self.clock, TRIES_OF_AN_ADDRESS, PAUSE_OF_AN_ADDRESS))

    @property
    def now(self) -> int:
        """Unix time."""
        return int(self.clock.now())
