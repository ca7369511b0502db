"""Whether each table can be read: one cheap request per table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from cio_replicate.base.errors import ForbiddenError, ReadError
from cio_replicate.base.runtime import together
from cio_replicate.schema.table import Table
from cio_replicate.source.client import Client
from cio_replicate.source.pages import Cursor, Request, RequestCounter, read_page
from cio_replicate.source.strategies.base import parts_of, request_for

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
