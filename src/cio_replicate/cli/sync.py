"""`sync`: check the settings, execute the run, show its end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from cio_replicate.base.clock import Clock, SystemClock
from cio_replicate.base.errors import SettingsError
from cio_replicate.cli.connect import addresses_of, connection_of, rules_of, state_root, tables_of, treatments_of
from cio_replicate.cli.execute import Task, execute
from cio_replicate.cli.options import Copy, Output, Since, Wanted
from cio_replicate.cli.show import LineShow, LiveShow, QuietShow, Show
from cio_replicate.cli.summary import print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.replication.planner import Order
from cio_replicate.replication.report import Report, Status
from cio_replicate.settings import connection as settings
from cio_replicate.tables import catalogue
from cio_replicate.tables.declare import Reading


def sync(wanted: Wanted, output: Output, *, full_refresh: str | None, keep_landed: bool) -> int:
    """Run once; the exit code. Raises SettingsError."""
    clock = SystemClock()
    refresh = settings.refreshed(catalogue.names(), full_refresh)
    return run(task_of(wanted, clock, refresh=refresh, keep_landed=keep_landed), clock, output)


def run(task: Task, clock: Clock, output: Output) -> int:
    """Execute a task once and tell its end; the exit code."""
    for address in task.destinations:
        for caution in address.cautions:
            say(messages(), caution, "yellow")
    report = execute(task, clock, show_for(task, clock, output))
    tell_end(report, output)
    return report.exit_code


def resync(names: list[str], wanted: Wanted, output: Output) -> int:
    """Forget tables and read them anew; the exit code. Raises SettingsError."""
    clock = SystemClock()
    only = replace(wanted, source=replace(wanted.source, tables=",".join(names), exclude=None))
    task = task_of(only, clock, refresh=tuple(table.name for table in tables_of(only.source)))
    return run(replace(task, order=replace(task.order, forget=True)), clock, output)


def backfill(table: str, first: str, until: str | None, wanted: Wanted, output: Output) -> int:
    """Read a stretch of time of a table once more; the exit code. Raises SettingsError."""
    clock = SystemClock()
    windowed = [one.name for one in catalogue.TABLES if one.reading is Reading.WINDOWS]
    if table not in windowed:
        raise SettingsError(
            f"{table!r} cannot be read by time.", f"The tables that can: {', '.join(windowed)}; for others, `resync`."
        )
    now = clock.now()
    begin, end = settings.start_date(first, now), int(now) if until is None else settings.start_date(until, now)
    if end < begin:
        raise SettingsError("--until lies before --from.", "Turn them round.")
    since = Since(start_date=datetime.fromtimestamp(begin, UTC).isoformat())
    only = replace(wanted, since=since, source=replace(wanted.source, tables=table, exclude=None))
    task = task_of(only, clock)
    return run(replace(task, order=replace(task.order, backfill=(begin, end))), clock, output)


def task_of(wanted: Wanted, clock: Clock, *, refresh: tuple[str, ...] = (), keep_landed: bool = False) -> Task:
    """What the options ask for. Raises SettingsError."""
    copy = wanted.copy
    connection = connection_of(wanted.source, clock, wanted.since.start_date)
    chosen = tables_of(wanted.source, wanted.shaping)
    return Task(
        connection=connection,
        destinations=addresses_of(copy.to if isinstance(copy, Copy) else []),
        dataset=settings.dataset(copy.dataset),
        order=Order(
            chosen,
            connection.start,
            refresh,
            rules_of(wanted.again, chosen, wanted.shaping),
            treatments_of(wanted.shaping, [table.name for table in chosen]),
            keep_landed=keep_landed,
        ),
        state_root=state_root(copy.state_dir),
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
