"""The first rows of a table, as a copy would have them: one request or a few, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.source.client import Client
from cio_replicate.source.decode import RowDecoder
from cio_replicate.source.pages import Request, RequestCounter, read_page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import START, ReadScope
from cio_replicate.source.strategies.windows import WINDOW

T = TypeVar("T")

MOST_PARENTS = 10  # whose children are asked for, until one has some


async def preview(client: Client, table: Table, rows: int, now: int) -> list[dict[str, Any]]:
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
        send = partial(_sent, client, counter)
        content = await strategy.complete(partition, step.items[:rows], send, None)
        decoder = RowDecoder(table, KnownColumns(table), 0)
        found = decoder.decode(content, strategy.declared(partition), now).rows.to_pylist()
        return [
            {name: value for name, value in row.items() if not name.startswith("_cio_") or name == "_cio_extra"}
            for row in found
        ]
    return []


async def _sent(
    client: Client, counter: RequestCounter, request: Request, read: Callable[[bytes], T], priority: int
) -> T:
    return await client.send(request, read, counter, priority)
