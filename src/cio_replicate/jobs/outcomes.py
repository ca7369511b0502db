"""How runs end: the statuses, the pause before a retry, and what hooks get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from cio_replicate.database.rows import as_text
from cio_replicate.jobs.ports import CANCELLED
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus

LONGEST_PAUSE = 86_400
MOST = 2**63 - 1  # that a database can hold; what a gateway sends is not counted here
ENDS = (*map(str, Status), CANCELLED)


def retry_pause(status: str, attempt: int, retries: int, pause: int, *, passing: bool) -> int | None:
    """Return the seconds after which a run that ended is tried again; None when it is not.

    One that failed or was interrupted is tried again, each time after twice the pause and at most a day; one that was
    refused only when what refused it may pass by itself, such as a place that is locked.
    """
    lost = status in (Status.FAILED, Status.INTERRUPTED) or (status == Status.REFUSED and passing)
    return min(pause * 2 ** min(attempt - 1, 30), LONGEST_PAUSE) if lost and attempt <= retries else None


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How a run of a task ended. `attempt` counts the tries, the first one included; `will_retry`: another follows."""

    run_id: str
    task: str
    status: str
    attempt: int
    error: str | None
    report: Report | None
    will_retry: bool

    @property
    def failed_tables(self) -> list[TableReport]:
        """The tables that failed."""
        return [one for one in self._tables if one.status is Status.FAILED]

    @property
    def short_tables(self) -> list[TableReport]:
        """The tables whose copy is not what it must be."""
        return [one for one in self._tables if one.proof is not None and one.proof.verdict is VerificationStatus.SHORT]

    @property
    def frozen_tables(self) -> list[TableReport]:
        """The tables that failed for a field that they do not know."""
        return [one for one in self._tables if one.frozen_out]

    @property
    def new_columns(self) -> dict[str, list[str]]:
        """The columns that the run has made, by table."""
        return {one.name: one.new_columns for one in self._tables if one.new_columns}

    @property
    def is_only_short(self) -> bool:
        """Whether nothing failed but proofs."""
        return bool(self.short_tables) and all(one in self.short_tables for one in self.failed_tables)

    @property
    def is_only_frozen(self) -> bool:
        """Whether nothing failed but tables with a frozen schema."""
        return bool(self.frozen_tables) and all(one.frozen_out for one in self.failed_tables)

    @property
    def _tables(self) -> list[TableReport]:
        return self.report.tables if self.report is not None else []


#: What else is done when a run ends, in the transaction that ends it: with the row of its task, the channels that the
#: task notifies, how the run ended, and the time.
OutcomeHook = Callable[[Connection, Row[Any], Sequence[str], EndedRun, int], None]  # Any: of every column


def measured(report: Report | None) -> dict[str, object]:
    """Return the columns of a run that hold its report and its main numbers."""
    if report is None:
        return {}
    return {
        "report": as_text(report),
        "rows": min(sum(one.inserted + one.updated + one.deleted for one in report.tables), MOST),
        "requests": min(report.requests, MOST),
        "budget_used": round(min(max(report.budget.used, 0.0), 1_000.0) * 1_000) if report.budget is not None else None,
    }
