"""What a run will cost: requests per table, from very few requests and from what the last run needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import msgspec

from cio_replicate.api.client import Client
from cio_replicate.api.paging import Page, Place, read_page
from cio_replicate.api.request import Meter
from cio_replicate.base.errors import AccessError, ChildGoneError, ForbiddenError, ReadError
from cio_replicate.extract.parts import parts_of, request_for
from cio_replicate.extract.people import BATCH
from cio_replicate.extract.together import together
from cio_replicate.extract.values import fit
from cio_replicate.landing.position import Position
from cio_replicate.landing.read import Part
from cio_replicate.replication.report import Report, Status, TableReport
from cio_replicate.tables.catalogue import table as table_named
from cio_replicate.tables.declare import ColumnType, Paging, Reading, Table

DAY = 86_400
COUNTED, FIRST_PAGE, LAST_RUN, ONE_ANSWER = "counted", "estimated from first page", "last run", "one answer a list"
_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one table will cost. `most` is None when there is no telling; `rows` when nothing told.

    `error` is set instead when the API did not let the table in, `refused` when it was the key that it refused.
    """

    table: str
    least: int
    most: int | None
    rows: int | None
    basis: str
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Total:
    """What a whole run will cost; `most` is None when there is no telling."""

    least: int
    most: int | None


def total(estimates: Sequence[Estimate]) -> Total:
    """The sum."""
    bounds = [one.most for one in estimates]
    known = [bound for bound in bounds if bound is not None]
    return Total(sum(one.least for one in estimates), sum(known) if len(known) == len(bounds) else None)


def last_complete(reports: Sequence[Report]) -> dict[str, TableReport]:
    """The newest report of a whole read of each table; `reports` are newest first."""
    found: dict[str, TableReport] = {}
    for report in reports:
        for one in report.tables:
            if one.status is Status.COMPLETE and not one.continued:
                found.setdefault(one.name, one)
    return found


async def estimate(
    client: Client,
    tables: Sequence[Table],
    start: int,
    now: int,
    *,
    positions: Mapping[str, Position],
    last: Mapping[str, TableReport],
) -> list[Estimate]:
    """One estimate per table, in their order. Raises AccessError when the key is refused as a whole."""
    return await together(
        [partial(_one, client, table, start, now, positions.get(table.name), last.get(table.name)) for table in tables]
    )


async def _one(
    client: Client, table: Table, start: int, now: int, position: Position | None, last: TableReport | None
) -> Estimate:
    try:
        if table.reading is Reading.PEOPLE:
            return of_people(table, await _people(client), last)
        if table.page_size is None:
            return Estimate(table.name, len(table.slices), len(table.slices), last.read if last else None, ONE_ANSWER)
        if last is not None and (table.reading is Reading.LIST or (position is not None and position.start == start)):
            return Estimate(table.name, last.requests, last.requests, last.read, LAST_RUN)
        parts = parts_of(table, start, now)
        asked = [part for part in parts if not _is_covered(table, part)]
        pages = await together([partial(_first_page, client, table, part) for part in asked])
    except (ForbiddenError, ReadError) as error:
        return Estimate(table.name, 0, 0, None, "", error=str(error), refused=isinstance(error, AccessError))
    return of_pages(table, list(zip(asked, pages, strict=True)), unasked=len(parts) - len(asked))


def of_people(table: Table, people: Sequence[int], last: TableReport | None) -> Estimate:
    """The cost of reading people. `people` are the counts of all workspaces, and only one of them is the key's."""
    costs = [_people_requests(table, count) for count in people]
    if len(people) == 1:
        return Estimate(table.name, costs[0], costs[0], people[0], COUNTED)
    if last is not None:
        return Estimate(table.name, last.requests, last.requests, last.read, LAST_RUN)
    if not people:
        return Estimate(table.name, 1, None, None, "no workspace is listed")
    return Estimate(table.name, min(costs), max(costs), None, f"one of {len(people)} workspaces")


def of_pages(table: Table, first: Sequence[tuple[Part, Page]], *, unasked: int) -> Estimate:
    """The cost of reading parts of which the first pages are known; `unasked` parts cost a request each."""
    least, rows = unasked, 0
    most: int | None = unasked
    estimated = False
    for part, page in first:
        count = len(page.items)
        full = count >= (table.page_size or 1)
        if not full or (table.paging is Paging.CURSOR and not page.next):
            more = page.next or (table.paging is Paging.OFFSET and count)
            requests = 2 if more else 1  # an empty page ends a list by offset, and may stand behind the last token
            least, rows, most = least + requests, rows + count, None if most is None else most + requests
            continue
        estimated = True
        guess = stretched(_times(table, page), _reach(table, part, page))
        if guess is None:
            least, rows, most = least + 2, rows + count, None
            continue
        requests = ceil(guess / (table.page_size or 1))
        least, rows, most = least + requests, rows + guess, None if most is None else most + requests
    return Estimate(table.name, least, most, rows, FIRST_PAGE if estimated else COUNTED)


def stretched(times: Sequence[int], until: int | None) -> int | None:
    """How many rows a list has that goes back to `until`, if it is everywhere as dense as on its first page.

    until                              oldest      newest
      |- - - - - as dense as - - - - - ->|███ page ███|
    """
    if until is None or not times or max(times) == min(times):
        return None
    density = len(times) / (max(times) - min(times))
    return len(times) + max(1, round(max(0, min(times) - until) * density))


def _is_covered(table: Table, part: Part) -> bool:
    return any(one.name == part.name and one.covered_by for one in table.slices)


def _reach(table: Table, part: Part, page: Page) -> int | None:
    """How far back a part goes: to the beginning of its window, or as far as the source keeps rows."""
    if table.reading is Reading.WINDOWS:
        return int(part.query["start_ts"])
    times = _times(table, page)
    return max(times) - table.retention_days * DAY if table.retention_days and times else None


def _times(table: Table, page: Page) -> list[int]:
    if table.start_date_column is None:
        return []
    (name,) = table.column(table.start_date_column).path
    return _integers(page, name)


def _integers(page: Page, name: str) -> list[int]:
    """The integers that the records of a page hold under a name; a record that holds something else gives none."""
    found = []
    for item in page.items:
        try:
            record = _record.decode(item)
        except msgspec.ValidationError:
            continue
        value = fit(record[name], ColumnType.INTEGER).value if name in record else None
        if value is not None:
            found.append(value)
    return found


def _people_requests(table: Table, people: int) -> int:
    return max(1, ceil(people / (table.page_size or 1))) + ceil(people / BATCH)


async def _people(client: Client) -> list[int]:
    workspaces = table_named("workspaces")
    page = await _first_page(client, workspaces, Part("all"))
    return _integers(page, "people")


async def _first_page(client: Client, table: Table, part: Part) -> Page:
    """The first page of a part; of one that the API does not know, a page without rows."""
    request = request_for(table, part, Place())
    try:
        return await client.send(request, lambda body: read_page(body, table.records), Meter())
    except ChildGoneError:
        return Page([], "")
