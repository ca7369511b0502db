"""Load pages that were kept after another destination got them into a destination, without a request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from cio_replicate.base.errors import LoadError, NotFound
from cio_replicate.base.runtime import Clock
from cio_replicate.config.table_options import USUAL, WriteMode, WriteOptions
from cio_replicate.pipeline.batches import batch_of
from cio_replicate.pipeline.journal import KeptRead
from cio_replicate.pipeline.report import Report, Status, TableReport, iso, outcome, recorded
from cio_replicate.pipeline.run_plan import require_same_names
from cio_replicate.pipeline.staging import Staging, different_keys
from cio_replicate.pipeline.verification import record_run, verify_run
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.sinks.port import Batch, Close, Owner, Sink
from cio_replicate.source.strategies import strategy_class


def reload(
    destination: Sink,
    folder: Staging,
    tables: Sequence[Table],
    treatments: Mapping[str, WriteOptions],
    clock: Clock,
) -> Report:
    """Load the pages that are kept of these tables, and report it. A table without any is left out and named.

    Raises NotFound when no page at all is kept. Loading what the destination has already changes nothing.
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
    verify_run(destination, tables, report, int(clock.now()))
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
    report = TableReport(name=table.name, status=Status.FAILED, continued=True)
    if any(one.position.rules != table.rules for one in kept):
        report.error = "The pages were landed by other rules for columns and names. Give the same options as then."
        return report
    began, at = clock.monotonic(), destination.state.checkpoints.get(table.name)
    if at is not None and at.through > kept[-1].position.through:
        report.error = f"The destination has {table.name} of a later time than the pages. Load into another dataset."
        return report
    there = next((number for number, one in enumerate(kept, 1) if at is not None and one.position.read == at.read), 0)
    columns = KnownColumns(table, folder.journal.discovered(table.name)).all
    try:
        for read in kept[there:]:
            left, seen = read.pages, None
            if read.tells_gone:
                seen = [folder.file(page.file) for page in read.pages]
                report.listed = _listed(table, seen)
            close = None
            while close is None:
                whole = treatment.mode is WriteMode.FULL
                chosen = left if whole else batch_of(left, destination.batch_rows, folder.size)
                left = left[len(chosen) :]
                close = None if left else Close(read.position, seen, read.at)
                files = [folder.file(page.file) for page in chosen]
                report.count(destination.write(Batch(table, columns, files, run_id, close, treatment)))
                report.read += sum(page.rows for page in chosen)
        report.status = Status.COMPLETE
    except LoadError as error:
        report.error = recorded(error)
    report.seconds = round(clock.monotonic() - began, 3)
    return report


def _listed(table: Table, pages: Sequence[Path]) -> int:
    try:
        return different_keys(pages, seen_too=strategy_class(table).counts_seen)
    except (OSError, pa.ArrowException):
        raise LoadError(
            f"A kept page of {table.name} is damaged or gone.",
            f"`sync ‹keep_landed› ‹full_refresh› {table.name}` keeps all of them anew.",
        ) from None
