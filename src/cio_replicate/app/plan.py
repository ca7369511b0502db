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
from cio_replicate.pipeline.estimates import (
    Estimate,
    History,
    RequestSpeed,
    last_complete,
    of_changes,
    of_first_pages,
    of_people,
    people_counts,
    people_requests,
    predicted,
)
from cio_replicate.pipeline.run_plan import LOG
from cio_replicate.schema.table import Reading, Table
from cio_replicate.sinks.backend import NOT_DELETED
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
        count = past.copy.count(people, [NOT_DELETED])
        shorter = of_changes(people, now, base, past)
        return PeopleCosts(people_requests(people, count), shorter.least, shorter.rows, rules.full_every_days)
    if mine.rows is None:
        return None
    return PeopleCosts(mine.least, ceil(mine.rows / (people.page_size or 1)), None, rules.full_every_days)


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
    def speed(self) -> RequestSpeed:
        """How fast requests can be sent."""
        return RequestSpeed(self.max_rps, self.answer_seconds or 0.0)

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
        needs = partial(self.speed.seconds, table_named(one.table))
        time = _span(duration(needs(one.least)), one.most and duration(needs(one.most)))
        return _span(number(one.least), one.most and number(one.most)), rows, time


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
        by_rules = {table.name: table.rules for table in tables}  # by other ones than before, tables are read anew
        again = {
            name: at
            for name, at in past.positions.items()
            if not (name in treatments and treatments[name].mode is WriteMode.FULL) and by_rules.get(name) == at.rules
        }
        return asyncio.run(_plan(reached, tables, replace(past, positions=again), rules, clock))


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
    log = next((one for one in tables if one.name == LOG), table_named(LOG))
    with looked_at(copy) as sink:
        yield History(sink, sink.positions(), last, log) if sink.look() is not None else History(last=last)


async def _plan(
    connection: Connection, tables: Sequence[Table], past: History, rules: RereadPolicy, clock: Clock
) -> PlanReport:
    now = int(clock.now())
    async with connected(connection, clock, IMPATIENT) as client:
        estimates = await estimate(client, tables, connection.start, now, past, rules)
        asked, speed = client.totals.requests, RequestSpeed(connection.max_rps, client.answer_time)
    whole = total(estimates)
    least = speed.together({one.table: one.least for one in estimates})
    most = speed.together({one.table: one.most or 0 for one in estimates})
    return PlanReport(
        max_rps=connection.max_rps,
        asked=asked,
        least=whole.least,
        most=whole.most,
        answer_seconds=round(speed.answer_time, 3) or None,
        seconds_least=round(least, 1),
        seconds_most=round(most, 1) if whole.most is not None else None,
        tables=estimates,
        customers=modes(estimates, now, past, rules),
    )


def _span(least: str, most: str | int | None) -> str:
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
    except (NoReadAccessError, ReadError) as error:
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
