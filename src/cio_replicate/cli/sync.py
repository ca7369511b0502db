"""`sync`, `resync`, `backfill`, `load`: check the settings, run, show the end."""

from __future__ import annotations

from cio_replicate.app.settings import ResolvedTask, names_among, resolve
from cio_replicate.app.sync import sync as executed
from cio_replicate.app.sync import sync_from_staged
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.cli.options import Output
from cio_replicate.cli.show import LineShow, LiveShow, QuietShow
from cio_replicate.cli.summary import print_summary, sentence
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import (
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
from cio_replicate.source import catalog as catalogue


def sync(
    since: StartDateOptions,
    copy: DestinationOptions,
    source: SourceOptions,
    shaping: CopyOptions,
    again: RereadOptions,
    output: Output,
    *,
    full_refresh: str | None,
    keep_landed: bool,
) -> int:
    """Run once; the exit code. Raises Refused."""
    refresh = settings.refreshed(catalogue.names(), full_refresh)
    connection = gathered(ConnectionSettings, since, source)
    task = gathered(TaskSettings, copy, source, shaping, again, connection="", keep_landed=keep_landed)
    clock = SystemClock()
    return run(resolve(connection, task, clock, refresh=refresh, state_dir=copy.state_dir), clock, output)


def resync(
    names: list[str],
    since: StartDateOptions,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    output: Output,
    *,
    keep_landed: bool,
) -> int:
    """Forget tables and read them anew; the exit code. Raises Refused."""
    names = list(names_among(names))
    action = RunAction(kind=ActionKind.RESYNC, tables=tuple(names))
    return _run_tables(names, action, since, copy, access, shaping, output, keep_landed=keep_landed)


def backfill(
    table: str,
    first: str,
    until: str | None,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    output: Output,
    *,
    keep_landed: bool,
) -> int:
    """Read a stretch of time of a table once more; the exit code. Raises Refused."""
    action = RunAction(kind=ActionKind.BACKFILL, tables=(table,), first=first, until=until)
    since = StartDateOptions(start_date=first)
    return _run_tables([table], action, since, copy, access, shaping, output, keep_landed=keep_landed)


def load(
    staged: list[str], copy: DestinationOptions, tables: TableOptions, shaping: WriteModeOptions, output: Output
) -> int:
    """Fill a copy from staged pages; the exit code. Raises Refused."""
    task = gathered(TaskSettings, copy, tables, shaping, connection="")
    report = sync_from_staged(staged, task, SystemClock(), state_dir=copy.state_dir)
    tell_end(report, output)
    return report.exit_code


def _run_tables(
    names: list[str],
    action: RunAction,
    since: StartDateOptions,
    copy: DestinationOptions,
    access: AccessOptions,
    shaping: CopyOptions,
    output: Output,
    *,
    keep_landed: bool,
) -> int:
    """Do something with these tables alone; the exit code. Raises Refused."""
    connection = gathered(ConnectionSettings, since, access)
    task = gathered(TaskSettings, copy, shaping, connection="", tables=",".join(names), keep_landed=keep_landed)
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
