"""`preview`: the first rows of a table, without a destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.preview import preview as first_rows
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.options import AccessOptions, ColumnOptions
from cio_replicate.schema.table import Table

LONGEST = 60  # characters of a value


def preview(name: str, rows: int, access: AccessOptions, looks: ColumnOptions, output: AsJson) -> int:
    """Ask and print; the exit code. Raises Refused, AccessError and ReadError."""
    found = first_rows(access, name, rows, looks, SystemClock())
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found.rows), indent=2).decode())
    else:
        _print(found.table, found.rows)
    return COMPLETE


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
