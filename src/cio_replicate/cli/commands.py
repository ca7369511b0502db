"""The face of the command line: every command with its options and its help, and nothing of its work.

What does the work is imported when a command is called, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cio_replicate.base.version import __version__
from cio_replicate.cli.options import AsJson, Output
from cio_replicate.cli.taking import taking
from cio_replicate.config.options import (
    AGAIN,
    ColumnOptions,
    CopyOptions,
    DestinationOptions,
    KeepLanded,
    OptionalDestinationOptions,
    RereadOptions,
    SourceOptions,
    StartDateOptions,
    WriteModeOptions,
)

app = typer.Typer(
    name="cio-replicate",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def examples(*lines: str) -> str:
    """Lines for the end of a help text, each on a line of its own."""
    return "**Examples**\n\n" + "\n\n".join(lines)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        sys.stdout.write(f"cio-replicate {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "cio-replicate demo",
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
        "cio-replicate COMMAND --help",
    )
)
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Copy a Customer.io workspace into your own database, keep the copy true, and prove it.

    New here? `demo` shows everything with a made-up workspace, without a key and without a network.
    """
    _ = version


@app.command(epilog=examples("cio-replicate demo", "cio-replicate demo --to /tmp/try.duckdb"))
def demo(
    *,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="FILE", help="The DuckDB file to make; one that an earlier demo made is made anew."
        ),
    ] = Path("demo.duckdb"),
) -> int:
    """Show what this does with a made-up workspace: no key, no network, about ten seconds.

    Copies the workspace into a DuckDB file, changes it, copies again, proves that the copy equals the workspace, and
    asks it a question. The file stays, to look around in.
    """
    from cio_replicate.cli import demo as work  # noqa: PLC0415 - see above

    return work.demo(to)


@app.command(
    epilog=examples(
        "export CIO_ACCESS_TOKEN=…",
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --tables campaigns,messages",
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --json > report.json",
    )
)
@taking
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
    from cio_replicate.cli import sync as work  # noqa: PLC0415 - see above

    return work.sync(
        since,
        copy,
        source,
        shaping,
        again,
        output,
        full_refresh=full_refresh,
        keep_landed=keep_landed,
    )


@app.command(epilog=examples("cio-replicate tables", "cio-replicate tables messages"))
@taking
def tables(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One table: shows its columns and how it is read.")
    ] = None,
    output: AsJson,
) -> int:
    """List the tables that can be copied, or the columns of one of them."""
    from cio_replicate.cli import tables as work  # noqa: PLC0415 - see above

    return work.tables(name, output)


@app.command(epilog=examples("cio-replicate check", "cio-replicate check --to duckdb:///customerio.duckdb"))
@taking
def check(*, source: SourceOptions, copy: OptionalDestinationOptions, output: AsJson) -> int:
    """Find out whether the access token works, and which tables it may read.

    Sends one small request per table, and says for each that cannot be read why, and what to do. With --to it also
    makes, writes, reads back and drops a small table there. Ends with 0 when all is well, else with 2.
    """
    from cio_replicate.cli import check as work  # noqa: PLC0415 - see above

    return work.check_access(source, copy, output)


@app.command(epilog=examples("cio-replicate plan --start-date 2024-01-31"))
@taking
def plan(
    *,
    since: StartDateOptions,
    copy: OptionalDestinationOptions,
    source: SourceOptions,
    shaping: WriteModeOptions,
    again: RereadOptions,
    output: AsJson,
) -> int:
    """Tell what a sync would cost: requests and time per table, and how well each number is known.

    Asks the API with very few requests and writes nothing. With --to it also goes by the copy that is there and by
    the last runs. Ends like `sync`.
    """
    from cio_replicate.cli import plan as work  # noqa: PLC0415 - see above

    return work.plan(since, copy, source, shaping, again, output)


@app.command(epilog=examples("cio-replicate status --to duckdb:///customerio.duckdb"))
@taking
def status(*, copy: DestinationOptions, looks: ColumnOptions, output: AsJson) -> int:
    """Show how far each table of a copy is, what is not finished, and how the last runs went.

    Asks only this machine, never the API, and may be used while a sync runs.
    """
    from cio_replicate.cli import status as work  # noqa: PLC0415 - see above

    return work.status(copy, looks, output)


@app.command(
    epilog=examples(
        "cio-replicate simulate",
        "cio-replicate simulate --messages 200000 --days 900 --rps 10",
        "cio-replicate simulate --others-rps 4 --bursts 0.3",
    )
)
def simulate(  # noqa: PLR0913 - an option is an argument
    *,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65_535, help="Port on this machine; 0 takes a free one.")
    ] = 0,
    messages: Annotated[
        int, typer.Option(metavar="COUNT", min=0, help="Messages that the workspace has sent.")
    ] = 3_000,
    people: Annotated[int, typer.Option(metavar="COUNT", min=0, help="People in the workspace.")] = 250,
    activities: Annotated[int, typer.Option(metavar="COUNT", min=0, help="Entries in the log of activities.")] = 1_200,
    days: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Days over which the messages were sent.")] = 400,
    bursts: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Share of the messages that are sent in short bursts, as newsletters are.",
        ),
    ] = 0.0,
    rps: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, help="Requests per second that are let through; 0 for no limit.")
    ] = 10,
    others_rps: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", min=0, help="Requests per second that somebody else makes, within the same limit."
        ),
    ] = 0.0,
    latency: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Time that passes before each answer.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Another number makes another workspace, the same one the same.")
    ] = 1,
    token: Annotated[
        str, typer.Option(metavar="TOKEN", help="The access token that is let in; made up, as all of this.")
    ] = "simulator-token",  # noqa: S107 - opens nothing but the simulator
    faults: Annotated[
        str,
        typer.Option(
            metavar="none|everything",
            help="Whether to misbehave in every way a client must survive: errors, resets, cut answers, odd pages.",
        ),
    ] = "none",
) -> int:
    """Serve a made-up Customer.io workspace on this machine until Ctrl-C, to try things without a key.

    The first line of standard output is its address. Nothing leaves this machine.
    """
    from cio_replicate.cli import simulate as work  # noqa: PLC0415 - see above

    return work.simulate(
        work.Size(messages, people, activities, days, bursts),
        seed,
        port,
        token,
        work.Treatment(rps, others_rps, latency),
        faults=faults,
    )
