"""Find people deleted in Customer.io, mark or erase them in each destination, and report it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.config.column_rules import RedactionKind
from cio_replicate.config.table_options import WriteOptions
from cio_replicate.pipeline.journal import Journal
from cio_replicate.pipeline.read_state import seconds_of
from cio_replicate.pipeline.report import Report, Status, recorded
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.schema.system_tables import ERASURES, KEY, MERGES
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, at_least, moment, one_of, record_shape
from cio_replicate.sinks.fan_out import members_of
from cio_replicate.sinks.port import Batch, ErasureHits, RunRows, Sink, run_rows
from cio_replicate.source.catalog import ACTIVITY_LOG
from cio_replicate.source.redact import hashed_text
from cio_replicate.source.strategies.people import (
    DELETED,
    MERGED,
    PREFIX,
    DeletedPerson,
    LogEntry,
    alive_after,
    departure,
)

_NAMED = ("customer_identifiers", "cio_id")  # where an entry of the log names a person
_MERGES, _ERASURES = record_shape(MERGES), record_shape(ERASURES)


@dataclass(frozen=True, slots=True)
class DeletedPeople:
    """People in one destination, at the end of a run. `people`, `log` and `others` are tables as the copy has them.

    `others` are all tables with rows about people, but for the first. `treatment` is how changes reach the people;
    None where this run does not read them.
    """

    copy: Sink
    people: Table
    log: Table
    others: Sequence[Table]
    run_id: str
    now: int
    treatment: WriteOptions | None

    def note_merges(self, since: int) -> int:
        """Record who was merged into whom, by what has come into the log since a moment (unix seconds); how many."""
        gone = [one for one in self._departures(at_least("_cio_synced_at", since)) if one.into is not None]
        if gone:
            rows = [
                {
                    "cio_id": one.cio_id,
                    "into_cio_id": one.into,
                    "merged_at": moment(one.at),
                    "activity_id": one.entry,
                    "run_id": self.run_id,
                }
                for one in {one.cio_id: one for one in sorted(gone, key=lambda one: one.at)}.values()
            ]
            self.copy.write(RunRows(_MERGES, rows))
        return len({one.cio_id for one in gone})

    def mark_logged(self, *, marking: bool) -> int:
        """Mark those as deleted, or remove them, who are gone by the log since people were last listed; how many.

        Not those whom the copy or the log shows as there at a later moment. With `marking` nobody is removed.
        """
        position = self.copy.state.checkpoints.get(self.people.name)
        since = position.through if position is not None else 0
        logged = self._departures(at_least(self._log_columns()[1], since))
        last = {one.cio_id: one.at for one in sorted(logged, key=lambda one: one.at)}
        rows = self.copy.read(self.people, ["_cio_key", "_cio_synced_at"], [NOT_DELETED, one_of(KEY.name, last)])
        gone = {key: last[key] for key, synced_at in rows if synced_at.timestamp() <= last[key]}
        if gone:
            shown = alive_after(self._entries_of(list(gone), min(gone.values())))
            gone = {key: at for key, at in gone.items() if shown.get(key, 0) <= at}
        if not gone:
            return 0
        treatment = self.treatment.marking if self.treatment is not None and marking else self.treatment
        return self._write(sorted(gone), treatment)

    def note_returns(self) -> None:
        """Note of people who were erased and are listed again that they have returned."""
        active = {row["cio_id"]: row for row in run_rows(self.copy, _ERASURES) if row["returned_at"] is None}
        back = self._there(active)
        if back:
            returned = {"returned_at": moment(self.now)}
            self.copy.write(RunRows(_ERASURES, [row | returned for key, row in active.items() if key in back]))

    def erase(self) -> int:
        """Blank what may be personal of everybody who is gone and not erased yet, and record it; how many people.

        The record comes last: after a kill all is done again. At the very end those leave the table who were only
        marked, where they are to be removed.
        """
        people = self._to_erase()
        if people:
            named = self._named_otherwise(people)
            found: dict[str, ErasureHits] = {}
            for table in (*self.others, self.people):  # those last, since they tell what else names them
                found |= self.copy.erase(table, {one: sorted(named.get(one, ())) for one in people})
            self.copy.write(RunRows(_ERASURES, [self._record(one, found) for one in people]))
        if self.treatment is not None and self.treatment.removes:
            self._write([], self.treatment)
        return len(people)

    def _to_erase(self) -> list[str]:
        """Who is gone and not erased yet, with all who were merged into them; not who lives on in somebody."""
        erased = {row["cio_id"] for row in run_rows(self.copy, _ERASURES) if row["returned_at"] is None}
        into = {row["cio_id"]: row["into_cio_id"] for row in run_rows(self.copy, _MERGES)}
        rows = self.copy.read(self.people, [KEY.name], [at_least("_cio_deleted_at", 0)])
        marked = {key for (key,) in rows}
        last = {one: last_of(one, into) for one in into}
        there = self._there({*marked, *last, *last.values()})
        gone = {one for one in marked if last.get(one) not in there}
        gone |= {one for one, end in last.items() if end in gone or end in erased}
        return sorted(gone - erased - there)

    def _named_otherwise(self, people: Sequence[str]) -> dict[str, set[str]]:
        """The ids and addresses of these people in any version of their rows, but for those of somebody who is there.

        By them rows are found that lack the `cio_id`.
        """
        columns = [column.name for column in self.people.columns if column.identifies]
        rows = self.copy.read(self.people, [KEY.name, *columns], [one_of(KEY.name, people)]) if columns else []
        named: dict[str, set[str]] = {}
        for key, *values in rows:
            named.setdefault(key, set()).update(value for value in values if value)
        every = {one for names in named.values() for one in names}
        taken: set[str] = set()
        for column in columns:
            rows = self.copy.read(self.people, [column], [NOT_DELETED, one_of(column, every)])
            taken |= {value for (value,) in rows}
        return {key: names - taken for key, names in named.items()}

    def _record(self, person: str, found: Mapping[str, ErasureHits]) -> dict[str, object]:
        rows = {table: about.rows[person] for table, about in found.items() if person in about.rows}
        keys = {table: about.otherwise[person] for table, about in found.items() if person in about.otherwise}
        return {
            "run_person": f"{self.run_id}/{person}",
            "cio_id": person,
            "erased_at": moment(self.now),
            "run_id": self.run_id,
            "rows_blanked": msgspec.json.encode(rows).decode(),
            "named_otherwise": msgspec.json.encode(keys).decode() if keys else None,
            "returned_at": None,
        }

    def _there(self, people: Iterable[str]) -> set[str]:
        rows = self.copy.read(self.people, [KEY.name], [NOT_DELETED, one_of(KEY.name, people)])
        return {key for (key,) in rows}

    def _write(self, gone: Sequence[str], treatment: WriteOptions | None) -> int:
        columns = KnownColumns(self.people, self.copy.state.discovered(self.people)).all
        batch = Batch(self.people, columns, (), self.run_id, gone=gone, gone_at=self.now, as_it_is=treatment is None)
        if treatment is not None:
            batch = Batch(self.people, columns, (), self.run_id, treatment=treatment, gone=gone, gone_at=self.now)
        return self.copy.write(batch).deleted

    def _departures(self, since: Condition) -> list[DeletedPerson]:
        """Who is gone by entries of the log that meet the condition, as far as the copy has what tells it."""
        kind, at, who = self._log_columns()
        known = {column.name for column in self.log.columns}
        if not {kind, at} <= known:
            return []
        columns = [kind, at, who, self.log.name_of("id"), self.log.name_of("data")]
        rows = self.copy.read(self.log, columns, [NOT_DELETED, since, one_of(kind, (DELETED, MERGED))])
        people = [
            departure(LogEntry(type_, seconds_of(time), cio_id, None), str(entry), data, self._as_copied)
            for type_, time, cio_id, entry, data in rows
        ]
        return [one for one in people if one is not None]

    def _entries_of(self, people: Sequence[str], since: int) -> list[LogEntry]:
        kind, at, who = self._log_columns()
        names = [name for one in people for name in (one, PREFIX + one)]
        rows = self.copy.read(self.log, [kind, at, who], [NOT_DELETED, at_least(at, since), one_of(who, names)])
        return [LogEntry(type_, seconds_of(time), cio_id, None) for type_, time, cio_id in rows]

    def _as_copied(self, cio_id: str) -> str:
        """What the copy has of a person's `cio_id` that stands somewhere in the log: its hash where that is hashed."""
        rules = self.log.redaction
        if rules is None or rules.salt is None or rules.actions.get(_NAMED) is not RedactionKind.HASH:
            return cio_id
        return hashed_text(cio_id, rules.salt)

    def _log_columns(self) -> tuple[str, str, str]:
        name_of = self.log.name_of
        return name_of("type"), name_of("timestamp"), name_of(*_NAMED)


def last_of(person: str, into: Mapping[str, str]) -> str:
    """In whom a person lives on who was merged, perhaps by way of others; of a ring, any."""
    seen = {person}
    while (person := into.get(person, person)) not in seen:
        seen.add(person)
    return person


# What a run does about deleted people in each destination, and what it reports of it: a step between loading and proof.


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
    copy_id, notes, failed = destination.state.identity.copy_id, [], False
    since = _followed(journal, copy_id)
    for name, member in members_of(destination).items():
        gone = DeletedPeople(
            member,
            people,
            copied.get(ACTIVITY_LOG.name, ACTIVITY_LOG),
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
            _fail(report, people, f"{where}{recorded(error)}", erase=order.erase)
    if log_began is not None and not failed:
        journal.remember(_FOLLOWED, f"{copy_id} {log_began}")
    return notes


def _settled(gone: DeletedPeople, order: RunSpec, report: Report, since: int) -> list[str]:
    notes, reports = [], {one.name: one for one in report.tables}
    mine = reports.get(gone.people.name)
    if ACTIVITY_LOG.name in reports:
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
    """The pages that ‹keep_landed› keeps of people though they were erased, in a sentence; "" when there is nothing."""
    pages = sum(len(read.pages) for one in tables if one.person is not None for read in journal.kept(one.name))
    if not pages:
        return ""
    note = f"Not erased: pages that ‹keep_landed› has kept ({pages} of them), which may hold what they held of people."
    return recorded(note)


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
