"""From the texts of the options to an open connection: settings checked, region found, client made."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from cio_replicate.api.budget import Budget
from cio_replicate.api.client import Client
from cio_replicate.api.region import AUTO, HOSTS, find_region
from cio_replicate.api.retry import RetryPolicy
from cio_replicate.base.clock import Clock
from cio_replicate.cli.options import Again, Source
from cio_replicate.landing.folder import default_root
from cio_replicate.settings import again as settings_again
from cio_replicate.settings import connection as settings
from cio_replicate.settings.again import Rules
from cio_replicate.tables import catalogue
from cio_replicate.tables.declare import Table

#: For commands that a person waits for: a fault is told rather than waited out.
IMPATIENT = RetryPolicy(attempts=3, total_seconds=20.0, attempts_unreachable=2)


def connection_of(source: Source, clock: Clock) -> settings.Connection:
    """The connection that the options and the environment name. Raises SettingsError."""
    return settings.Connection(
        start=settings.start_date(source.start_date, clock.now()) if source.start_date is not None else 0,
        region=settings.region(source.region),
        api_url=settings.api_url(source.api_url) if source.api_url is not None else None,
        max_rps=round(settings.requests_per_second(source.max_rps) * settings.budget_share(source.budget_share), 6),
        token=settings.access_token(os.environ.get(settings.TOKEN_VARIABLE)),
    )


def tables_of(source: Source) -> tuple[Table, ...]:
    """The tables that the options select. Raises SettingsError."""
    chosen = settings.selected(catalogue.names(), source.tables, source.exclude)
    return tuple(catalogue.table(name) for name in chosen)


def rules_of(again: Again, tables: Collection[Table]) -> Rules:
    """The rules of reading again that the options name. Raises SettingsError."""
    return settings_again.rules(again.customers, again.recent_days, again.full_every, [table.name for table in tables])


def state_root(state_dir: Path | None) -> Path:
    """The folder that holds the state of all tasks."""
    return state_dir.expanduser().absolute() if state_dir is not None else default_root()


@asynccontextmanager
async def connected(
    connection: settings.Connection, clock: Clock, policy: RetryPolicy | None = None
) -> AsyncIterator[Client]:
    """A client for the workspace; when the region is to be found out, the requests for that are in its totals too.

    Raises AccessError when no region knows the key.
    """
    budget = Budget(connection.max_rps, clock)
    clients: list[Client] = []

    def connect(url: str) -> Client:
        clients.append(Client(url, connection.token, budget, clock, policy=policy))
        return clients[-1]

    url = connection.api_url
    if url is None:
        name = await find_region(connect) if connection.region == AUTO else connection.region
        url = HOSTS[name]
    asked = sum(client.totals.requests for client in clients)
    async with connect(url) as client:
        client.totals.requests += asked
        yield client
