"""`status`: how far each table is, and the last runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.cli.connect import state_root
from cio_replicate.cli.options import Copy, Output
from cio_replicate.cli.past import Unfinished, past_runs, unfinished
from cio_replicate.cli.show import STYLES
from cio_replicate.cli.terminal import counted, duration, number, product, say, write_json
from cio_replicate.landing.folder import task_folder
from cio_replicate.load.query import CopyReader
from cio_replicate.replication.report import Report, iso
from cio_replicate.settings import connection as settings
from cio_replicate.settings.connection import DuckDBAddress
from cio_replicate.tables import catalogue

NEWEST_RUNS = 5


class TableStatus(msgspec.Struct, kw_only=True):
    """How far a table is. Times are ISO 8601 in UTC; null what is not known."""

    name: str
    rows: int | None = None
    start: str | None = None
    through: str | None = None
    latest: str | None = None


class CopyStatus(msgspec.Struct, kw_only=True):
    """What `--json` writes. `problem` says why the destination could not be looked at."""

    destination: str
    dataset: str
    exists: bool = False
    problem: str | None = None
    tables: list[TableStatus] = msgspec.field(default_factory=list)
    unfinished: list[Unfinished] = msgspec.field(default_factory=list)
    runs: list[Report] = msgspec.field(default_factory=list)


def status(copy: Copy, output: Output) -> int:
    """Look and print; the exit code. Raises SettingsError."""
    address, dataset = settings.destination(copy.to or ""), settings.dataset(copy.dataset)
    folder = task_folder(state_root(copy.state_dir), str(address), dataset)
    found = CopyStatus(destination=str(address), dataset=dataset)
    _look(found, address)
    found.runs = past_runs(folder, NEWEST_RUNS)
    found.unfinished = unfinished(folder, catalogue.names())
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(product(), found)
    return 0


def _look(found: CopyStatus, address: DuckDBAddress) -> None:
    if not address.file.exists():
        return
    try:
        with CopyReader(address.file, found.dataset) as reader:
            found.exists = reader.exists
            if not found.exists:
                return
            positions, counts = reader.positions(), reader.counts(catalogue.names())
    except DestinationUnavailableError as error:
        found.problem = str(error)
        return
    for name in catalogue.names():
        if name not in positions and name not in counts:
            continue
        one = TableStatus(name=name, rows=counts.get(name))
        position = positions.get(name)
        if position is not None:
            dated = catalogue.table(name).start_date_column is not None
            one.start, one.through = iso(position.start) if dated else None, iso(position.through)
            one.latest = iso(position.latest) if position.latest is not None else None
        found.tables.append(one)


def _print(console: Console, found: CopyStatus) -> None:
    say(console, f"{found.destination}, dataset {found.dataset}", "bold")
    console.print()
    if found.problem is not None:
        say(console, found.problem)
        console.print()
    elif found.tables:
        console.print(_positions(found.tables))
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


def _positions(tables: Sequence[TableStatus]) -> Grid:
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    grid.add_column("rows", justify="right", no_wrap=True)
    for name in ("since", "complete to (UTC)", "newest row"):
        grid.add_column(name, no_wrap=True)
    for one in tables:
        rows = number(one.rows) if one.rows is not None else ""
        through = _minute(one.through) if one.through else Text("not complete yet", "yellow")
        grid.add_row(one.name, rows, (one.start or "")[:10], through, _minute(one.latest) if one.latest else "")
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
