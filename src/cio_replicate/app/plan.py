"""What a run will cost: requests per table, from very few requests where earlier runs do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

from cio_replicate.base.errors import AccessError, ChildGoneError, ForbiddenError, ReadError
from cio_replicate.base.runtime import together
from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.estimates import (
    Estimate,
    History,
    of_changes,
    of_first_pages,
    of_people,
    people_counts,
    people_requests,
    predicted,
)
from cio_replicate.schema.table import Reading, Table
from cio_replicate.sinks.port import count_rows
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.client import Client
from cio_replicate.source.pages import Cursor, Page, RequestCounter, read_page
from cio_replicate.source.strategies.base import Partition, parts_of, request_for

ONE_ANSWER = "one answer a list"


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
        count = count_rows(past.copy, people)
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


async def people_by_workspace(client: Client) -> list[int]:
    """The people of each workspace of the account."""
    workspaces = table_named("workspaces")
    return people_counts(await _first_page(client, workspaces, Partition("all")))


async def _first_page(client: Client, table: Table, part: Partition) -> Page:
    """The first page of a part; of one that the API does not know, a page without rows."""
    request = request_for(table, part, Cursor())
    try:
        return await client.send(request, lambda body: read_page(body, table.records), RequestCounter())
    except ChildGoneError:
        return Page([], "")
