"""What a run will cost: requests per table, from very few requests where earlier runs do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

from cio_replicate.base.errors import AccessError, ChildGoneError, ForbiddenError, ReadError
from cio_replicate.base.runtime import together
from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.estimates import History, account_people, predicted
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import ACCOUNT, PEOPLE
from cio_replicate.source.client import Client
from cio_replicate.source.pages import Cursor, Page, RequestCounter, read_page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import START, Estimate, Partition, ReadScope, Strategy
from cio_replicate.source.strategies.people import changes_requests, people_requests


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
    people = PEOPLE
    mine = next((one for one in estimates if one.table == people.name and one.error is None), None)
    base = past.positions.get(people.name)
    if mine is None:
        return None
    if base is not None and past.copy is not None:
        count, changed = past.rows(people), past.changed_people(base.through, now)
        shorter = changes_requests(people, count, changed)
        return PeopleCosts(people_requests(people, count), shorter, changed, rules.full_every_days)
    if mine.rows is None:
        return None
    return PeopleCosts(mine.least, ceil(mine.rows / (people.page_size or 1)), None, rules.full_every_days)


async def estimate(
    client: Client, tables: Sequence[Table], start: int, now: int, past: History, rules: RereadPolicy
) -> list[Estimate]:
    """One estimate per table, in their order. Raises AccessError when the key is refused as a whole."""
    return await together([partial(_one, client, table, start, now, past, rules) for table in tables])


async def _one(client: Client, table: Table, start: int, now: int, past: History, rules: RereadPolicy) -> Estimate:
    strategy = strategy_of(table, ReadScope(start, now, past.positions.get(table.name), rules))
    known = predicted(strategy, past)
    if known is not None:
        return known
    strategy = strategy_of(table, ReadScope(start, now))
    try:
        found = await strategy.probe(partial(_page, client, strategy), partial(people_by_workspace, client))
    except (ForbiddenError, ReadError) as error:
        return Estimate(table.name, 0, 0, None, "", error=str(error), refused=isinstance(error, AccessError))
    last = past.last(table)
    return replace(found, rows=last[1]) if found.rows is None and last is not None else found


async def people_by_workspace(client: Client) -> list[int]:
    """The people of each workspace of the account."""
    strategy = strategy_of(ACCOUNT, ReadScope(0, 0))
    (partition,) = strategy.partitions()
    page = await _page(client, strategy, partition, START)
    return [] if page is None else account_people(page)


async def _page(client: Client, strategy: Strategy, partition: Partition, cursor: Cursor) -> Page | None:
    """A page of a partition; None when the API does not know the partition."""
    read = partial(read_page, key=strategy.records(partition))
    try:
        return await client.send(strategy.request(partition, cursor), read, RequestCounter())
    except ChildGoneError:
        return None
