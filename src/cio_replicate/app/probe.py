"""Probe a key, a connection or a destination without changing anything lasting."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from cio_replicate.app.plan import estimate
from cio_replicate.app.settings import IMPATIENT, addresses_of, connected, connection_of, names_of, tables_of
from cio_replicate.base.errors import AccessError, LoadError, NoReadAccessError, ReadError, Refused, Unavailable
from cio_replicate.base.runtime import Clock, together
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.connection_options import dataset as dataset_named
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.options import SourceOptions
from cio_replicate.jobs.ports import ProbeRequest, ProbeResult, TableProbe, refused
from cio_replicate.pipeline.estimates import History
from cio_replicate.pipeline.report import recorded
from cio_replicate.schema.table import Table
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.client import HOSTS, Client
from cio_replicate.source.pages import Page, Request, RequestCounter, read_page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import DAY, START, USUAL, Estimate, ReadScope


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """What a probe of one table found: that it can be read, or the cause why not and what to do."""

    table: str
    readable: bool
    cause: str = ""
    fix: str = ""


def probe(table: Table, now: int) -> tuple[Request, Callable[[bytes], Page]]:
    """The cheapest request that shows whether a table can be read, and how to read its page: one row of a partition.

    A partition that adds a parameter may be refused by an API that does not know it; the table is read all the same.
    """
    strategy = strategy_of(table, ReadScope(now - DAY, now))
    partitions = strategy.partitions()
    partition = next((one for one in partitions if not one.query), partitions[0])
    request = strategy.request(partition, START)
    query = {**request.query, "limit": "1"} if "limit" in request.query else request.query
    return replace(request, query=query, part=False, extra=False), partial(read_page, key=strategy.records(partition))


class AccessReport(msgspec.Struct, kw_only=True):
    """What was found, as JSON has it. `destination` is null when none was asked about."""

    status: str
    api: str
    region: str | None
    requests: int
    tables: list[AccessCheck]
    destination: str | None = None
    destination_error: str | None = None


def check(
    source: SourceOptions, to: Sequence[str], dataset: str, clock: Clock, environment: Mapping[str, str] = os.environ
) -> AccessReport:
    """Check that each table can be read, and each destination written. Raises Refused and AccessError."""
    connection, tables = connection_of(source, clock, environment=environment), tables_of(names_of(source))
    addresses, name = addresses_of(to, environment), dataset_named(dataset)

    async def ask() -> AccessReport:
        async with connected(connection, clock, IMPATIENT) as client:
            tested = await check_tables(client, tables, int(clock.now()))
            requests = client.totals.requests
            return AccessReport(status="", api=client.url, region=_region(client), requests=requests, tables=tested)

    found = asyncio.run(ask())
    if addresses:
        found.destination = " and ".join(one.shown for one in addresses)
        problems = []
        for one in addresses:
            try:
                try_destination(one, name)
            except (Refused, Unavailable, LoadError) as error:
                problems.append(str(error))
        found.destination_error = " ".join(problems) or None
    readable = all(one.readable for one in found.tables)
    found.status = "ready" if readable and found.destination_error is None else "refused"
    return found


def _region(client: Client) -> str | None:
    return next((name for name, url in HOSTS.items() if url == client.url), None)


async def check_tables(client: Client, tables: Sequence[Table], now: int) -> list[AccessCheck]:
    """One finding per table, in their order. Raises AccessError when the key is refused as a whole."""
    return await together([partial(_finding, client, table, now) for table in tables])


async def _finding(client: Client, table: Table, now: int) -> AccessCheck:
    try:
        await client.send(*probe(table, now), RequestCounter())
    except (NoReadAccessError, ReadError) as error:
        return AccessCheck(table.name, readable=False, cause=recorded(error.cause), fix=recorded(error.fix))
    return AccessCheck(table.name, readable=True)


async def inquire(connection: Connection, about: ProbeRequest, clock: Clock) -> ProbeResult:
    """Ask the API about a connection; no row is kept. What is wrong with it is in the answer."""
    began = clock.monotonic()
    try:
        async with connected(connection, clock, IMPATIENT) as client:
            findings = await check_tables(client, TABLES, int(clock.now()))
            costs: list[Estimate] = []
            if about is ProbeRequest.TABLES:
                readable = [table for table, one in zip(TABLES, findings, strict=True) if one.readable]
                costs = await estimate(client, readable, connection.start, int(clock.now()), History(), USUAL)
            return ProbeResult(
                api=client.url,
                region=_region(client),
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
