"""Probe a key, a connection or a destination without changing anything lasting."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cio_replicate.app.plan import estimate
from cio_replicate.app.settings import IMPATIENT, connected
from cio_replicate.base.errors import AccessError, ForbiddenError, ReadError
from cio_replicate.base.runtime import Clock, together
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.destination_kind import Address
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult, TableProbe, refused
from cio_replicate.pipeline.estimates import Estimate, History
from cio_replicate.schema.table import Table
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.client import HOSTS, Client
from cio_replicate.source.pages import Cursor, Request, RequestCounter, read_page
from cio_replicate.source.strategies.base import USUAL, parts_of, request_for

DAY = 86_400


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """What a probe of one table found: that it can be read, or the cause why not and what to do."""

    table: str
    readable: bool
    cause: str = ""
    fix: str = ""


def probe(table: Table, now: int) -> Request:
    """The cheapest request that shows whether a table can be read: one row of its plainest part.

    A part that adds a parameter may be refused by an API that does not know it, and the table is read all the same.
    """
    parts = parts_of(table, now - DAY, now)
    part = next((one for one in parts if not one.query), parts[0])
    request = request_for(table, part, Cursor())
    query = {**request.query, "limit": "1"} if table.page_size is not None else request.query
    return replace(request, query=query, part=False, extra=False)


async def check(client: Client, tables: Sequence[Table], now: int) -> list[AccessCheck]:
    """One finding per table, in their order. Raises AccessError when the key is refused as a whole."""
    return await together([partial(_finding, client, table, now) for table in tables])


async def _finding(client: Client, table: Table, now: int) -> AccessCheck:
    try:
        await client.send(probe(table, now), lambda body: read_page(body, table.records), RequestCounter())
    except (ForbiddenError, ReadError) as error:
        return AccessCheck(table.name, readable=False, cause=error.message, fix=error.fix)
    return AccessCheck(table.name, readable=True)


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


def try_destination(address: Address, dataset: str) -> None:
    """Make, write, read back and drop a small table; the working files are thrown away again."""
    with tempfile.TemporaryDirectory() as folder:
        place = destination_at(address, dataset, Path(folder))
        try:
            place.probe()
        finally:
            place.close()
