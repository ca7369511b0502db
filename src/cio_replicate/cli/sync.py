"""`sync`, `resync`, `backfill`, `load`: check the settings, run, show the end."""

from __future__ import annotations

from typing import Annotated

from cio_replicate.app.settings import ResolvedTask, names_among, resolve
from cio_replicate.app.sync import sync as executed
from cio_replicate.app.sync import sync_from_staged
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.cli.options import Output, argument, command, option
from cio_replicate.cli.run_display import LogRenderer, QuietRenderer, TableRenderer, print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.config import connection_options
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import (
    REREAD,
    AccessOptions,
    CopyOptions,
    DestinationOptions,
    RereadOptions,
    SourceOptions,
    StartDateOptions,
    TableOptions,
    WriteModeOptions,
    gathered,
)
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.pipeline.events import Renderer
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.source import catalog


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
        option(
            "--full-refresh",
            "A,B|all",
            "Read these tables whole, from the start date on, whatever was read before; rows in the copy stay.",
            REREAD,
        ),
    ] = None,
    keep_landed: bool = False,
    output: Output,
) -> int:
    """Copy the workspace into a database, a warehouse or a lake, or bring an earlier copy up to date.

    The first run reads everything since the start date, later ones what is recent or may have changed, and write only
    what did. A run that failed or was stopped with Ctrl-C is gone on with by the same command. The access token and
    the credentials of the destination are never written on the command line: references say where they are kept.

    Ends with 0 when every table is complete, 1 when one failed or the copy lacks rows, 2 when settings or access are
    wrong (nothing is written then), 130 when it was stopped.
    """
    refresh = connection_options.refreshed(catalog.names(), full_refresh)
    connection = gathered(ConnectionSettings, since, source)
    task = gathered(TaskSettings, copy, source, shaping, again, connection="", keep_landed=keep_landed)
    clock = SystemClock()
    return run(resolve(connection, task, clock, refresh=refresh, state_dir=copy.state_dir), clock, output)


@command(
    "resync",
    "cio-replicate resync segments --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
    "cio-replicate resync messages customers --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
)
def resync(
    names: Annotated[list[str], argument("TABLE...", "The tables to read anew.")],
    *,
    since: StartDateOptions,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    keep_landed: bool = False,
    output: Output,
) -> int:
    """Forget what is known of tables and read them anew, whole, from the start date on.

    Mends a table that somebody else has changed: what the copy holds is taken as it is, read rows are put in its place
    where they differ, and rows that a list does not have are deleted.
    """
    action = RunAction(kind=ActionKind.RESYNC, tables=names_among(names))
    return _run_tables(action, since, copy, access, shaping, output, keep_landed=keep_landed)


@command(
    "backfill", "cio-replicate backfill messages --from 2024-03-01 --until 2024-04-01 --to duckdb:///customerio.duckdb"
)
def backfill(
    table: Annotated[str, argument("TABLE", "A table that is read by time: messages.")],
    *,
    first: Annotated[str, option("--from", "DATE", "The first moment to read.")],
    until: Annotated[str | None, option("--until", "DATE", "The last moment to read; now if not given.")] = None,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    keep_landed: bool = False,
    output: Output,
) -> int:
    """Read a stretch of time once more, or for the first time, and leave the position where it is.

    For messages that were opened or clicked later than runs look, or that lie before the start date.
    """
    action = RunAction(kind=ActionKind.BACKFILL, tables=(table,), first=first, until=until)
    since = StartDateOptions(start_date=first)
    return _run_tables(action, since, copy, access, shaping, output, keep_landed=keep_landed)


@command(
    "load",
    "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --keep-landed",
    "cio-replicate load --from-landing duckdb:///customerio.duckdb --to parquet:///lake",
)
def load(
    *,
    from_landing: Annotated[
        list[str],
        option("--from-landing", "URL", "The copy whose pages were kept: what --to was in that sync."),
    ],
    tables: TableOptions,
    copy: DestinationOptions,
    shaping: WriteModeOptions,
    output: Output,
) -> int:
    """Fill another destination from the pages that `sync --keep-landed` has kept, without a request.

    A sync into the new destination goes on from there.
    """
    task = gathered(TaskSettings, copy, tables, shaping, connection="")
    report = sync_from_staged(from_landing, task, SystemClock(), state_dir=copy.state_dir)
    tell_end(report, output)
    return report.exit_code


def _run_tables(
    action: RunAction,
    since: StartDateOptions,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    output: Output,
    *,
    keep_landed: bool,
) -> int:
    """Run an action with its tables alone; return the exit code. Raises Refused."""
    connection = gathered(ConnectionSettings, since, access)
    task = gathered(TaskSettings, copy, shaping, connection="", tables=",".join(action.tables), keep_landed=keep_landed)
    clock = SystemClock()
    return run(resolve(connection, task, clock, action, state_dir=copy.state_dir), clock, output)


def run(task: ResolvedTask, clock: Clock, output: Output) -> int:
    """Execute a task once and tell its end; the exit code."""
    for one in task.cautions:
        say(messages(), one, "yellow")
    report = executed(task, clock, show_for(task, clock, output))
    tell_end(report, output)
    return report.exit_code


def show_for(task: ResolvedTask, clock: Clock, output: Output) -> Renderer:
    """How the run is shown while it goes on."""
    console = messages()
    names = [table.name for table in task.spec.tables]
    if output.quiet:
        return QuietRenderer(console)
    if console.is_terminal and not console.is_dumb_terminal:
        return TableRenderer(console, clock, names)
    return LogRenderer(console, clock, names)


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
