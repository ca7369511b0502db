"""`status`: how far each table is, and the last runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.settings import addresses_of, state_root, tables_of
from cio_replicate.app.task import folder_of
from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.past import Unfinished, past_runs, unfinished
from cio_replicate.cli.show import STYLES
from cio_replicate.cli.summary import PROOF_STYLES
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.options import ColumnOptions, DestinationOptions
from cio_replicate.pipeline.names import other_name
from cio_replicate.pipeline.report import Report, VerificationStatus, iso
from cio_replicate.schema.table import Table
from cio_replicate.sinks.kinds import destinations_at
from cio_replicate.sinks.port import count_rows
from cio_replicate.source import catalog as catalogue

NEWEST_RUNS, LOOKED_AT = 5, 20
OTHER_NAMES = "Give --table-prefix and --column-case as in `sync`."
ROOMY = 100  # columns of a terminal that leave room for everything


class TableStatus(msgspec.Struct, kw_only=True):
    """How far a table is. Times are ISO 8601 in UTC; null what is not known.

    `called`: its name in the copy where that is another one, so that its rows cannot be counted.
    """

    name: str
    called: str | None = None
    rows: int | None = None
    start: str | None = None
    through: str | None = None
    latest: str | None = None
    verdict: str | None = None  # of the newest run of this machine that found one


class CopyStatus(msgspec.Struct, kw_only=True):
    """What `--json` writes. `problem` says why the destination could not be looked at."""

    destination: str
    dataset: str
    exists: bool = False
    problem: str | None = None
    tables: list[TableStatus] = msgspec.field(default_factory=list)
    unfinished: list[Unfinished] = msgspec.field(default_factory=list)
    runs: list[Report] = msgspec.field(default_factory=list)


def status(copy: DestinationOptions, looks: ColumnOptions, output: AsJson) -> int:
    """Look and print; the exit code. Raises SettingsError."""
    addresses, dataset = addresses_of(copy.to), settings.dataset(copy.dataset)
    folder = folder_of(state_root(copy.state_dir), addresses, dataset)
    found = CopyStatus(destination=" and ".join(one.shown for one in addresses), dataset=dataset)
    runs = past_runs(folder, LOOKED_AT)
    _look(found, addresses, folder, tables_of(catalogue.names(), looks), verdicts(runs))
    found.runs = runs[:NEWEST_RUNS]
    found.unfinished = unfinished(folder, catalogue.names())
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(product(), found)
    return 0


def verdicts(runs: Sequence[Report]) -> dict[str, str]:
    """What the newest of these runs, which come first, found of each table."""
    found: dict[str, str] = {}
    for table in (table for run in runs for table in run.tables):
        if table.proof is not None:
            found.setdefault(table.name, table.proof.verdict)
    return found


def _look(
    found: CopyStatus,
    addresses: Sequence[Address],
    folder: Path,
    tables: Sequence[Table],
    judged: Mapping[str, str],
) -> None:
    copy = destinations_at(addresses, found.dataset, folder, read_only=True)
    try:
        found.exists = copy.open() is not None
        positions = copy.state.checkpoints
        called = {table.name: other_name(table, positions.get(table.name)) for table in tables}
        counts = {
            table.name: count_rows(copy, table)
            for table in tables
            if table.name in positions and not called[table.name]
        }
    except DestinationUnavailableError as error:
        found.problem = str(error)
        return
    finally:
        copy.close()
    for table in tables:
        position = positions.get(table.name)
        if position is None:
            continue
        one = TableStatus(name=table.name, rows=counts.get(table.name), verdict=judged.get(table.name))
        one.called = called[table.name] or None
        dated = table.start_date_column is not None
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
