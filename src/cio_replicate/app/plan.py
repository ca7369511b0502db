"""What a run will cost: requests per table, from very few requests where earlier runs do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import msgspec

from cio_replicate.base.errors import AccessError, ChildGoneError, ForbiddenError, ReadError
from cio_replicate.base.runtime import together
from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.predict import Estimate, History, of_changes, people_requests, predicted
from cio_replicate.pipeline.read import Partition
from cio_replicate.schema.table import ColumnType, Paging, Reading, Table
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.client import Client
from cio_replicate.source.decode import fit
from cio_replicate.source.pages import Cursor, Page, RequestCounter, read_page
from cio_replicate.source.strategies.base import bounds_of, parts_of, request_for
from cio_replicate.source.strategies.windows import WINDOW

DAY = 86_400
COUNTED, FIRST_PAGE, ONE_ANSWER = "counted", "estimated from first page", "one answer a list"
_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """What a whole run will cost; `most` is None when there is no telling."""

    least: int
    most: int | None


def total(estimates: Sequence[Estimate]) -> RunEstimate:
    """The sum."""
    bounds = [one.most for one in estimates]
    known = [bound for bound in bounds if bound is not None]
    return RunEstimate(sum(one.least for one in estimates), sum(known) if len(known) == len(bounds) else None)


@dataclass(frozen=True, slots=True)
class PeopleCosts:
    """The requests that each way to read people costs; `changed` people are expected to be named by the log."""

    full: int
    changes: int
    changed: int | None
    full_every_days: int


def modes(estimates: Sequence[Estimate], now: int, past: History, rules: RereadPolicy) -> PeopleCosts | None:
    """What both ways to read people cost; None when it is not known how many there are."""
    people = table_named("customers")
    mine = next((one for one in estimates if one.table == people.name and one.error is None), None)
    base = past.positions.get(people.name)
    if mine is None:
        return None
    if base is not None and past.copy is not None:
        count = past.copy.live(people)
        shorter = of_changes(people, now, base, past)
        return PeopleCosts(people_requests(people, count), shorter.least, shorter.rows, rules.full_every_days)
    if mine.rows is None:
        return None
    return PeopleCosts(mine.least, ceil(mine.rows / (people.page_size or 1)), None, rules.full_every_days)


async def estimate(
    client: Client, tables: Sequence[Table], start: int, now: int, past: History, rules: RereadPolicy
) -> list[Estimate]:
    """One estimate per table, in their order. Raises AccessError when the key is refused as a whole."""
    return await together([partial(_one, client, table, start, now, past, rules) for table in tables])


async def _one(client: Client, table: Table, start: int, now: int, past: History, rules: RereadPolicy) -> Estimate:
    last = past.last.get(table.name)
    known = predicted(table, start, now, past, rules)
    if known is not None:
        return known
    try:
        if table.reading is Reading.PEOPLE:
            return of_people(table, await people_by_workspace(client))
        if table.page_size is None:
            return Estimate(table.name, len(table.slices), len(table.slices), last.read if last else None, ONE_ANSWER)
        parts = parts_of(table, start, now)
        pages = await together([partial(_first_page, client, table, part) for part in parts])
    except (ForbiddenError, ReadError) as error:
        return Estimate(table.name, 0, 0, None, "", error=str(error), refused=isinstance(error, AccessError))
    return of_first_pages(table, list(zip(parts, pages, strict=True)))


def of_people(table: Table, people: Sequence[int]) -> Estimate:
    """The cost of reading everybody. `people` are the counts of all workspaces, and only one of them is the key's."""
    costs = [people_requests(table, count) for count in people]
    if len(people) == 1:
        return Estimate(table.name, costs[0], costs[0], people[0], COUNTED)
    if not people:
        return Estimate(table.name, 1, None, None, "no workspace is listed")
    return Estimate(table.name, min(costs), max(costs), None, f"one of {len(people)} workspaces")


def of_first_pages(table: Table, first: Sequence[tuple[Partition, Page]]) -> Estimate:
    """The cost of reading a table of whose parts the first pages are known; a part that another holds costs a request.

    Lists by offset cost one more, unless one shows by its length how long a page can be.
    """
    asked = [(part, page) for part, page in first if not _is_covered(table, part)]
    costs = [_cost(table, part, page) for part, page in asked]
    extra = len(first) - len(asked)
    if table.paging is Paging.OFFSET:
        counts = [len(page.items) for _, page in first]
        extra += 0 < max(counts, default=0) < (table.page_size or 1)
    most = [cost.most for cost in costs]
    known = [one for one in most if one is not None]
    return Estimate(
        table.name,
        sum(cost.least for cost in costs) + extra,
        sum(known) + extra if len(known) == len(most) else None,
        sum(cost.rows for cost in costs),
        FIRST_PAGE if any(cost.estimated for cost in costs) else COUNTED,
    )


@dataclass(frozen=True, slots=True)
class TableEstimate:
    """How many requests a table takes: at least, and at most where that is known."""

    least: int
    most: int | None
    rows: int
    estimated: bool = False


def _cost(table: Table, part: Partition, page: Page) -> TableEstimate:
    count = len(page.items)
    windows = 1
    if table.reading is Reading.WINDOWS:
        first, last = bounds_of(part)
        windows = ceil((last - first + 1) / WINDOW)
    if not page.next if table.paging is Paging.CURSOR else count < (table.page_size or 1):
        return TableEstimate(windows, windows, count, estimated=windows > 1)
    if count < (table.page_size or 1) and table.reading is Reading.LIST:
        return TableEstimate(2, 2, count)  # an empty page may stand behind the last token
    guess = stretched(_times(table, page), _reach(table, part, page))
    if guess is None:
        return TableEstimate(windows + 1, None, count, estimated=True)
    requests = max(windows, ceil(guess / max(1, count)))
    return TableEstimate(requests, requests, guess, estimated=True)


def stretched(times: Sequence[int], until: int | None) -> int | None:
    """How many rows a list has that goes back to `until`, if it is everywhere as dense as on its first page.

    until                              oldest      newest
      |- - - - - as dense as - - - - - ->|███ page ███|
    """
    if until is None or not times or max(times) == min(times):
        return None
    density = len(times) / (max(times) - min(times))
    return len(times) + max(1, round(max(0, min(times) - until) * density))


def _is_covered(table: Table, part: Partition) -> bool:
    return any(one.name == part.name and one.covered_by for one in table.slices)


def _reach(table: Table, part: Partition, page: Page) -> int | None:
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


async def people_by_workspace(client: Client) -> list[int]:
    """The people of each workspace of the account."""
    workspaces = table_named("workspaces")
    return people_counts(await _first_page(client, workspaces, Partition("all")))


def people_counts(page: Page) -> list[int]:
    """The people of each workspace, in a page of the list of workspaces."""
    return _integers(page, "people")


async def _first_page(client: Client, table: Table, part: Partition) -> Page:
    """The first page of a part; of one that the API does not know, a page without rows."""
    request = request_for(table, part, Cursor())
    try:
        return await client.send(request, lambda body: read_page(body, table.records), RequestCounter())
    except ChildGoneError:
        return Page([], "")
