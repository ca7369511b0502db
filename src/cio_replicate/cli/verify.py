"""`verify`: whether a copy is true, found out anew: its keys are read back, and lists are counted at the source."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import msgspec
from rich.table import Table as Grid

from cio_replicate.base.clock import Clock, SystemClock
from cio_replicate.base.errors import SettingsError
from cio_replicate.cli.connect import (
    addresses_of,
    connected,
    connection_of,
    state_root,
    tables_of,
)
from cio_replicate.cli.execute import folder_of
from cio_replicate.cli.failure import COMPLETE, FAILED
from cio_replicate.cli.options import AsJson, Copy, Shaping, Source
from cio_replicate.cli.summary import outcome
from cio_replicate.cli.terminal import counted, number, product, say, write_json
from cio_replicate.landing.folder import StateFolder
from cio_replicate.load.destination import Destination
from cio_replicate.load.nowhere import Nowhere
from cio_replicate.load.open import destinations_at
from cio_replicate.replication.estimate import people_by_workspace
from cio_replicate.replication.planner import Order
from cio_replicate.replication.proof import Verdict
from cio_replicate.replication.prove import Prover
from cio_replicate.replication.report import Status, TableReport, iso
from cio_replicate.replication.run import Run
from cio_replicate.settings import connection as settings
from cio_replicate.tables.declare import Reading, Table


class Verified(msgspec.Struct, kw_only=True):
    """What was found, as `--json` writes it. `requests` were sent for it."""

    destination: str
    dataset: str
    verified_at: str
    status: str  # `true` when no table is short
    requests: int
    tables: list[TableReport]


def verify(copy: Copy, source: Source, shaping: Shaping, most_requests: int, output: AsJson) -> int:
    """Verify and print; the exit code: 1 when a table is short. Raises SettingsError and AccessError."""
    clock = SystemClock()
    addresses, dataset = addresses_of(copy.to), settings.dataset(copy.dataset)
    tables = tables_of(source, shaping)
    folder = folder_of(state_root(copy.state_dir), addresses, dataset)
    with StateFolder(folder) as held:
        destination = destinations_at(addresses, dataset, held.path)
        try:
            if destination.look() is None:
                raise SettingsError(f"There is no copy in {addresses[0].shown}.", "Run `sync` first.")
            reports = [TableReport(name=one.name, status=Status.COMPLETE) for one in _copied(destination, tables)]
            people: list[int] = []
            requests = asyncio.run(_count(destination, tables, reports, people, source, most_requests, clock))
            by_name = {one.name: one for one in tables}
            run_id = f"verify-{uuid.uuid4().hex[:12]}"
            Prover(destination, by_name, run_id, int(clock.now()), deep=True, people=people).prove(reports)
        finally:
            destination.close()
    short = any(one.proof is not None and one.proof.verdict is Verdict.SHORT for one in reports)
    found = Verified(
        destination=" and ".join(one.shown for one in addresses),
        dataset=dataset,
        verified_at=iso(clock.now()),
        status="short" if short else "true",
        requests=requests,
        tables=reports,
    )
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        _print(found)
    return FAILED if short else COMPLETE


def countable(tables: Sequence[Table], rows: dict[str, int], most_requests: int) -> list[Table]:
    """The lists that can be counted at the source with so many requests in all, the short ones first.

    `rows` are those that the copy has. Of people, the list of workspaces tells the number.
    """
    lists = [one for one in tables if one.reading is Reading.LIST and one.retention_days is None]
    cost = {one.name: len(one.slices) * 2 + ceil(rows.get(one.name, 0) / (one.page_size or 10**9)) for one in lists}
    chosen, left = [], most_requests
    for one in sorted(lists, key=lambda table: cost[table.name]):
        if one.name in rows and cost[one.name] <= left:
            chosen.append(one)
            left -= cost[one.name]
    return chosen


def _copied(destination: Destination, tables: Sequence[Table]) -> list[Table]:
    positions = destination.positions()
    return [one for one in tables if one.name in positions]


async def _count(
    destination: Destination,
    tables: Sequence[Table],
    reports: Sequence[TableReport],
    people: list[int],
    source: Source,
    most_requests: int,
    clock: Clock,
) -> int:
    """Count lists at the source, into the reports, and people, into `people`; how many requests that took."""
    by_name = {one.name: one for one in reports}
    copied = [one for one in tables if one.name in by_name]
    chosen = countable(copied, {one.name: destination.live(one) for one in copied}, most_requests)
    if not chosen:
        return 0
    start = min(destination.positions()[one.name].start for one in chosen)
    with tempfile.TemporaryDirectory() as folder, StateFolder(Path(folder) / "count") as held:
        async with connected(connection_of(source, clock), clock) as client:
            order = Order(tuple(chosen), start, prove=False)
            counted_at_source = await Run(order, client, Nowhere(), held, clock, lambda _: None).execute()
            people += await people_by_workspace(client) if "customers" in by_name else []
            requests = client.totals.requests
    for one in counted_at_source.tables:
        report = by_name[one.name]
        report.listed, report.left_out, report.requests = one.listed, one.left_out, one.requests
        if one.status is not Status.COMPLETE:
            report.notes.append(f"It could not be counted at the source. {one.error or ''}".strip())
    return requests


def _print(found: Verified) -> None:
    console = product()
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    for name in ("source", "copy"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("verdict", no_wrap=True)
    for one in found.tables:
        proof = one.proof
        if proof is not None:
            source = number(proof.source) if proof.source is not None else ""
            grid.add_row(one.name, source, number(proof.rows), outcome(one))
    console.print(grid)
    console.print()
    short = [one for one in found.tables if one.proof is not None and one.proof.verdict is Verdict.SHORT]
    every = counted(len(found.tables), "table")
    if short:
        say(console, f"{len(short)} of {every} are not true.", "bold red")
    else:
        say(console, f"{every} verified: the copy holds what was loaded into it.", "bold")
    say(console, f"It took {counted(found.requests, 'request')}.")
    for one in found.tables:
        if one.proof is not None and one.proof.verdict in (Verdict.SHORT, Verdict.UNPROVED):
            say(console, f"{one.name}: {one.proof.why}", "red" if one.proof.verdict is Verdict.SHORT else "")
        for note in one.notes:
            say(console, f"{one.name}: {note}")
