"""Preview the first rows of a table as a copy would have them: one request, two for people; nothing is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from cio_replicate.app.settings import IMPATIENT, connected, connection_of, names_among, tables_of
from cio_replicate.base.runtime import Clock
from cio_replicate.config.options import AccessOptions, ColumnOptions
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.source.client import Client
from cio_replicate.source.decode import RowDecoder
from cio_replicate.source.pages import Request, RequestCounter, read_page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import START, ReadScope
from cio_replicate.source.strategies.windows import WINDOW

T = TypeVar("T")

MOST_PARENTS = 10  # whose children are asked for, until one has some


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows of a table, and the table as the copy has it."""

    table: Table
    rows: list[dict[str, Any]]


def preview(
    access: AccessOptions,
    name: str,
    rows: int,
    looks: ColumnOptions | None,
    clock: Clock,
    environment: Mapping[str, str] = os.environ,
) -> Preview:
    """At most so many of the first rows of a table. Raises Refused, AccessError and ReadError."""
    table = tables_of(names_among([name]), looks, environment)[0]
    connection = connection_of(access, clock, environment=environment)

    async def asked() -> list[dict[str, Any]]:
        async with connected(connection, clock, IMPATIENT) as client:
            return await _first_rows(client, table, rows, int(clock.now()))

    return Preview(table, asyncio.run(asked()))


async def _first_rows(client: Client, table: Table, rows: int, now: int) -> list[dict[str, Any]]:
    """At most so many of the first rows: column to value, JSON as its text. Raises AccessError and ReadError."""
    strategy = strategy_of(table, ReadScope(now - WINDOW + 1, now))
    counter = RequestCounter()
    waiting = [strategy.partitions()[-1]]
    for partition in waiting:
        request = strategy.request(partition, START)
        if "limit" in request.query and len(waiting) == 1:
            request = replace(request, query={**request.query, "limit": str(min(rows, int(request.query["limit"])))})
        page = await client.send(request, partial(read_page, key=strategy.records(partition)), counter)
        step = strategy.advance(partition, START, page, lambda: 0)
        waiting += step.partitions[:MOST_PARENTS]
        if not step.items:
            continue

        def send(request: Request, read: Callable[[bytes], T], priority: int) -> Awaitable[T]:
            return client.send(request, read, counter, priority)

        content = await strategy.complete(partition, step.items[:rows], send, None)
        decoder = RowDecoder(table, KnownColumns(table), 0)
        found = decoder.decode(content, strategy.declared(partition), now).rows.to_pylist()
        return [
            {name: value for name, value in row.items() if not name.startswith("_cio_") or name == "_cio_extra"}
            for row in found
        ]
    return []
