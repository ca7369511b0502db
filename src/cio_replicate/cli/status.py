"""`status`: how far each table is, and the last runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.status import CopyStatus, TableStatus, Unfinished
from cio_replicate.app.status import status as looked
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.show import STYLES
from cio_replicate.cli.summary import PROOF_STYLES
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config.documents import TaskSettings
from cio_replicate.config.options import ColumnOptions, DestinationOptions, gathered
from cio_replicate.pipeline.report import Report, VerificationStatus

OTHER_NAMES = "Give --table-prefix and --column-case as in `sync`."
ROOMY = 100  # columns of a terminal that leave room for everything


def status(copy: DestinationOptions, looks: ColumnOptions, output: AsJson) -> int:
    """Look and print; the exit code. Raises Refused."""
    found = looked(gathered(TaskSettings, copy, looks, connection=""), state_dir=copy.state_dir)
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(product(), found)
    return 0


def _print(console: Console, found: CopyStatus) -> None:
    say(console, f"{found.destination}, dataset {found.dataset}", "bold")
    console.print()
    if found.problem is not None:
        say(console, found.problem)
        console.print()
    elif found.tables:
        console.print(_positions(found.tables, roomy=console.width >= ROOMY))
        if any(one.called for one in found.tables):
            say(console, "Rows are not counted of tables that have other names in the copy. " + OTHER_NAMES)
        console.print()
    elif not found.runs:
        say(console, "Nothing has been copied here yet: `cio-replicate sync` does it.")
    for one in found.unfinished:
        say(console, waiting(one))
    if found.unfinished:
        console.print()
    if found.runs:
        console.print(_runs(found.runs))


def waiting(one: Unfinished) -> str:
    """An unfinished read in one line."""
    parts = f"{one.parts_done} of {counted(one.parts, 'part')} read"
    landed = f"{counted(one.pages_waiting, 'landed page')} ({counted(one.rows_waiting, 'row')}) wait to be loaded"
    return f"{one.table}: not finished, {counted(one.rows, 'row')} received, {parts}, {landed}."


def _positions(tables: Sequence[TableStatus], *, roomy: bool) -> Grid:
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    grid.add_column("rows", justify="right", no_wrap=True)
    for name in ("since", "complete to (UTC)", *(["newest row"] if roomy else []), "proof"):
        grid.add_column(name, no_wrap=True)
    for one in tables:
        rows = number(one.rows) if one.rows is not None else ""
        through = _minute(one.through) if one.through else Text("not complete yet", "yellow")
        latest = [_minute(one.latest) if one.latest else ""] if roomy else []
        verdict = Text(one.verdict, PROOF_STYLES[VerificationStatus(one.verdict)]) if one.verdict else ""
        grid.add_row(one.name, rows, (one.start or "")[:10], through, *latest, verdict)
    return grid


def _runs(runs: Sequence[Report]) -> Grid:
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("last runs (UTC)", no_wrap=True)
    grid.add_column("status", no_wrap=True)
    for name in ("time", "requests", "read", "new", "changed", "deleted"):
        grid.add_column(name, justify="right", no_wrap=True)
    for run in runs:
        sums = [
            sum(getattr(table, what) for table in run.tables) for what in ("read", "inserted", "updated", "deleted")
        ]
        grid.add_row(
            _minute(run.started),
            Text(run.status, STYLES.get(run.status, "")),
            duration(run.seconds),
            number(run.requests),
            *map(number, sums),
        )
    return grid


def _minute(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M")
