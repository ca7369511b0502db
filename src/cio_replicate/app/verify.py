"""Verify a copy: read its keys back, count lists at the source, and judge each table."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cio_replicate.app.plan import people_by_workspace
from cio_replicate.app.settings import IMPATIENT, connected, connection_of, copy_of, names_of, opened, tables_of
from cio_replicate.base.errors import Conflict, NoReadAccessError, ReadError
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.documents import TaskSettings
from cio_replicate.config.options import AccessOptions
from cio_replicate.pipeline.report import Status, TableReport, VerificationStatus, iso, recorded
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec, require_same_names
from cio_replicate.pipeline.staging import Staging
from cio_replicate.pipeline.verification import Verifier
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import missing_in
from cio_replicate.sinks.port import (
    Batch,
    Changes,
    CopyIdentity,
    Digests,
    ErasureHits,
    Owner,
    RunRows,
    Sink,
    SinkState,
    count_rows,
)
from cio_replicate.source.strategies import strategy_class

MOST_REQUESTS = 60  # that a verification sends unless told otherwise


class Nowhere:
    """The sink of a run that only counts what the source has: it takes everything, and holds nothing."""

    batch_rows = 240_000

    def __init__(self) -> None:
        self.state = SinkState(CopyIdentity("nowhere", 0))

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Return no copy without an owner."""
        return None if owner is None else self.state

    def read(self, *_: object) -> list[tuple[Any, ...]]:
        """Return no rows."""
        return []

    def digests(self, *_: object, **__: object) -> Digests:
        """Return the digests of no rows."""
        return Digests()

    def write(self, batch: Batch | RunRows) -> Changes:
        """Let the rows go, and count the commit."""
        self.state = SinkState(CopyIdentity("nowhere", self.state.identity.commits + isinstance(batch, Batch)))
        return Changes()

    def erase(self, *_: object) -> dict[str, ErasureHits]:
        """Return no hits."""
        return {}

    def probe(self) -> None:
        """Do nothing: nothing can fail."""

    def drop(self, table: Table | None) -> None:
        """Do nothing: there is nothing to drop."""

    def close(self) -> None:
        """Do nothing: nothing is open."""


class VerificationReport(msgspec.Struct, kw_only=True):
    """What was found, as JSON has it. `requests` were sent for it."""

    destination: str
    dataset: str
    verified_at: str
    status: str  # `true` when no table is short
    requests: int
    tables: list[TableReport]

    @property
    def is_short(self) -> bool:
        """Whether a table lacks rows."""
        return self.status == "short"

    @property
    def sentence(self) -> str:
        """What was found in one sentence."""
        verdicts = [one.proof.verdict for one in self.tables if one.proof is not None]
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in VerificationStatus if one in verdicts)
        state = "is not true" if self.is_short else "holds what was loaded into it"
        every, requests = counted(len(self.tables), "table"), counted(self.requests, "request")
        return f"The copy {state}: {every}, {counts or 'nothing to verify'}; it took {requests}."

    @property
    def remarks(self) -> list[tuple[TableReport, str]]:
        """What the counts do not explain, with the table concerned."""
        doubtful = (VerificationStatus.SHORT, VerificationStatus.UNPROVED)
        return [
            (one, text)
            for one in self.tables
            for text in [
                *([one.proof.why] if one.proof is not None and one.proof.verdict in doubtful else []),
                *one.notes,
            ]
        ]


def verify(
    access: AccessOptions,
    task: TaskSettings,
    clock: Clock,
    *,
    most_requests: int = MOST_REQUESTS,
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> VerificationReport:
    """Verify the task's copy and record the result in it. Raises Refused and AccessError."""
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    tables = tables_of(names_of(task), task, environment)
    with opened(copy) as (_, sink):
        missing = [name or copy.destinations[0].shown for name in missing_in(sink)]
        if missing:
            raise Conflict(f"There is no copy in {' and '.join(missing)}.", "Run `sync` first.")
        require_same_names(sink, tables)
        positions = sink.state.checkpoints
        copied = [one for one in tables if one.name in positions]
        reports = [TableReport(name=one.name, status=Status.COMPLETE) for one in copied]
        people: list[int] = []
        count_people = most_requests > 0 and any(strategy_class(one).counted_by_account for one in copied)
        rows = {one.name: count_rows(sink, one) for one in copied}
        chosen = countable(copied, rows, most_requests - count_people)
        requests = 0
        if chosen or count_people:
            connection = connection_of(access, clock, environment=environment)
            requests = asyncio.run(_count(sink, chosen, reports, people if count_people else None, connection, clock))
        run_id = f"verify-{uuid.uuid4().hex[:12]}"
        by_name = {one.name: one for one in tables}
        Verifier(sink, by_name, run_id, int(clock.now()), deep=True, people=people).prove(reports)
    short = any(one.proof is not None and one.proof.verdict is VerificationStatus.SHORT for one in reports)
    return VerificationReport(
        destination=copy.shown,
        dataset=copy.dataset,
        verified_at=iso(clock.now()),
        status="short" if short else "true",
        requests=requests,
        tables=reports,
    )


def countable(tables: Sequence[Table], rows: Mapping[str, int], most_requests: int) -> list[Table]:
    """The lists that can be counted at the source with so many requests in all, the short ones first.

    `rows` are those that the copy has. Of people, the list of workspaces tells the number.
    """
    lists = [one for one in tables if strategy_class(one).countable]
    cost = {one.name: strategy_class(one).requests_to_count(one, rows) for one in lists}
    chosen, left = [], most_requests
    for one in sorted(lists, key=lambda table: cost[table.name]):
        if one.name in rows and cost[one.name] <= left:
            chosen.append(one)
            left -= cost[one.name]
    return chosen


async def _count(
    sink: Sink,
    chosen: Sequence[Table],
    reports: Sequence[TableReport],
    people: list[int] | None,
    connection: Connection,
    clock: Clock,
) -> int:
    """Count lists at the source, into the reports, and people, into `people`; how many requests that took."""
    by_name = {one.name: one for one in reports}
    positions = sink.state.checkpoints
    starts = sorted({positions[one.name].start for one in chosen})
    found: list[TableReport] = []
    async with connected(connection, clock, IMPATIENT) as client:
        for start in starts:  # a list is counted from the start date that its table has
            spec = RunSpec(tuple(one for one in chosen if positions[one.name].start == start), start, prove=False)
            with tempfile.TemporaryDirectory() as folder, Staging(Path(folder) / "count") as staging:
                found += (await Run(spec, client, Nowhere(), staging, clock, lambda _: None).execute()).tables
        if people is not None:
            try:
                people += await people_by_workspace(client)
            except (NoReadAccessError, ReadError) as error:
                _note_uncounted(by_name["customers"], recorded(error))
        requests = client.totals.requests
    for one in found:
        report = by_name[one.name]
        report.listed, report.left_out, report.requests = one.listed, one.left_out, one.requests
        if one.status is not Status.COMPLETE:
            _note_uncounted(report, one.error or "")
    return requests


def _note_uncounted(report: TableReport, error: str) -> None:
    report.notes.append(f"It could not be counted at the source. {error}".strip())
