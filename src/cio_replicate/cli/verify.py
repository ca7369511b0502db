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

from cio_replicate.app.plan import people_by_workspace
from cio_replicate.app.settings import (
    IMPATIENT,
    addresses_of,
    connected,
    connection_of,
    names_of,
    state_root,
    tables_of,
)
from cio_replicate.app.task import folder_of
from cio_replicate.base.errors import ForbiddenError, ReadError, SettingsError
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.base.text import counted, number
from cio_replicate.cli.failure import COMPLETE, FAILED
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.summary import PROOF_STYLES, outcome
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.config import connection_options as settings
from cio_replicate.config.options import ColumnOptions, DestinationOptions, SourceOptions
from cio_replicate.pipeline.names import require_same_names
from cio_replicate.pipeline.report import Status, TableReport, VerificationStatus, iso
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.pipeline.verification import Verifier
from cio_replicate.schema.table import Reading, Table
from cio_replicate.sinks.fan_out import missing_in
from cio_replicate.sinks.kinds import destinations_at
from cio_replicate.sinks.nowhere import Nowhere
from cio_replicate.sinks.port import Sink, count_rows


class Verified(msgspec.Struct, kw_only=True):
    """What was found, as `--json` writes it. `requests` were sent for it."""

    destination: str
    dataset: str
    verified_at: str
    status: str  # `true` when no table is short
    requests: int
    tables: list[TableReport]


def verify(
    copy: DestinationOptions, source: SourceOptions, looks: ColumnOptions, most_requests: int, output: AsJson
) -> int:
    """Verify and print; the exit code: 1 when a table is short. Raises SettingsError and AccessError."""
    clock = SystemClock()
    addresses, dataset = addresses_of(copy.to), settings.dataset(copy.dataset)
    tables = tables_of(names_of(source), looks)
    folder = folder_of(state_root(copy.state_dir), addresses, dataset)
    with Staging(folder) as held:
        destination = destinations_at(addresses, dataset, held.path)
        try:
            missing = [name or addresses[0].shown for name in missing_in(destination)]
            if missing:
                raise SettingsError(f"There is no copy in {' and '.join(missing)}.", "Run `sync` first.")
            require_same_names(destination, tables)
            copied = _copied(destination, tables)
            reports = [TableReport(name=one.name, status=Status.COMPLETE) for one in copied]
            people: list[int] = []
            requests = asyncio.run(_count(destination, copied, reports, people, source, most_requests, clock))
            by_name = {one.name: one for one in tables}
            run_id = f"verify-{uuid.uuid4().hex[:12]}"
            Verifier(destination, by_name, run_id, int(clock.now()), deep=True, people=people).prove(reports)
        finally:
            destination.close()
    short = any(one.proof is not None and one.proof.verdict is VerificationStatus.SHORT for one in reports)
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


def _copied(destination: Sink, tables: Sequence[Table]) -> list[Table]:
    """The tables that were read to their end at least once."""
    positions = destination.state.checkpoints
    return [one for one in tables if one.name in positions]


async def _count(
    destination: Sink,
    copied: Sequence[Table],
    reports: Sequence[TableReport],
    people: list[int],
    source: SourceOptions,
    most_requests: int,
    clock: Clock,
) -> int:
    """Count lists at the source, into the reports, and people, into `people`; how many requests that took."""
    by_name = {one.name: one for one in reports}
    count_people = most_requests > 0 and any(one.reading is Reading.PEOPLE for one in copied)
    rows = {one.name: count_rows(destination, one) for one in copied}
    chosen = countable(copied, rows, most_requests - count_people)
    if not chosen and not count_people:
        return 0
    positions = destination.state.checkpoints
    starts = sorted({positions[one.name].start for one in chosen})
    found: list[TableReport] = []
    async with connected(connection_of(source, clock), clock, IMPATIENT) as client:
        for start in starts:  # a list is counted from the start date that its table has
            order = RunSpec(tuple(one for one in chosen if positions[one.name].start == start), start, prove=False)
            with tempfile.TemporaryDirectory() as folder, Staging(Path(folder) / "count") as held:
                found += (await Run(order, client, Nowhere(), held, clock, lambda _: None).execute()).tables
        if count_people:
            try:
                people += await people_by_workspace(client)
            except (ForbiddenError, ReadError) as error:
                _note_uncounted([by_name[one.name] for one in copied if one.reading is Reading.PEOPLE], str(error))
        requests = client.totals.requests
    for one in found:
        report = by_name[one.name]
        report.listed, report.left_out, report.requests = one.listed, one.left_out, one.requests
        if one.status is not Status.COMPLETE:
            _note_uncounted([report], one.error or "")
    return requests


def _note_uncounted(reports: Sequence[TableReport], error: str) -> None:
    for report in reports:
        report.notes.append(f"It could not be counted at the source. {error}".strip())


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
    say(console, sentence(found), "bold red" if found.status == "short" else "bold")
    for one in found.tables:
        if one.proof is not None and one.proof.verdict in (VerificationStatus.SHORT, VerificationStatus.UNPROVED):
            say(console, f"{one.name}: {one.proof.why}", PROOF_STYLES[one.proof.verdict])
        for note in one.notes:
            say(console, f"{one.name}: {note}")


def sentence(found: Verified) -> str:
    """What was found in one sentence."""
    verdicts = [one.proof.verdict for one in found.tables if one.proof is not None]
    counts = ", ".join(f"{verdicts.count(one)} {one}" for one in VerificationStatus if one in verdicts)
    told = "is not true" if found.status == "short" else "holds what was loaded into it"
    every, requests = counted(len(found.tables), "table"), counted(found.requests, "request")
    return f"The copy {told}: {every}, {counts or 'nothing to verify'}; it took {requests}."
