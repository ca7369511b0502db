"""`sync`, `resync` and `backfill`: check the settings, execute the run, show its end."""

from __future__ import annotations

from typing import Annotated

import typer

from cio_replicate.app.settings import names_among, names_of
from cio_replicate.app.sync import execute
from cio_replicate.app.task import Task, backfilling, forgetting, task_of
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.cli.options import Output, command
from cio_replicate.cli.show import LineShow, LiveShow, QuietShow
from cio_replicate.cli.summary import print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import (
    AGAIN,
    AccessOptions,
    CopyOptions,
    DestinationOptions,
    KeepLanded,
    RereadOptions,
    SourceOptions,
    StartDateOptions,
    Wanted,
)
from cio_replicate.pipeline.events import Renderer
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.source import catalog as catalogue
from cio_replicate.source.catalog.selection import stretch


@command(
    "sync",
    "export CIO_ACCESS_TOKEN=…",
    "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
    "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --tables campaigns,messages",
    "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --json > report.json",
)
def sync(
    *,
    since: StartDateOptions,
    copy: DestinationOptions,
    source: SourceOptions,
    shaping: CopyOptions,
    again: RereadOptions,
    full_refresh: Annotated[
        str | None,
        typer.Option(
            "--full-refresh",
            metavar="A,B|all",
            help="Read these tables whole, from the start date on, whatever was read before; rows in the copy stay.",
            rich_help_panel=AGAIN,
        ),
    ] = None,
    keep_landed: KeepLanded = False,
    output: Output,
) -> int:
    """Copy the workspace into a database, a warehouse or a lake, or bring an earlier copy up to date.

    The first run reads everything since the start date, later ones what is recent or may have changed, and write only
    what did. A run that failed or was stopped with Ctrl-C is gone on with by the same command. The access token and
    the credentials of the destination are never written on the command line: references say where they are kept.

    Ends with 0 when every table is complete, 1 when one failed or the copy lacks rows, 2 when settings or access are
    wrong (nothing is written then), 130 when it was stopped.
    """
    wanted = Wanted(since=since, copy=copy, source=source, shaping=shaping, again=again)
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


@command(
    "resync",
    "cio-replicate resync segments --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
    "cio-replicate resync messages customers --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
)
def resync(
    names: Annotated[list[str], typer.Argument(metavar="TABLE...", help="The tables to read anew.")],
    *,
    since: StartDateOptions,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    keep_landed: KeepLanded = False,
    output: Output,
) -> int:
    """Forget what is known of tables and read them anew, whole, from the start date on.

    Mends a table that somebody else has changed: what the copy holds is taken as it is, read rows are put in its place
    where they differ, and rows that a list does not have are deleted.
    """
    source = SourceOptions.of(access, names_among(names))
    wanted = Wanted(since=since, copy=copy, source=source, shaping=shaping, again=RereadOptions())
    clock = SystemClock()
    task = task_of(wanted, clock, refresh=names_of(source), keep_landed=keep_landed)
    return run(forgetting(task), clock, output)


@command(
    "backfill", "cio-replicate backfill messages --from 2024-03-01 --until 2024-04-01 --to duckdb:///customerio.duckdb"
)
def backfill(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A table that is read by time: messages.")],
    *,
    first: Annotated[str, typer.Option("--from", metavar="DATE", help="The first moment to read.")],
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="The last moment to read; now if not given.")
    ] = None,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    keep_landed: KeepLanded = False,
    output: Output,
) -> int:
    """Read a stretch of time once more, or for the first time, and leave the position where it is.

    For messages that were opened or clicked later than runs look, or that lie before the start date.
    """
    source = SourceOptions.of(access, [table])
    since = StartDateOptions(start_date=first)
    wanted = Wanted(since=since, copy=copy, source=source, shaping=shaping, again=RereadOptions())
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
