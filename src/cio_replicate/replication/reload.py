"""Fills a destination from pages that were kept when they were loaded elsewhere, without a request."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from cio_replicate.base.clock import Clock
from cio_replicate.base.errors import LoadError, SettingsError
from cio_replicate.landing.folder import StateFolder
from cio_replicate.landing.pages import different_keys
from cio_replicate.landing.read import Kept
from cio_replicate.load.destination import Batch, Changes, Close, Destination
from cio_replicate.replication.loader import batch_of
from cio_replicate.replication.proof import Verdict
from cio_replicate.replication.prove import Prover, record_run
from cio_replicate.replication.report import Report, Status, TableReport, iso, outcome
from cio_replicate.settings.modes import USUAL, Mode, Treatment
from cio_replicate.tables.declare import Reading, Table
from cio_replicate.tables.fields import Fields


def reload(
    destination: Destination,
    folder: StateFolder,
    tables: Sequence[Table],
    treatments: Mapping[str, Treatment],
    clock: Clock,
) -> Report:
    """Load what is kept of these tables; what became of it. A table of which nothing is kept is left out and named.

    Raises SettingsError when nothing at all is kept. Loading what the destination has already changes nothing.
    """
    began = clock.now()
    report = Report(run_id=uuid.uuid4().hex[:12], started=iso(began))
    kept = {table.name: folder.journal.kept(table.name) for table in tables}
    if not any(kept.values()):
        raise SettingsError(
            f"No landed pages are kept in {folder.path}.", "Run `sync` with --keep-landed first; then load from there."
        )
    missing = [name for name, one in kept.items() if one is None]
    if missing:
        report.notes.append(f"Nothing is kept of {', '.join(missing)}.")
    destination.look()
    destination.prepare(int(began))
    record_run(destination, report, {})
    for table in tables:
        one = kept[table.name]
        if one is not None:
            treatment = treatments.get(table.name, USUAL)
            report.tables.append(_load(destination, folder, table, one, treatment, report.run_id, clock))
    by_name = {table.name: table for table in tables}
    Prover(destination, by_name, report.run_id, int(clock.now())).prove(report.tables)
    for done in report.tables:
        if done.proof is not None and done.proof.verdict is Verdict.SHORT:
            done.status, done.error = Status.FAILED, f"The copy is not true. {done.proof.why}"
    report.status = outcome(report.tables)
    report.ended, report.seconds = iso(clock.now()), round(clock.now() - began, 3)
    record_run(destination, report, {name: one.mode.value for name, one in treatments.items()})
    return report


def _load(
    destination: Destination,
    folder: StateFolder,
    table: Table,
    kept: Kept,
    treatment: Treatment,
    run_id: str,
    clock: Clock,
) -> TableReport:
    told = TableReport(name=table.name, status=Status.FAILED, continued=True)
    if kept.position.rules != table.rules:
        told.error = "The pages were landed by other rules for columns and names. Give the same options as then."
        return told
    fields = Fields(table, folder.journal.discovered(table.name))
    began, left = clock.monotonic(), kept.pages
    deletes = table.absence_deletes or treatment.mode is Mode.FULL
    try:
        while True:
            chosen = left if treatment.mode is Mode.FULL else batch_of(left, destination.batch_rows, folder.size)
            left = left[len(chosen) :]
            close = None
            if not left:
                seen = [folder.file(page.file) for page in kept.last] if deletes else None
                close = Close(kept.position, seen, int(clock.now()))
                told.listed = None if seen is None else different_keys(seen, seen_too=table.reading is Reading.PEOPLE)
            files = [folder.file(page.file) for page in chosen]
            changes = destination.write(Batch(table, fields.all, files, run_id, close, treatment))
            _count(told, changes, sum(page.rows for page in chosen))
            if close is not None:
                break
        told.status = Status.COMPLETE
    except LoadError as error:
        told.error = str(error)
    told.seconds = round(clock.monotonic() - began, 3)
    return told


def _count(told: TableReport, changes: Changes, rows: int) -> None:
    told.read += rows
    told.inserted += changes.inserted
    told.updated += changes.updated
    told.deleted += changes.deleted
