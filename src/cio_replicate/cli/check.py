"""`check`: can the key read each table, and can the copy be written."""

from __future__ import annotations

import msgspec
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.probe import AccessReport, check
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.failure import COMPLETE, REFUSED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.options import OptionalDestinationOptions, SourceOptions


def check_access(source: SourceOptions, copy: OptionalDestinationOptions, output: AsJson) -> int:
    """Check and print; the exit code. Raises Refused and AccessError."""
    found = check(source, copy.to or [], copy.dataset, SystemClock())
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)
    return COMPLETE if found.status == "ready" else REFUSED


def _print(found: AccessReport) -> None:
    console = product()
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    grid.add_column("readable", no_wrap=True)
    refused = [one for one in found.tables if not one.readable]
    if refused:
        grid.add_column("cause and fix", overflow="fold")
    for one in found.tables:
        mark = Text("yes", "green") if one.readable else Text("no", "red")
        grid.add_row(one.table, mark, *([Text(f"{one.cause} {one.fix}".strip())] if refused else []))
    console.print(grid)
    console.print()
    where = f"{found.api} ({found.region})" if found.region else found.api
    every = counted(len(found.tables), "table")
    if refused:
        say(console, f"{len(refused)} of {every} cannot be read from {where}.", "bold")
    else:
        say(console, f"{every} can be read from {where}.", "bold")
    if found.destination_error is not None:
        say(console, found.destination_error, "red")
    elif found.destination is not None:
        say(console, f"{found.destination} can be written.")
