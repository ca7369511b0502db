"""The commands about connections: what reaches a workspace, kept once and used by any number of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.stored import Shown
from cio_replicate.cli.taking import Edits, taking
from cio_replicate.config.documents import ConnectionSettings

Name = Annotated[str, typer.Argument(metavar="NAME", help="The connection, by its name.")]
TokenGiven = Annotated[
    bool,
    typer.Option(
        "--access-token-stdin",
        metavar="",
        help="Take the access token from standard input, or ask for it, and store it encrypted.",
        rich_help_panel="Where the data comes from",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask whether that is meant.")]

connection = typer.Typer(
    name="connection",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Keep what reaches a workspace, look at what it may read, and test it.",
)
app.add_typer(connection)


@connection.command(
    epilog=examples(
        "cio-replicate connection create main --start-date 2024-01-31 --access-token-stdin < token.txt",
        "cio-replicate connection create main --start-date 2024-01-31 --access-token-from env:CIO_ACCESS_TOKEN",
    )
)
@taking
def create(name: Name, *, settings: ConnectionSettings, token_given: TokenGiven = False, shown: Shown) -> int:
    """Keep a connection under a name, so that tasks can use it.

    The access token is stored encrypted, or stays where it is and a reference says where. It is never shown again.
    """
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - so that --help is quick

    return work.create(name, settings, shown, token_given=token_given)


@connection.command("list", epilog=examples("cio-replicate connection list"))
@taking
def list_all(*, shown: Shown) -> int:
    """List the connections."""
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.list_all(shown)


@connection.command(epilog=examples("cio-replicate connection show main"))
@taking
def show(name: Name, *, shown: Shown) -> int:
    """Show a connection's settings and tasks."""
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.show(name, shown)


@connection.command(epilog=examples("cio-replicate connection test main"))
@taking
def test(name: Name, *, shown: Shown) -> int:
    """Find out whether a connection works, and which tables its key may read: one small request per table.

    Says the cause and what to do for each that cannot be read. Ends with 0 when all can, else with 2.
    """
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.test(name, shown)


@connection.command(
    epilog=examples("cio-replicate connection metadata main", "cio-replicate connection metadata main messages")
)
@taking
def metadata(
    name: Name,
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="One table: shows its columns and how it is read.")
    ] = None,
    *,
    last: Annotated[
        bool, typer.Option("--last", metavar="", help="Show what was found out last, and ask nothing.")
    ] = False,
    shown: Shown,
) -> int:
    """Open a connection's metadata: what its tables hold, which of them its key may read, and what a read costs.

    Asks the API with few requests and keeps what it finds.
    """
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.metadata(name, table, shown, last=last)


@connection.command(
    epilog=examples(
        "cio-replicate connection edit main --max-rps 5",
        "cio-replicate connection edit main --access-token-stdin < token.txt",
    )
)
@taking
def edit(
    name: Name,
    *,
    given: Annotated[Mapping[str, Any], Edits(ConnectionSettings)],
    token_given: TokenGiven = False,
    shown: Shown,
) -> int:
    """Change settings of a connection: those that are given; an empty text takes one away."""
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.edit(name, given, shown, token_given=token_given)


@connection.command(epilog=examples("cio-replicate connection delete main"))
@taking
def delete(name: Name, *, yes: Yes = False, shown: Shown) -> int:
    """Delete a connection that no task uses, with the access token that was stored for it."""
    from cio_replicate.cli import connections as work  # noqa: PLC0415 - see above

    return work.delete(name, shown, yes=yes)
