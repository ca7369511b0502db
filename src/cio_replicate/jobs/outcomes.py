"""How runs end: which statuses there are, whether another try follows, and what hooks are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row

from cio_replicate.jobs.ports import CANCELLED
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus

LONGEST_PAUSE = 86_400
MOST = 2**63 - 1  # that a database can hold; what a gateway tells is not counted here
ENDS = (*map(str, Status), CANCELLED)


@dataclass(frozen=True, slots=True)
class Retry:
    """Another try that follows a run: which one, and after how many seconds."""

    attempt: int
    pause: int


def again_after(status: str, attempt: int, retries: int, pause: int, *, passing: bool) -> Retry | None:
    """The try that follows the end of a run, if any.

    One that failed or was interrupted is tried again, each time after twice the pause and at most a day; one that was
    refused only when what refused it may pass by itself, such as a place that is locked.
    """
    lost = status in (Status.FAILED, Status.INTERRUPTED) or (status == Status.REFUSED and passing)
    if not lost or attempt > retries:
        return None
    return Retry(attempt + 1, min(pause * 2 ** min(attempt - 1, 30), LONGEST_PAUSE))


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
    """What a run's row says of its report."""
    if report is None:
        return {}
    return {
        "report": msgspec.json.encode(report).decode(),
        "rows": min(sum(one.inserted + one.updated + one.deleted for one in report.tables), MOST),
        "requests": min(report.requests, MOST),
        "budget_used": round(min(max(report.budget.used, 0.0), 1_000.0) * 1_000) if report.budget is not None else None,
    }
