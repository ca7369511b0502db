"""Fills a destination from pages that were kept when they were loaded elsewhere, without a request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from cio_replicate.base.errors import DestinationUnavailableError, LoadError, NotFound
from cio_replicate.base.runtime import Clock
from cio_replicate.config.table_options import USUAL, WriteMode, WriteOptions
from cio_replicate.pipeline.batches import batch_of
from cio_replicate.pipeline.journal import KeptRead
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus, iso, outcome, recorded
from cio_replicate.pipeline.run_plan import require_same_names
from cio_replicate.pipeline.staging import Staging, different_keys
from cio_replicate.pipeline.verification import Verifier, record_run
from cio_replicate.schema.table import Column, KnownColumns, Table
from cio_replicate.sinks.port import Batch, Changes, Close, Owner, Sink
from cio_replicate.source.strategies import strategy_class


def reload(
    destination: Sink,
    folder: Staging,
    tables: Sequence[Table],
    treatments: Mapping[str, WriteOptions],
    clock: Clock,
) -> Report:
    """Load what is kept of these tables; what became of it. A table of which nothing is kept is left out and named.

    Raises InvalidSettings when nothing at all is kept. Loading what the destination has already changes nothing.
    """
    began = clock.now()
    report = Report(run_id=uuid.uuid4().hex[:12], started=iso(began))
    kept = {table.name: folder.journal.kept(table.name) if folder.has_journal else [] for table in tables}
    if not any(kept.values()):
        raise NotFound(
            f"No landed pages are kept in {folder.path}.", "Run `sync` with ‹keep_landed› first; then load from there."
        )
    missing = [name for name, one in kept.items() if not one]
    if missing:
        report.notes.append(f"Nothing is kept of {', '.join(missing)}.")
    destination.open()
    require_same_names(destination, [table for table in tables if kept[table.name]])
    destination.open(Owner(int(began)))
    record_run(destination, report, {})
    for table in tables:
        if kept[table.name]:
            treatment = treatments.get(table.name, USUAL)
            report.tables.append(_load(destination, folder, table, kept[table.name], treatment, report.run_id, clock))
    by_name = {table.name: table for table in tables}
    try:
        Verifier(destination, by_name, report.run_id, int(clock.now())).prove(report.tables)
    except (LoadError, DestinationUnavailableError) as error:
        report.notes.append(f"The proof could not be made. {recorded(error)}")
    for done in report.tables:
        if done.proof is not None and done.proof.verdict is VerificationStatus.SHORT:
            done.status = Status.FAILED
            done.error = done.error or f"The copy is not true. {done.proof.why}"
    report.status = outcome(report.tables)
    report.ended, report.seconds = iso(clock.now()), round(clock.now() - began, 3)
    record_run(destination, report, {name: one.mode.value for name, one in treatments.items()})
    return report


def _load(
    destination: Sink,
    folder: Staging,
    table: Table,
    kept: Sequence[KeptRead],
    treatment: WriteOptions,
    run_id: str,
    clock: Clock,
) -> TableReport:
    """Load the reads of a table one after another, as they were; not those that the destination has."""
    told = TableReport(name=table.name, status=Status.FAILED, continued=True)
    if any(one.position.rules != table.rules for one in kept):
        told.error = "The pages were landed by other rules for columns and names. Give the same options as then."
        return told
    began, at = clock.monotonic(), destination.state.checkpoints.get(table.name)
    if at is not None and at.through > kept[-1].position.through:
        told.error = f"The destination has {table.name} of a later time than the pages. Load into another dataset."
        return told
    there = next((number for number, one in enumerate(kept, 1) if at is not None and one.position.read == at.read), 0)
    columns = KnownColumns(table, folder.journal.discovered(table.name)).all
    try:
        for read in kept[there:]:
            _load_read(destination, folder, table, columns, read, treatment, run_id, told)
        told.status = Status.COMPLETE
    except LoadError as error:
        told.error = recorded(error)
    told.seconds = round(clock.monotonic() - began, 3)
    return told


def _load_read(
    destination: Sink,
    folder: Staging,
    table: Table,
    columns: Sequence[Column],
    read: KeptRead,
    treatment: WriteOptions,
    run_id: str,
    told: TableReport,
) -> None:
    left, seen = read.pages, None
    if read.tells_gone:
        seen = [folder.file(page.file) for page in read.pages]
        told.listed = _listed(table, seen)
    while True:
        chosen = left if treatment.mode is WriteMode.FULL else batch_of(left, destination.batch_rows, folder.size)
        left = left[len(chosen) :]
        close = None if left else Close(read.position, seen, read.at)
        files = [folder.file(page.file) for page in chosen]
        changes = destination.write(Batch(table, columns, files, run_id, close, treatment))
        _count(told, changes, sum(page.rows for page in chosen))
        if close is not None:
            return


def _listed(table: Table, pages: Sequence[Path]) -> int:
    try:
        return different_keys(pages, seen_too=strategy_class(table).counts_seen)
    except (OSError, pa.ArrowException):
        raise LoadError(
            f"A kept page of {table.name} is damaged or gone.",
            f"`sync ‹keep_landed› ‹full_refresh› {table.name}` keeps all of them anew.",
        ) from None


def _count(told: TableReport, changes: Changes, rows: int) -> None:
    told.read += rows
    told.inserted += changes.inserted
    told.updated += changes.updated
    told.deleted += changes.deleted
