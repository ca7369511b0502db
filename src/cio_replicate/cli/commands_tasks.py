"""The commands about tasks: what is replicated, how and when, kept under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.commands_connections import Yes
from cio_replicate.cli.stored import Shown
from cio_replicate.cli.taking import Edits, taking
from cio_replicate.config.documents import TaskSettings

Name = Annotated[str, typer.Argument(metavar="NAME", help="The task, by its name.")]

task = typer.Typer(
    name="task",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Keep what is replicated, how and when.",
)
app.add_typer(task)


@task.command(
    epilog=examples(
        "cio-replicate task create daily --connection main --to duckdb:///customerio.duckdb --cron '0 3 * * *'",
        "cio-replicate task create often --connection main --to postgresql://loader@db.internal/crm --every 15m "
        "--tables messages,activities",
    )
)
@taking
def create(name: Name, *, settings: TaskSettings, shown: Shown) -> int:
    """Keep a task under a name: a connection, destinations, tables and when it runs.

    Without --cron, --every or --after it runs only when asked to.
    """
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - so that --help is quick

    return work.create(name, settings, shown)


@task.command("list", epilog=examples("cio-replicate task list"))
@taking
def list_all(*, shown: Shown) -> int:
    """List the tasks, and when each runs next."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.list_all(shown)


@task.command(epilog=examples("cio-replicate task show daily"))
@taking
def show(name: Name, *, shown: Shown) -> int:
    """Show a task's settings and its next times."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.show(name, shown)


@task.command(
    epilog=examples(
        "cio-replicate task edit daily --cron '30 4 * * *' --zone Europe/Berlin",
        "cio-replicate task edit daily --tables ''",
    )
)
@taking
def edit(name: Name, *, given: Annotated[Mapping[str, Any], Edits(TaskSettings)], shown: Shown) -> int:
    """Change settings of a task: those that are given; an empty text takes one away. A run under way keeps its own."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.edit(name, given, shown)


@task.command(epilog=examples("cio-replicate task pause daily"))
@taking
def pause(name: Name, *, shown: Shown) -> int:
    """Let a task rest: its schedule starts nothing until it is resumed. A run under way goes on."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.pause(name, shown, paused=True)


@task.command(epilog=examples("cio-replicate task resume daily"))
@taking
def resume(name: Name, *, shown: Shown) -> int:
    """Let a task go on that was paused; times that passed meanwhile are not made up for."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.pause(name, shown, paused=False)


@task.command(epilog=examples("cio-replicate task delete daily"))
@taking
def delete(name: Name, *, yes: Yes = False, shown: Shown) -> int:
    """Delete a task and the history of its runs; the copy in its destinations stays."""
    from cio_replicate.cli import tasks as work  # noqa: PLC0415 - see above

    return work.delete(name, shown, yes=yes)
