"""`sync`: check the settings, execute the run, show its end."""

from __future__ import annotations

import os
from dataclasses import replace

from cio_replicate.base.clock import Clock, SystemClock
from cio_replicate.base.errors import SettingsError
from cio_replicate.cli.connect import (
    addresses_of,
    connection_of,
    erases,
    names_of,
    rules_of,
    state_root,
    tables_of,
    treatments_of,
)
from cio_replicate.cli.execute import Task, execute
from cio_replicate.cli.options import Copy, Output, Wanted
from cio_replicate.cli.show import LineShow, LiveShow, QuietShow, Show
from cio_replicate.cli.summary import print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.replication.planner import Order
from cio_replicate.replication.report import Report, Status
from cio_replicate.settings import connection as settings
from cio_replicate.settings.modes import Mode
from cio_replicate.settings.references import caution
from cio_replicate.tables import catalogue
from cio_replicate.tables.declare import Reading


def sync(wanted: Wanted, output: Output, *, full_refresh: str | None, keep_landed: bool) -> int:
    """Run once; the exit code. Raises SettingsError."""
    clock = SystemClock()
    refresh = settings.refreshed(catalogue.names(), full_refresh)
    return run(task_of(wanted, clock, refresh=refresh, keep_landed=keep_landed), clock, output)


def run(task: Task, clock: Clock, output: Output) -> int:
    """Execute a task once and tell its end; the exit code."""
    for one in task.cautions:
        say(messages(), one, "yellow")
    report = execute(task, clock, show_for(task, clock, output))
    tell_end(report, output)
    return report.exit_code


def resync(wanted: Wanted, output: Output, *, keep_landed: bool) -> int:
    """Forget the wanted tables and read them anew; the exit code. Raises SettingsError."""
    clock = SystemClock()
    task = task_of(wanted, clock, refresh=names_of(wanted.source), keep_landed=keep_landed)
    return run(replace(task, order=replace(task.order, forget=True)), clock, output)


def backfill(table: str, first: str, until: str | None, wanted: Wanted, output: Output, *, keep_landed: bool) -> int:
    """Read a stretch of time of a table once more; the exit code. Raises SettingsError."""
    clock = SystemClock()
    windowed = [one.name for one in catalogue.TABLES if one.reading is Reading.WINDOWS]
    if table not in windowed:
        raise SettingsError(
            f"{table!r} cannot be read by time.",
            f"Name one that can: {', '.join(windowed)}; `resync` reads any other anew.",
        )
    now = clock.now()
    begin = settings.start_date(first, now, "--from")
    end = int(now) if until is None else settings.start_date(until, now, "--until")
    if end < begin:
        raise SettingsError("--until lies before --from.", "Turn them round.")
    task = task_of(wanted, clock, keep_landed=keep_landed)
    if task.order.treatment(table).mode is Mode.FULL:
        raise SettingsError(
            "--mode full takes back what a backfill brings.", "Give --start-date of `sync` an earlier day instead."
        )
    return run(replace(task, order=replace(task.order, backfill=(begin, end))), clock, output)


def task_of(wanted: Wanted, clock: Clock, *, refresh: tuple[str, ...] = (), keep_landed: bool = False) -> Task:
    """What the options ask for. Raises SettingsError."""
    copy = wanted.copy
    connection = connection_of(wanted.source, clock, wanted.since.start_date)
    names = names_of(wanted.source)
    chosen = tables_of(names, wanted.shaping)
    addresses = addresses_of(copy.to if isinstance(copy, Copy) else [])
    references = (one for one in (wanted.source.access_token_from, wanted.shaping.salt) if one is not None)
    said = [
        *(one for address in addresses for one in address.cautions),
        *(caution(one, os.environ) for one in references),
    ]
    return Task(
        connection=connection,
        destinations=addresses,
        dataset=settings.dataset(copy.dataset),
        order=Order(
            chosen,
            connection.start,
            refresh,
            rules_of(wanted.again, chosen, wanted.shaping),
            treatments_of(wanted.shaping, names),
            keep_landed=keep_landed,
            erase=erases(wanted.shaping),
            others=tables_of((name for name in catalogue.names() if name not in names), wanted.shaping),
        ),
        state_root=state_root(copy.state_dir),
        cautions=tuple(dict.fromkeys(one for one in said if one)),
    )


def show_for(task: Task, clock: Clock, output: Output) -> Show:
    """How the run is shown while it goes on."""
    console = messages()
    names = [table.name for table in task.order.tables]
    if output.quiet:
        return QuietShow(console)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveShow(console, clock, names)
    return LineShow(console, clock, names)


def tell_end(report: Report, output: Output) -> None:
    """Show the report: as JSON, as a table, or only why nothing was read."""
    if output.json:
        write_json(report.to_json())
    if report.status is Status.REFUSED:
        say(messages(), f"Error: {report.error}", "red")
    elif not output.json and not output.quiet:
        print_summary(product(), report)
    elif not output.quiet or report.status is not Status.COMPLETE:
        say(messages(), sentence(report))
