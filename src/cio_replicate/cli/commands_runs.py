"""The commands about runs: asking for one, looking at them, cancelling, retrying; and the scheduler without pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.commands_tasks import Name, task
from cio_replicate.cli.stored import At, Shown
from cio_replicate.cli.taking import taking

INSTEAD = "What is done instead of a sync"
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run: its id, or the beginning of it.")]

runs = typer.Typer(
    name="runs",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at runs of tasks, cancel them, and try them again.",
)
app.add_typer(runs)


@task.command(
    epilog=examples(
        "cio-replicate task run daily --wait",
        "cio-replicate task run daily --resync segments,topics",
        "cio-replicate task run daily --backfill messages --from 2024-03-01 --until 2024-04-01",
    )
)
@taking
def run(
    name: Name,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", metavar="", help="Show its log and return when it has ended, with its exit code.")
    ] = False,
    resync: Annotated[
        str | None,
        typer.Option(
            "--resync",
            metavar="A,B",
            help="Forget what is known of these tables and read them anew, whole.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
    backfill: Annotated[
        str | None,
        typer.Option(
            "--backfill",
            metavar="TABLE",
            help="Read a stretch of time of this table once more.",
            rich_help_panel=INSTEAD,
        ),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="The first moment of that stretch.", rich_help_panel=INSTEAD),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="Its last moment; now if not given.", rich_help_panel=INSTEAD),
    ] = None,
    shown: Shown,
) -> int:
    """Ask for a run of a task now, whatever its schedule says.

    The console, `cio-replicate scheduler` or the task's gateway executes it, when no other run of the same workspace
    goes on. If one for the same waits already, it is that one. With --wait, ends like `sync`, and with 130 when it was
    cancelled.
    """
    from cio_replicate.cli import runs as work  # noqa: PLC0415 - so that --help is quick

    action = work.action_of(resync, backfill, first, until)
    return work.ask(name, action, shown, wait=wait)


@runs.command(
    "list", epilog=examples("cio-replicate runs list", "cio-replicate runs list --task daily --status failed")
)
@taking
def list_all(
    *,
    task_name: Annotated[str | None, typer.Option("--task", metavar="NAME", help="Only runs of this task.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="queued|running|complete|failed|refused|interrupted|cancelled",
            help="Only runs that stand so.",
        ),
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="COUNT", min=1, max=500, help="Runs at most.")] = 20,
    shown: Shown,
) -> int:
    """List runs, the newest first."""
    from cio_replicate.cli import runs as work  # noqa: PLC0415 - see above

    return work.list_all(task_name, status, count, shown)


@runs.command(epilog=examples("cio-replicate runs show 3f2a9c51", "cio-replicate runs show 3f2a9c51 --json"))
@taking
def show(run_id: RunId, *, shown: Shown) -> int:
    """Show one run: how it stands or ended, its tables, its log, and what a run that waits is waiting for."""
    from cio_replicate.cli import runs as work  # noqa: PLC0415 - see above

    return work.show(run_id, shown)


@runs.command(epilog=examples("cio-replicate runs cancel 3f2a9c51"))
@taking
def cancel(run_id: RunId, *, shown: Shown) -> int:
    """End a run: one that waits at once, one under way once its page and its batch are finished."""
    from cio_replicate.cli import runs as work  # noqa: PLC0415 - see above

    return work.cancel(run_id, shown)


@runs.command(epilog=examples("cio-replicate runs retry 3f2a9c51"))
@taking
def retry(run_id: RunId, *, shown: Shown) -> int:
    """Do once more what a run that did not end well was to do; it goes on from what has landed."""
    from cio_replicate.cli import runs as work  # noqa: PLC0415 - see above

    return work.retry(run_id, shown)


@app.command(
    epilog=examples(
        "cio-replicate scheduler", "cio-replicate scheduler --store postgresql://cio@db.internal/console --slots 8"
    )
)
@taking
def scheduler(
    *,
    slots: Annotated[
        int, typer.Option("--slots", metavar="NUMBER", min=1, max=64, help="Runs that are executed at a time.")
    ] = 4,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            help="Where landed pages of the runs are kept; a folder of your own user if not given.",
        ),
    ] = None,
    at: At,
) -> int:
    """Run tasks by their schedules, as the console does, but without its pages; until Ctrl-C.

    Several may work on one database, beside a console or without one: each time that comes is run once. When it is
    stopped, its runs finish their page and batch, and go on when another takes them.
    """
    from cio_replicate.cli import scheduler as work  # noqa: PLC0415 - see above

    return work.scheduler(at.store, slots, state_dir)
