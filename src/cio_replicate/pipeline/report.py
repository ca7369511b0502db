"""The report of a run, and the verification outcome of each table."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.config.options import as_options
from cio_replicate.sinks.port import Changes
from cio_replicate.source.rate_limiter import RateUsage


class VerificationStatus(StrEnum):
    """What is known of a table of the copy."""

    PROVED = "proved"  # the source's own count, and the keys that were loaded, are those of the copy
    CONSISTENT = "consistent"  # the keys that were loaded are those of the copy; the source gives no count
    UNPROVED = "unproved"  # not enough is known
    SHORT = "short"  # the copy is not what it must be


class Verification(msgspec.Struct, kw_only=True):
    """What was found of one table. `basis` says where the source's count comes from, `why` the verdict in a sentence.

    `digest` is that of the keys read back from the copy, `landed` that of the keys which were loaded into it.
    """

    verdict: VerificationStatus
    why: str
    source: int | None = None
    basis: str = ""
    rows: int = 0
    digest: str = ""
    landed: str | None = None


# The report of a run: what the command line prints, `--json` writes and the journal keeps.


class Status(StrEnum):
    """How a run or a table ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"  # settings or access are wrong; nothing was read


EXIT_CODES = {Status.COMPLETE: 0, Status.FAILED: 1, Status.REFUSED: 2, Status.INTERRUPTED: 130}


class TableReport(msgspec.Struct, kw_only=True):
    """What became of one table. `read` counts records received, the others what really changed in the destination."""

    name: str
    status: Status = Status.INTERRUPTED
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    requests: int = 0
    predicted: int | None = (
        None  # the requests that were expected; none when nothing showed it, or after an interruption
    )
    seconds: float = 0.0
    error: str | None = None
    misfits: int = 0  # values that did not fit their column and are kept in `_cio_extra`
    left_out: int = 0  # records that the source lists but did not hand over
    listed: int | None = None  # different records that the source lists, where a list was read whole
    proof: Verification | None = None  # of several destinations, that of the worst
    new_columns: list[str] = msgspec.field(default_factory=list)  # made of fields that the copy did not know before
    frozen_out: bool = False  # it failed since the API sends what the table, whose schema is frozen, does not know
    untold: int = 0  # people whose change only a whole read found, since the activity log does not name them
    continued: bool = False  # goes on from a run that was broken off, so the numbers are not those of a whole read
    notes: list[str] = msgspec.field(default_factory=list)

    def count(self, changes: Changes) -> None:
        """Add what a batch changed in the destination."""
        self.inserted += changes.inserted
        self.updated += changes.updated
        self.deleted += changes.deleted


class BudgetReport(msgspec.Struct, kw_only=True):
    """What became of the request budget, from the first request to the last."""

    allowed: float  # requests per second
    achieved: float  # the same, in the time when there was something to ask
    used: float  # the share of the budget that was used, from 0 to 1
    lost_seconds: float = 0.0  # how long requests waited because the API had answered 429
    lost: float = 0.0  # the share of the reading time that this was, from 0 to 1


class EstimateCheck(msgspec.Struct, kw_only=True):
    """How many requests were expected, of the tables where that was known, and how many it took."""

    tables: int
    requests: int
    sent: int  # by the same tables
    seconds: float  # that these tables need at least, at the allowed rate and if answers take as long as they did


class Report(msgspec.Struct, kw_only=True):
    """What became of a run. Times are ISO 8601 in UTC."""

    run_id: str
    status: Status = Status.INTERRUPTED
    started: str
    ended: str = ""
    seconds: float = 0.0
    requests: int = 0
    throttled: int = 0  # requests that were answered 429
    expected: EstimateCheck | None = None  # none after an interruption, or when nothing showed it
    budget: BudgetReport | None = None  # none if nothing was asked
    error: str | None = None
    passing: bool = False  # it was refused for what may be otherwise in a while, such as a place that is locked or away
    erased: int = 0  # people of whom what may be personal was blanked
    tables: list[TableReport] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code that the command line promises for this outcome."""
        return EXIT_CODES[self.status]

    def to_json(self) -> str:
        """The report as one JSON document."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()


def recorded(error: CioReplicateError | str) -> str:
    """An error or a note as it is recorded: settings by their options, which every face knows that reads it later."""
    return as_options(str(error))


def read_report(text: str) -> Report:
    """The report that `to_json` wrote."""
    return msgspec.json.decode(text, type=Report)


def budget_report(account: RateUsage) -> BudgetReport | None:
    """The report of a request budget; None if no request had a permit."""
    if not account.turns:
        return None
    return BudgetReport(
        allowed=account.allowed,
        achieved=round(account.achieved, 2),
        used=round(account.used, 3),
        lost_seconds=round(account.lost, 1),
        lost=round(account.lost / account.reading, 3),
    )


def iso(moment: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


def outcome(tables: list[TableReport]) -> Status:
    """The outcome of a run from that of its tables: complete if every one is, interrupted if there is none yet."""
    statuses = {table.status for table in tables}
    if not statuses or Status.INTERRUPTED in statuses:
        return Status.INTERRUPTED
    return Status.COMPLETE if statuses <= {Status.COMPLETE} else Status.FAILED
