"""Preview the first rows of a table as a copy would have them: one request, two for people; nothing is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cio_replicate.app.settings import IMPATIENT, connected, connection_of, names_among, tables_of
from cio_replicate.base.runtime import Clock
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.options import AccessOptions, ColumnOptions
from cio_replicate.schema.table import KnownColumns, Reading, Table
from cio_replicate.source.client import Client
from cio_replicate.source.decode import RowEncoder
from cio_replicate.source.pages import Cursor, RequestCounter, read_page
from cio_replicate.source.redact import Redactor
from cio_replicate.source.strategies.base import Partition, parts_of, request_for, slice_of
from cio_replicate.source.strategies.people import attribute_requests, listed_people, person
from cio_replicate.source.strategies.windows import WINDOW


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
    return asyncio.run(_preview(connection_of(access, clock, environment=environment), table, rows, clock))


async def _preview(connection: Connection, table: Table, rows: int, clock: Clock) -> Preview:
    async with connected(connection, clock, IMPATIENT) as client:
        return Preview(table, await first_rows(client, table, rows, int(clock.now())))


async def first_rows(client: Client, table: Table, rows: int, now: int) -> list[dict[str, Any]]:
    """At most so many of the first rows: column to value, JSON as its text. Raises AccessError and ReadError."""
    part = parts_of(table, now - WINDOW + 1, now)[-1]
    request = request_for(table, part, Cursor())
    if table.page_size is not None:
        request = replace(request, query={**request.query, "limit": str(min(rows, table.page_size))})
    page = await client.send(request, lambda body: read_page(body, table.records), RequestCounter())
    records = await _records(client, table, part, page.items[:rows])
    fields = KnownColumns(table)
    encoded = RowEncoder(fields).encode(Redactor(table).apply(records).records, now).table
    return [
        {name: value for name, value in row.items() if not name.startswith("_cio_") or name == "_cio_extra"}
        for row in encoded.to_pylist()
    ]


async def _records(
    client: Client, table: Table, part: Partition, items: list[msgspec.Raw]
) -> list[bytes | msgspec.Raw]:
    """The records of the items of a list; of people, whom an answer of its own tells about."""
    if table.reading is Reading.PEOPLE:
        known = listed_people(items).by_id
        people: list[bytes | msgspec.Raw] = []
        for request in attribute_requests(list(known)):
            page = await client.send(request, lambda body: read_page(body, "customers"), RequestCounter())
            people += [person(item, known)[1] for item in page.items]
        return people
    if table.shape is None:
        return list(items)
    return [table.shape(item, slice_of(table, part)) for item in items]
