"""What a run does about gone people in each destination, and what it tells of it: a step between loading and proof."""

from __future__ import annotations

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.pipeline.erase import DeletedPeople
from cio_replicate.pipeline.journal import Journal
from cio_replicate.pipeline.replication_report import Report, Status
from cio_replicate.pipeline.run_plan import LOG, RunSpec
from cio_replicate.schema.system_tables import KEY
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import members_of
from cio_replicate.sinks.port import Sink
from cio_replicate.source.catalog import table as table_named

_FOLLOWED = "people_log"  # in the journal: of which copy, and since when entries of the log are to be looked at


def settle_people(
    destination: Sink, order: RunSpec, report: Report, journal: Journal, now: int, log_began: int | None
) -> list[str]:
    """Follow the activity log and erase people, in each destination; sentences about what was done.

    `log_began` is when this run's read of the log began, None if it read none. What fails is set down in the report:
    of an erasure as a failed table, since it was asked for.
    """
    copied = {table.name: table for table in (*order.others, *order.tables)}
    people = next((one for one in copied.values() if one.person == KEY.name), None)
    if people is None:
        return []
    copy_id, notes, failed = destination.identity().copy_id, [], False
    since = _followed(journal, copy_id)
    for name, member in members_of(destination).items():
        gone = DeletedPeople(
            member,
            people,
            copied.get(LOG) or table_named(LOG),
            [one for one in copied.values() if one.person is not None and one is not people],
            report.run_id,
            now,
            order.treatment(people.name) if people in order.tables else None,
        )
        where = f"{name}: " if name else ""
        try:
            notes += [where + one for one in _settled(gone, order, report, since)]
        except (LoadError, DestinationUnavailableError) as error:
            failed = True
            _fail(report, people, f"{where}{error}", erase=order.erase)
    if log_began is not None and not failed:
        journal.remember(_FOLLOWED, f"{copy_id} {log_began}")
    return notes


def _settled(gone: DeletedPeople, order: RunSpec, report: Report, since: int) -> list[str]:
    notes, told = [], {one.name: one for one in report.tables}
    mine = told.get(gone.people.name)
    if LOG in told:
        gone.note_merges(since)
    if mine is None or mine.status is not Status.COMPLETE:
        marked = gone.mark_logged(marking=order.erase)
        if marked:
            notes.append(f"People gone by the activity log's word, since they were not listed to the end: {marked}.")
        if mine is not None:
            mine.deleted += marked
    if mine is not None and mine.inserted + mine.updated:
        gone.note_returns()
    if order.erase:
        erased = gone.erase()
        report.erased = max(report.erased, erased)
        if erased:
            notes.append(f"People erased: {erased}. What may be personal is blank in all rows about them.")
    return notes


def kept_pages_note(journal: Journal, tables: tuple[Table, ...]) -> str:
    """What --keep-landed has kept of people though they were erased, in a sentence; "" when there is nothing."""
    pages = sum(len(read.pages) for one in tables if one.person is not None for read in journal.kept(one.name))
    if not pages:
        return ""
    return f"Not erased: pages that --keep-landed has kept ({pages} of them), which may hold what they held of people."


def _followed(journal: Journal, copy_id: str) -> int:
    """Since when entries of the log are to be looked at in this copy (unix seconds); 0 where nothing is known."""
    known, _, moment = (journal.fact(_FOLLOWED) or "").rpartition(" ")
    return int(moment) if known == copy_id else 0


def _fail(report: Report, people: Table, error: str, *, erase: bool) -> None:
    if not erase:
        report.notes.append(f"What the activity log says of gone people could not be followed. {error}")
        return
    found = {one.name: one for one in report.tables}
    table = found.get(people.name) or next(iter(found.values()), None)
    if table is not None:
        table.status = Status.FAILED
        table.error = table.error or f"People could not be erased. {error}"
