"""Estimate a run: requests and seconds per table, from the copy, past runs and very few requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from pathlib import Path

import msgspec

from cio_replicate.app.settings import (
    IMPATIENT,
    connected,
    connection_of,
    copy_of,
    looked_at,
    names_of,
    rules_of,
    tables_of,
    treatments_of,
)
from cio_replicate.app.status import past_runs
from cio_replicate.base.errors import AccessError, ChildGoneError, NoReadAccessError, ReadError
from cio_replicate.base.runtime import Clock, together
from cio_replicate.base.text import duration, number
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.table_options import RereadPolicy, WriteMode
from cio_replicate.pipeline.estimates import History, RequestSpeed, last_complete, predicted
from cio_replicate.pipeline.report import recorded
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import ACCOUNT, ACTIVITY_LOG, PEOPLE
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.client import Client
from cio_replicate.source.pages import Cursor, Page, RequestCounter, read_page
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import START, Estimate, Partition, ReadScope, Strategy, integers
from cio_replicate.source.strategies.people import changes_requests, people_requests


def total(estimates: Sequence[Estimate]) -> tuple[int, int | None]:
    """Return the least and the most requests of a whole run; no most when one table has none."""
    bounds = [one.most for one in estimates]
    known = [bound for bound in bounds if bound is not None]
    return sum(one.least for one in estimates), sum(known) if len(known) == len(bounds) else None


@dataclass(frozen=True, slots=True)
class PeopleCosts:
    """The requests that each way to read people costs; `changed` people are expected to be named by the log."""

    full: int
    changes: int
    changed: int | None
    full_every_days: int


def modes(estimates: Sequence[Estimate], now: int, past: History, rules: RereadPolicy) -> PeopleCosts | None:
    """What both ways to read people cost; None when it is not known how many there are."""
    mine = next((one for one in estimates if one.table == PEOPLE.name and one.error is None), None)
    base = past.positions.get(PEOPLE.name)
    if mine is None:
        return None
    if base is not None and past.copy is not None:
        count, changed = past.rows(PEOPLE), past.changed_people(base.through, now)
        shorter = changes_requests(PEOPLE, count, changed)
        return PeopleCosts(people_requests(PEOPLE, count), shorter, changed, rules.full_every_days)
    if mine.rows is None:
        return None
    return PeopleCosts(mine.least, ceil(mine.rows / (PEOPLE.page_size or 1)), None, rules.full_every_days)


class PlanReport(msgspec.Struct, kw_only=True):
    """The plan, as JSON has it. `most` is null when there is no telling; `asked` requests were sent for it."""

    max_rps: float
    asked: int
    least: int
    most: int | None
    answer_seconds: float | None = None  # what an answer takes; none when nothing was asked
    seconds_least: float
    seconds_most: float | None
    tables: list[Estimate]
    customers: PeopleCosts | None = None  # what each way to read people costs; none when that is not known

    @property
    def sentence(self) -> str:
        """The plan in one sentence."""
        requests, time = number(self.least), duration(self.seconds_least)
        if self.most is None or self.seconds_most is None:
            requests, time = f"At least {requests}", f"{time} or more"
        elif self.most > self.least:
            requests, time = f"{requests} to {number(self.most)}", f"{time} to {duration(self.seconds_most)}"
        else:
            requests = f"About {requests}"
        answers = f" and {duration(self.answer_seconds)} an answer" if self.answer_seconds else ""
        return f"{requests} requests, {time} at {self.max_rps:g} requests a second{answers}."

    def row(self, one: Estimate) -> tuple[str, str, str]:
        """The requests, rows and time of a table, each as well as it is known."""
        rows = f"{number(one.rows)}{'' if one.most is not None else '+'}" if one.rows is not None else ""
        needs = partial(RequestSpeed(self.max_rps, self.answer_seconds or 0.0).seconds, table_named(one.table))
        time = span(duration(needs(one.least)), one.most and duration(needs(one.most)))
        return span(number(one.least), one.most and number(one.most)), rows, time


def plan(
    connection: ConnectionSettings,
    task: TaskSettings,
    clock: Clock,
    *,
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> PlanReport:
    """Estimate a run of the task; without destinations, a first run. Raises Refused and AccessError."""
    reached = connection_of(connection, clock, connection.start_date, environment)
    tables = tables_of(names_of(task), task, environment)
    treatments = treatments_of(task, [table.name for table in tables])
    rules = rules_of(task, tables, task, environment)
    with _past(task, tables, state_dir, environment) as past:
        by_rules = {table.name: table.rules for table in tables}  # by other ones than before, tables are read whole
        positions = {
            name: at
            for name, at in past.positions.items()
            if not (name in treatments and treatments[name].mode is WriteMode.FULL) and by_rules.get(name) == at.rules
        }
        return asyncio.run(_plan(reached, tables, replace(past, positions=positions), rules, clock))


@contextmanager
def _past(
    task: TaskSettings, tables: Sequence[Table], state_dir: Path | None, environment: Mapping[str, str]
) -> Iterator[History]:
    """What earlier runs have left, while the copy is open."""
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    if not copy.destinations:
        yield History()
        return
    last = last_complete(past_runs(copy.folder, 100))
    log = next((one for one in tables if one.name == ACTIVITY_LOG.name), ACTIVITY_LOG)
    with looked_at(copy) as sink:
        yield History(sink, sink.state.checkpoints, last, log) if sink.open() is not None else History(reports=last)


async def _plan(
    connection: Connection, tables: Sequence[Table], past: History, rules: RereadPolicy, clock: Clock
) -> PlanReport:
    now = int(clock.now())
    async with connected(connection, clock, IMPATIENT) as client:
        estimates = await estimate(client, tables, connection.start, now, past, rules)
        asked, speed = client.totals.requests, RequestSpeed(connection.max_rps, client.answer_time)
    least, most = total(estimates)
    seconds = speed.together({one.table: one.least for one in estimates})
    longest = speed.together({one.table: one.most or 0 for one in estimates})
    return PlanReport(
        max_rps=connection.max_rps,
        asked=asked,
        least=least,
        most=most,
        answer_seconds=round(speed.answer_time, 3) or None,
        seconds_least=round(seconds, 1),
        seconds_most=round(longest, 1) if most is not None else None,
        tables=estimates,
        customers=modes(estimates, now, past, rules),
    )


def span(least: str, most: str | int | None) -> str:
    """A number as well as it is known: `4`, `4 - 506`, or `2+` when there is no telling."""
    if most is None:
        return f"{least}+"
    return least if least == most or not most else f"{least} - {most}"


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
    except (NoReadAccessError, ReadError) as error:
        return Estimate(table.name, 0, 0, None, "", error=recorded(error), refused=isinstance(error, AccessError))
    last = past.last(table)
    return replace(found, rows=last[1]) if found.rows is None and last is not None else found


async def people_by_workspace(client: Client) -> list[int]:
    """The people of each workspace of the account."""
    strategy = strategy_of(ACCOUNT, ReadScope(0, 0))
    (partition,) = strategy.partitions()
    page = await _page(client, strategy, partition, START)
    return [] if page is None else integers(page, "people")


async def _page(client: Client, strategy: Strategy, partition: Partition, cursor: Cursor) -> Page | None:
    """A page of a partition; None when the API does not know the partition."""
    read = partial(read_page, key=strategy.records(partition))
    try:
        return await client.send(strategy.request(partition, cursor), read, RequestCounter())
    except ChildGoneError:
        return None
