"""`plan`: requests and minutes per table, before anything is read."""

from __future__ import annotations

import msgspec
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.plan import PeopleCosts, PlanReport
from cio_replicate.app.plan import plan as planned
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.failure import COMPLETE, FAILED, REFUSED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import (
    OptionalDestinationOptions,
    RereadOptions,
    SourceOptions,
    StartDateOptions,
    WriteModeOptions,
    gathered,
)


def plan(
    since: StartDateOptions,
    copy: OptionalDestinationOptions,
    source: SourceOptions,
    shaping: WriteModeOptions,
    again: RereadOptions,
    output: AsJson,
) -> int:
    """Estimate and print; the exit code. Raises Refused and AccessError."""
    connection = gathered(ConnectionSettings, since, source)
    task = gathered(TaskSettings, copy, source, shaping, again, connection="", to=copy.to or [])
    made = planned(connection, task, SystemClock(), state_dir=copy.state_dir)
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())
    else:
        _print(made)
    if any(one.refused for one in made.tables):
        return REFUSED
    return FAILED if any(one.error is not None for one in made.tables) else COMPLETE


def _print(made: PlanReport) -> None:
    console = product()
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    for name in ("requests", "rows", "time"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("how it is known")
    for one in made.tables:
        if one.error is not None:
            grid.add_row(one.table, "", "", "", Text("cannot be read", "red"))
            continue
        requests, rows, time = made.row(one)
        grid.add_row(one.table, requests, rows, time, Text(one.basis))
    console.print(grid)
    console.print()
    say(console, made.sentence, "bold")
    if made.customers is not None:
        say(console, told(made.customers, made.max_rps))
    say(console, f"It took {counted(made.asked, 'request')} to find out; nothing was written.")
    for one in made.tables:
        if one.error is not None:
            say(console, f"{one.table}: {one.error}", "red")


def told(modes: PeopleCosts, rps: float) -> str:
    """What each way to read people costs, in one sentence."""
    about = "about " if modes.changed is not None else "at least "
    return (
        f"People: --customers full {counted(modes.full, 'request')} ({duration(modes.full / rps)}) on every run; "
        f"--customers changes {about}{counted(modes.changes, 'request')} ({duration(modes.changes / rps)}), and "
        f"{number(modes.full)} every {counted(modes.full_every_days, 'day')}."
    )
