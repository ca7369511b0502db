"""`plan`: requests and minutes per table, before anything is read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.plan import PeopleCosts, estimate, modes, total
from cio_replicate.app.settings import (
    IMPATIENT,
    addresses_of,
    connected,
    connection_of,
    names_of,
    rules_of,
    state_root,
    tables_of,
    treatments_of,
)
from cio_replicate.app.task import folder_of
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.failure import COMPLETE, FAILED, REFUSED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.past import past_runs
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.options import OptionalDestinationOptions, Wanted
from cio_replicate.config.table_options import RereadPolicy, WriteMode, WriteOptions
from cio_replicate.pipeline.estimates import Estimate, History, RequestSpeed, last_complete
from cio_replicate.pipeline.run_plan import LOG
from cio_replicate.schema.table import Table
from cio_replicate.sinks.kinds import destinations_at
from cio_replicate.source.catalog import table as table_named


class Plan(msgspec.Struct, kw_only=True):
    """The plan as `--json` writes it. `most` is null when there is no telling; `asked` requests were sent for it."""

    max_rps: float
    asked: int
    least: int
    most: int | None
    answer_seconds: float | None = None  # what an answer takes; none when nothing was asked
    seconds_least: float
    seconds_most: float | None
    tables: list[Estimate]
    customers: PeopleCosts | None = None  # what each way to read people costs; none when that is not known


def plan(wanted: Wanted, output: AsJson) -> int:
    """Estimate and print; the exit code. Raises SettingsError and AccessError."""
    clock, copy = SystemClock(), wanted.copy
    connection = connection_of(wanted.source, clock, wanted.since.start_date)
    tables = tables_of(names_of(wanted.source), wanted.shaping)
    treatments = treatments_of(wanted.shaping, [table.name for table in tables])
    rules = rules_of(wanted.again, tables, wanted.shaping)
    addresses = addresses_of((copy.to or []) if isinstance(copy, OptionalDestinationOptions) else [])
    dataset = settings.dataset(copy.dataset)
    with _past(addresses, dataset, state_root(copy.state_dir), tables) as past:
        by_rules = {table.name: table.rules for table in tables}  # by other ones than before, tables are read anew
        again = {
            name: at
            for name, at in past.positions.items()
            if not _is_read_whole(treatments.get(name)) and by_rules.get(name) == at.rules
        }
        made = asyncio.run(_plan(connection, tables, replace(past, positions=again), rules, clock))
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
    else:
        _print(made)
    if any(one.refused for one in made.tables):
        return REFUSED
    return FAILED if any(one.error is not None for one in made.tables) else COMPLETE


def _is_read_whole(treatment: WriteOptions | None) -> bool:
    return treatment is not None and treatment.mode is WriteMode.FULL


@contextmanager
def _past(addresses: Sequence[Address], dataset: str, root: Path, tables: Sequence[Table]) -> Iterator[History]:
    """What earlier runs have left, while the copy is open."""
    if not addresses:
        yield History()
        return
    folder = folder_of(root, addresses, dataset)
    last = last_complete(past_runs(folder, 100))
    log = next((one for one in tables if one.name == LOG), table_named(LOG))
    copy = destinations_at(addresses, dataset, folder, read_only=True)
    try:
        yield History(copy, copy.state.checkpoints, last, log) if copy.open() is not None else History(last=last)
    finally:
        copy.close()


async def _plan(
    connection: Connection, tables: Sequence[Table], past: History, rules: RereadPolicy, clock: Clock
) -> Plan:
    now = int(clock.now())
    async with connected(connection, clock, IMPATIENT) as client:
        estimates = await estimate(client, tables, connection.start, now, past, rules)
        asked, speed = client.totals.requests, RequestSpeed(connection.max_rps, client.answer_time)
    whole = total(estimates)
    least = speed.together({one.table: one.least for one in estimates})
    most = speed.together({one.table: one.most or 0 for one in estimates})
    return Plan(
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


def _print(made: Plan) -> None:
    console, speed = product(), RequestSpeed(made.max_rps, made.answer_seconds or 0.0)
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    for name in ("requests", "rows", "time"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("how it is known")
    for one in made.tables:
        if one.error is not None:
            grid.add_row(one.table, "", "", "", Text("cannot be read", "red"))
            continue
        rows = f"{number(one.rows)}{'' if one.most is not None else '+'}" if one.rows is not None else ""
        needs = partial(speed.seconds, table_named(one.table))
        time = span(duration(needs(one.least)), one.most and duration(needs(one.most)))
        requests = span(number(one.least), one.most and number(one.most))
        grid.add_row(one.table, requests, rows, time, Text(one.basis))
    console.print(grid)
    console.print()
    say(console, whole(made), "bold")
    if made.customers is not None:
        say(console, told(made.customers, made.max_rps))
    say(console, f"It took {counted(made.asked, 'request')} to find out; nothing was written.")
    for one in made.tables:
        if one.error is not None:
            say(console, f"{one.table}: {one.error}", "red")


def whole(made: Plan) -> str:
    """The plan in one sentence."""
    requests, time = number(made.least), duration(made.seconds_least)
    if made.most is None or made.seconds_most is None:
        requests, time = f"At least {requests}", f"{time} or more"
    elif made.most > made.least:
        requests, time = f"{requests} to {number(made.most)}", f"{time} to {duration(made.seconds_most)}"
    else:
        requests = f"About {requests}"
    answers = f" and {duration(made.answer_seconds)} an answer" if made.answer_seconds else ""
    return f"{requests} requests, {time} at {made.max_rps:g} requests a second{answers}."


def told(modes: PeopleCosts, rps: float) -> str:
    """What each way to read people costs, in one sentence."""
    about = "about " if modes.changed is not None else "at least "
    return (
        f"People: --customers full {counted(modes.full, 'request')} ({duration(modes.full / rps)}) on every run; "
        f"--customers changes {about}{counted(modes.changes, 'request')} ({duration(modes.changes / rps)}), and "
        f"{number(modes.full)} every {counted(modes.full_every_days, 'day')}."
    )


def span(least: str, most: str | int | None) -> str:
    """A number as well as it is known: `4`, `4-506`, or `2+` when there is no telling."""
    if most is None:
        return f"{least}+"
    return least if least == most or not most else f"{least} - {most}"
