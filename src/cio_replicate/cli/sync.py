"""`sync`: check the settings, execute the run, show its end."""

from __future__ import annotations

from cio_replicate.app.settings import (
    names_of,
)
from cio_replicate.app.sync import execute
from cio_replicate.app.task import Task, backfilling, forgetting, task_of
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.cli.options import Output
from cio_replicate.cli.show import LineShow, LiveShow, QuietShow
from cio_replicate.cli.summary import print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import Wanted
from cio_replicate.pipeline.events import Renderer
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.source import catalog as catalogue
from cio_replicate.source.catalog.selection import stretch


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
    return run(forgetting(task), clock, output)


def backfill(table: str, first: str, until: str | None, wanted: Wanted, output: Output, *, keep_landed: bool) -> int:
    """Read a stretch of time of a table once more; the exit code. Raises SettingsError."""
    clock = SystemClock()
    wanted_time = stretch(table, first, until, clock.now())
    return run(backfilling(task_of(wanted, clock, keep_landed=keep_landed), wanted_time), clock, output)


def show_for(task: Task, clock: Clock, output: Output) -> Renderer:
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
