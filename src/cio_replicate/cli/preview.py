"""`preview`: the first rows of a table, without a destination."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.preview import preview as first_rows
from cio_replicate.app.settings import IMPATIENT, connected, connection_of, names_among, tables_of
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import AsJson, command
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.options import AccessOptions, ColumnOptions
from cio_replicate.schema.table import Table

LONGEST = 60  # characters of a value


@command("preview", "cio-replicate preview campaigns", "cio-replicate preview customers --rows 3 --json")
def preview(
    name: Annotated[str, typer.Argument(metavar="TABLE", help="The table.")],
    *,
    rows: Annotated[int, typer.Option("--rows", metavar="COUNT", min=1, max=100, help="Rows at most.")] = 5,
    access: AccessOptions,
    looks: ColumnOptions,
    output: AsJson,
) -> int:
    """Show the first rows of a table as a copy would have them, with one request or two; nothing is written."""
    table = tables_of(names_among([name]), looks)[0]
    found = asyncio.run(_ask(connection_of(access, SystemClock()), table, rows))
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(table, found)
    return COMPLETE


async def _ask(connection: Connection, table: Table, rows: int) -> list[dict[str, Any]]:
    clock = SystemClock()
    async with connected(connection, clock, IMPATIENT) as client:
        return await first_rows(client, table, rows, int(clock.now()))


def _print(table: Table, found: Sequence[dict[str, Any]]) -> None:
    """One block per row: a table of so many columns fits no terminal."""
    console = product()
    for number, row in enumerate(found, 1):
        say(console, f"{table.target} {number}", "bold")
        grid = Grid.grid(padding=(0, 2, 0, 0))
        for name, value in row.items():
            if value is not None:
                grid.add_row(Text(f"  {name}"), Text(shortened(value)))
        console.print(grid)
        console.print()
    say(console, f"{counted(len(found), 'row')}; columns without a value are left out. Nothing was written.")


def shortened(value: object) -> str:
    """A value on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
