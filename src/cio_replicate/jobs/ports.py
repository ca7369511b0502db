"""What may be asked of a connection besides a run: whether its key works, and what its tables hold and cost.

It is answered where the connection's secrets are: on the console's own machine, or by a gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from cio_replicate.app.check import AccessCheck, check
from cio_replicate.app.plan import estimate
from cio_replicate.app.settings import IMPATIENT, connected
from cio_replicate.base.errors import AccessError, CioReplicateError
from cio_replicate.base.runtime import Clock
from cio_replicate.config.connection_options import Connection
from cio_replicate.pipeline.estimates import Estimate, History
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.client import HOSTS
from cio_replicate.source.strategies.base import USUAL


class ProbeRequest(StrEnum):
    """What is asked."""

    ACCESS = "access"  # whether the key works, and which tables it may read: a request per table
    TABLES = "tables"  # the same, and about how many rows they have and what a whole read costs: some more requests


class TableProbe(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One table: numbers, and why it cannot be read. `least` and `most` are requests; None when that is not known."""

    name: str
    readable: bool
    cause: str = ""
    fix: str = ""
    rows: int | None = None
    least: int | None = None
    most: int | None = None
    basis: str = ""


class ProbeResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was found. `cause` and `fix` say why nothing was, when the key or the settings are wrong."""

    api: str = ""
    region: str | None = None
    requests: int = 0
    seconds: float = 0.0
    tables: list[TableProbe] = []
    cause: str = ""
    fix: str = ""

    @property
    def works(self) -> bool:
        """Whether the key works, for some tables at least."""
        return not self.cause


async def inquire(connection: Connection, about: ProbeRequest, clock: Clock) -> ProbeResult:
    """Ask the API about a connection; no row is kept. What is wrong with it is in the answer."""
    began = clock.monotonic()
    try:
        async with connected(connection, clock, IMPATIENT) as client:
            region = next((name for name, url in HOSTS.items() if url == client.url), None)
            findings = await check(client, TABLES, int(clock.now()))
            costs: list[Estimate] = []
            if about is ProbeRequest.TABLES:
                readable = [table for table, one in zip(TABLES, findings, strict=True) if one.readable]
                costs = await estimate(client, readable, connection.start, int(clock.now()), History(), USUAL)
            return ProbeResult(
                api=client.url,
                region=region,
                requests=client.totals.requests,
                seconds=round(clock.monotonic() - began, 1),
                tables=_joined(findings, costs),
            )
    except AccessError as error:
        return refused(error)


def refused(error: CioReplicateError) -> ProbeResult:
    """What is answered when nothing could be asked."""
    return ProbeResult(cause=error.message, fix=error.fix)


def _joined(findings: Iterable[AccessCheck], costs: Iterable[Estimate]) -> list[TableProbe]:
    known = {one.table: one for one in costs if one.error is None}
    tables = []
    for one in findings:
        found = TableProbe(name=one.table, readable=one.readable, cause=one.cause, fix=one.fix)
        if one.table in known:
            cost = known[one.table]
            found.rows, found.least, found.most, found.basis = cost.rows, cost.least, cost.most, cost.basis
        tables.append(found)
    return tables
