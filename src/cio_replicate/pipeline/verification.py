"""Verify the tables of a copy after a run: gather what is known of each, judge it, and record it in the copy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.base.version import __version__
from cio_replicate.pipeline.report import (
    Report,
    Status,
    TableReport,
    Verification,
    VerificationStatus,
    recorded,
)
from cio_replicate.schema.system_tables import PROOF, RUN_TABLES, RUNS, Record
from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import NOT_DELETED, at_least, one_of, record_shape
from cio_replicate.sinks.fan_out import members_of
from cio_replicate.sinks.port import Digests, RunRows, Sink, count_rows
from cio_replicate.source.catalog import ACCOUNT, ACTIVITY_LOG
from cio_replicate.source.strategies import strategy_class
from cio_replicate.source.strategies.people import DELETED, MERGED

#: More keys than this are counted, not read back, after a run: that could take minutes. `verify` reads all.
MOST_READ_BACK = 2_000_000
#: The list of workspaces says how many people there are, as it was up to so many seconds ago (live).
CACHED = 2 * 3_600
ORDER = (
    VerificationStatus.SHORT,
    VerificationStatus.UNPROVED,
    VerificationStatus.CONSISTENT,
    VerificationStatus.PROVED,
)  # the worst first


@dataclass(frozen=True, slots=True)
class SourceCount:
    """How many rows the source says a table has, and where that stands (a noun).

    With `is_old` it may be of a time before the table was read; `may_be_gone` so many rows have gone since. With
    `is_later` it was counted after the table was read, so rows may have come and gone since.
    """

    rows: int
    basis: str
    may_be_gone: int = 0
    is_old: bool = False
    is_later: bool = False


@dataclass(frozen=True, slots=True)
class VerificationInput:
    """What is known of a table: whether its read was completed, what it must hold and holds, what the source says.

    `left_out` are records that the source lists without handing them over. With `counted_only` the keys in the
    copy were counted, and not read back.
    """

    closed: bool
    expected: Digests | None
    held: Digests
    source: SourceCount | None = None
    left_out: int = 0
    counted_only: bool = False


NOT_READ_BACK = (
    "The copy has as many rows as were loaded into it. Whether they are the same was not looked at, since they are so "
    "many: `cio-replicate verify` does it."
)
RESYNC = "Run `cio-replicate resync` for this table."


def judge(found: VerificationInput) -> Verification:
    """The verdict on a table: the worst that the evidence allows."""
    verdict, why = _verdict(found)
    if found.counted_only and verdict in (VerificationStatus.PROVED, VerificationStatus.CONSISTENT):
        verdict, why = VerificationStatus.UNPROVED, NOT_READ_BACK
    return Verification(
        verdict=verdict,
        why=why,
        source=found.source.rows if found.source is not None else None,
        basis=found.source.basis if found.source is not None else "",
        rows=found.held.rows,
        digest="" if found.counted_only else found.held.digest,
        landed=found.expected.digest if found.expected is not None else None,
    )


def _verdict(found: VerificationInput) -> tuple[VerificationStatus, str]:
    rows, expected, source = found.held.rows, found.expected, found.source
    if expected is not None and rows != expected.rows:
        more = rows - expected.rows
        said = f"{_rows(more)} more than" if more > 0 else f"{_rows(-more)} fewer than"
        return (
            VerificationStatus.SHORT,
            f"The copy has {said} were loaded into it: somebody else has changed it. {RESYNC}",
        )
    if expected is not None and not found.counted_only and found.held != expected:
        return (
            VerificationStatus.SHORT,
            f"The copy has other rows than were loaded into it: somebody else has changed it. {RESYNC}",
        )
    if not found.closed:
        return VerificationStatus.UNPROVED, "The table was not read to its end."
    if source is not None and rows < source.rows:
        return _fewer(found, source, source.rows - rows)
    if expected is None:
        return VerificationStatus.UNPROVED, "What was loaded has not been counted from the beginning."
    if source is None:
        return (
            VerificationStatus.CONSISTENT,
            "Every row that was loaded is there; the API gives no count to compare with.",
        )
    if rows > source.rows:
        return (
            VerificationStatus.CONSISTENT,
            f"Every row is there, and {rows - source.rows:,} more: {_why_more(source)}.",
        )
    return VerificationStatus.PROVED, "The copy has as many rows as the source says, and the keys that were loaded."


def _why_more(source: SourceCount) -> str:
    if source.is_later:
        return "they are gone at the source since it was read, or are from before the start date"
    return "some came since it was counted" if source.is_old else "rows from before the start date are kept"


def _fewer(found: VerificationInput, source: SourceCount, missing: int) -> tuple[VerificationStatus, str]:
    if missing <= source.may_be_gone:
        return (
            VerificationStatus.CONSISTENT,
            f"Every row that was loaded is there; {missing:,} may have gone since the source counted.",
        )
    if missing <= source.may_be_gone + found.left_out:
        return (
            VerificationStatus.UNPROVED,
            f"The API lists {_rows(min(missing, found.left_out))} that it does not hand over.",
        )
    said = f"{source.basis[:1].upper()}{source.basis[1:]} says {source.rows:,}, the copy has {found.held.rows:,}"
    if source.is_later:
        return (
            VerificationStatus.UNPROVED,
            f"{said}: the others have come since it was read, or are missing. Run `sync` to know.",
        )
    return VerificationStatus.SHORT, f"{said}. Run again; if it stays, run `cio-replicate resync` for this table."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Proves tables of one run, or of a call of `verify`.

    For the latter with `deep`: all keys are read back, and what the source counts is counted later than the tables were
    read. `people` are then the counts of people of all workspaces; after a run they come from the copy.
    """

    destination: Sink
    tables: Mapping[str, Table]
    run_id: str
    now: int
    deep: bool = False
    most_read_back: int = MOST_READ_BACK
    people: Sequence[int] | None = None

    def prove(self, reports: Sequence[TableReport]) -> None:
        """Note in each report of a table what was found, of several destinations the worst, and record all of them.

        Raises LoadError or DestinationUnavailableError when one of them cannot be asked, after the others were.
        """
        failure: CioReplicateError | None = None
        read = {one.name for one in reports if one.status is Status.COMPLETE}
        for name, member in members_of(self.destination).items():
            try:
                found = {report.name: self._proof(member, report, read) for report in reports}
                self._record(member, reports, found)
            except (LoadError, DestinationUnavailableError) as error:
                failure = failure or error
                continue
            for report in reports:
                proof = found[report.name]
                if name and proof.verdict is VerificationStatus.SHORT:
                    proof.why = f"{name}: {proof.why}"
                if report.proof is None or ORDER.index(proof.verdict) < ORDER.index(report.proof.verdict):
                    report.proof = proof
        if failure is not None:
            raise failure

    def _proof(self, copy: Sink, report: TableReport, read: Collection[str]) -> Verification:
        table = self.tables[report.name]
        expected = copy.state.expected.get(table.name)
        many = not self.deep and expected is not None and expected.rows > self.most_read_back
        return judge(
            VerificationInput(
                closed=report.status is Status.COMPLETE,
                expected=expected,
                held=copy.digests(table, keys=not many),
                source=self._source(copy, report, read),
                left_out=report.left_out,
                counted_only=many,
            )
        )

    def _source(self, copy: Sink, report: TableReport, read: Collection[str]) -> SourceCount | None:
        """What the source says of a table by itself; of people, by the list of workspaces if this run has read it."""
        table = self.tables[report.name]
        if strategy_class(table).counted_by_account:
            people = self.people if self.people is not None else self._people(copy, read)
            if len(people) == 1 and isinstance(people[0], int):
                gone = self._lately_gone(copy, report)
                return SourceCount(people[0], "the list of workspaces", gone, is_old=True, is_later=self.deep)
        return (
            None if report.listed is None else SourceCount(report.listed, "the length of the list", is_later=self.deep)
        )

    def _people(self, copy: Sink, read: Collection[str]) -> Sequence[object]:
        workspaces = self.tables.get(ACCOUNT.name)
        if workspaces is None or ACCOUNT.name not in read:
            return []
        return [row[0] for row in copy.read(workspaces, [workspaces.name_of("people")], [NOT_DELETED])]

    def _lately_gone(self, copy: Sink, report: TableReport) -> int:
        """How many people have gone since the source may have counted them, as far as the copy can tell."""
        people, log = self.tables[report.name], self.tables.get(ACTIVITY_LOG.name)
        counted = copy.state.checkpoints.get(ACCOUNT.name) if self.people is None else None
        since = (counted.through if counted is not None else self.now) - CACHED
        deleted, logged = count_rows(copy, people, [at_least("_cio_deleted_at", since)]), 0
        if log is not None:
            kinds = one_of(log.name_of("type"), (DELETED, MERGED))
            logged = count_rows(copy, log, [NOT_DELETED, at_least(log.name_of("timestamp"), since), kinds])
        return max(deleted, report.deleted, logged)

    def _record(self, copy: Sink, reports: Iterable[TableReport], found: Mapping[str, Verification]) -> None:
        rows = [
            {
                "run_table": f"{self.run_id}/{report.name}",
                "run_id": self.run_id,
                "table_name": report.name,
                "proved_at": datetime.fromtimestamp(self.now, UTC),
                "verdict": one.verdict.value,
                "why": one.why,
                "source_rows": one.source,
                "source_basis": one.basis or None,
                "rows_read": report.read,
                "live_rows": one.rows,
                "key_digest": one.digest or None,
                "landed_digest": one.landed,
            }
            for report in reports
            for one in (found[report.name],)
        ]
        if rows:
            record(copy, PROOF, rows)


def verify_run(destination: Sink, tables: Sequence[Table], report: Report, now: int) -> None:
    """Verify the tables in the report of a run, and fail those of which the copy is not true."""
    try:
        Verifier(destination, {table.name: table for table in tables}, report.run_id, now).prove(report.tables)
    except (LoadError, DestinationUnavailableError) as error:
        report.notes.append(f"The proof could not be made. {recorded(error)}")
    for one in report.tables:
        if one.proof is not None and one.proof.verdict is VerificationStatus.SHORT:
            one.status = Status.FAILED
            one.error = one.error or f"The copy is not true. {one.proof.why}"


def record(destination: Sink, table: Record, rows: Sequence[Mapping[str, object]]) -> None:
    """Put rows about a run into a table of the copy."""
    destination.write(RunRows(record_shape(table), rows))


def record_run(destination: Sink, report: Report, modes: Mapping[str, str]) -> None:
    """Record a run and its tables in the copy: as under way when it begins, and again when it has ended."""
    run = {
        "run_id": report.run_id,
        "started": _moment(report.started),
        "ended": _moment(report.ended),
        "status": report.status.value,
        "requests": report.requests,
        "throttled": report.throttled,
        "rows_read": sum(table.read for table in report.tables),
        **{name: sum(getattr(one, name) for one in report.tables) for name in ("inserted", "updated", "deleted")},
        "error": report.error,
        "version": __version__,
    }
    record(destination, RUNS, [run])
    if not report.ended:
        return
    record(
        destination,
        RUN_TABLES,
        [
            {
                "run_table": f"{report.run_id}/{one.name}",
                "run_id": report.run_id,
                "table_name": one.name,
                "status": one.status.value,
                "mode": modes.get(one.name),
                "rows_read": one.read,
                **{name: getattr(one, name) for name in _SAME},
            }
            for one in report.tables
        ],
    )


_SAME = ("inserted", "updated", "deleted", "requests", "misfits", "seconds", "error")


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
