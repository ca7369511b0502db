"""The commands that look after a copy: verify, resync, backfill, load, preview, drop, destinations."""

from __future__ import annotations

from typing import Annotated

import typer

from cio_replicate.cli.commands import app, examples
from cio_replicate.cli.options import AsJson, Output
from cio_replicate.cli.taking import taking
from cio_replicate.config.options import (
    AccessOptions,
    ColumnOptions,
    CopyOptions,
    DestinationOptions,
    Exclude,
    KeepLanded,
    Only,
    SourceOptions,
    StartDateOptions,
    TableOptions,
    WriteModeOptions,
)


@app.command(
    epilog=examples(
        "cio-replicate verify --to duckdb:///customerio.duckdb",
        "cio-replicate verify --to duckdb:///customerio.duckdb --requests 0",
    )
)
@taking
def verify(
    *,
    copy: DestinationOptions,
    source: SourceOptions,
    looks: ColumnOptions,
    requests: Annotated[
        int,
        typer.Option(
            "--requests", metavar="COUNT", min=0, help="Requests at most, to count lists at the source; 0 asks nothing."
        ),
    ] = 60,
    output: AsJson,
) -> int:
    """Find out whether a copy is true: what it holds, what was loaded into it, and what the source counts.

    Reads the keys of all rows back from the copy and compares them with those that were loaded; counts lists at the
    source again. The result is added to the table _cio_proof. Ends with 1 when a table is short.
    """
    from cio_replicate.cli import verify as work  # noqa: PLC0415 - so that --help is quick

    return work.verify(copy, source, looks, requests, output)


@app.command(
    epilog=examples(
        "cio-replicate resync segments --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
        "cio-replicate resync messages customers --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
    )
)
@taking
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
    from cio_replicate.cli import sync as work  # noqa: PLC0415 - see above

    return work.resync(names, since, copy, access, shaping, output, keep_landed=keep_landed)


@app.command(
    epilog=examples(
        "cio-replicate backfill messages --from 2024-03-01 --until 2024-04-01 --to duckdb:///customerio.duckdb"
    )
)
@taking
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
    from cio_replicate.cli import sync as work  # noqa: PLC0415 - see above

    return work.backfill(table, first, until, copy, access, shaping, output, keep_landed=keep_landed)


@app.command(
    epilog=examples(
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb --keep-landed",
        "cio-replicate load --from-landing duckdb:///customerio.duckdb --to parquet:///lake",
    )
)
@taking
def load(
    *,
    from_landing: Annotated[
        list[str],
        typer.Option(
            "--from-landing", metavar="URL", help="The copy whose pages were kept: what --to was in that sync."
        ),
    ],
    copy: DestinationOptions,
    tables: Only = None,
    exclude: Exclude = None,
    shaping: WriteModeOptions,
    output: Output,
) -> int:
    """Fill another destination from the pages that `sync --keep-landed` has kept, without a request.

    A sync into the new destination goes on from there.
    """
    from cio_replicate.cli import sync as work  # noqa: PLC0415 - see above

    return work.load(from_landing, copy, TableOptions(tables=tables, exclude=exclude), shaping, output)


@app.command(epilog=examples("cio-replicate preview campaigns", "cio-replicate preview customers --rows 3 --json"))
@taking
def preview(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table.")],
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="COUNT", min=1, max=100, help="Rows at most.")] = 5,
    access: AccessOptions,
    looks: ColumnOptions,
    output: AsJson,
) -> int:
    """Show the first rows of a table as a copy would have them, with one request or two; nothing is written."""
    from cio_replicate.cli import preview as work  # noqa: PLC0415 - see above

    return work.preview(name, rows, access, looks, output)


@app.command(
    epilog=examples(
        "cio-replicate drop segments --to duckdb:///customerio.duckdb",
        "cio-replicate drop --all --to duckdb:///customerio.duckdb --yes",
    )
)
@taking
def drop(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TABLE...]", help="The tables to remove.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Remove the whole copy, its records of runs too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    copy: DestinationOptions,
    looks: ColumnOptions,
) -> int:
    """Remove tables of a copy, with their changes and positions, or the whole copy. Asks first, unless --yes."""
    from cio_replicate.cli import drop as work  # noqa: PLC0415 - see above

    return work.drop(names or [], copy, looks, everything=everything, yes=yes)


@app.command(epilog=examples("cio-replicate destinations", "cio-replicate destinations postgresql"))
@taking
def destinations(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="One kind: shows its options and how to look at a copy.")
    ] = None,
    output: AsJson,
) -> int:
    """List the kinds of places a copy can be in, or show one of them."""
    from cio_replicate.cli import destinations as work  # noqa: PLC0415 - see above

    return work.destinations(name, output)
