"""How many requests a run needs by the copy and earlier runs, and how fast they can be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cio_replicate.pipeline.read_state import log_columns, people_named
from cio_replicate.pipeline.report import EstimateCheck, Report, Status, TableReport
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, Operator, at_least, moment
from cio_replicate.sinks.port import Sink, count_rows
from cio_replicate.source.catalog import ACTIVITY_LOG
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import Estimate, ReadScope, Strategy
from cio_replicate.source.strategies.log import anchor


@dataclass(frozen=True, slots=True)
class RequestSpeed:
    """How fast requests can be sent: so many per second, and the seconds that an answer takes (0: not known)."""

    per_second: float
    answer_time: float = 0.0

    def seconds(self, table: Table, requests: int) -> float:
        """The least time that these requests for a table take; of a list without shortcut each waits for the last."""
        chained = strategy_of(table, ReadScope(0, 0)).is_chain
        return requests * max(1 / self.per_second, self.answer_time if chained else 0.0)

    def together(self, requests: Mapping[str, int]) -> float:
        """The least time that requests for tables of these names take, side by side."""
        longest = max((self.seconds(table_named(name), count) for name, count in requests.items()), default=0.0)
        return max(sum(requests.values()) / self.per_second, longest)


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs have left: the copy, its checkpoints, and the last complete report of each table.

    `log` is the log of activities as the copy has it. Answers what strategies ask for an estimate.
    """

    copy: Sink | None = None
    positions: Mapping[str, Checkpoint] = field(default_factory=dict)
    reports: Mapping[str, TableReport] = field(default_factory=dict)
    log: Table = ACTIVITY_LOG

    def last(self, table: Table) -> tuple[int, int] | None:
        """The requests and rows of the last complete read of a table."""
        report = self.reports.get(table.name)
        return None if report is None else (report.requests, report.read)

    def rows(self, table: Table) -> int:
        """The rows of a table that are not deleted."""
        return 0 if self.copy is None else count_rows(self.copy, table)

    def rows_between(self, table: Table, first: int, last: int) -> int:
        """The rows that are not deleted with a date from `first` to `last` (unix seconds, both included)."""
        column = table.start_date_column or ""
        where = [NOT_DELETED, at_least(column, first), Condition(column, Operator.AT_MOST, moment(last))]
        return 0 if self.copy is None else count_rows(self.copy, table, where)

    def changed_people(self, since: int, now: int) -> int:
        """How many people the log names in as much time, up to its end, as lies between `since` and `now`."""
        if self.copy is None:
            return 0
        base = self.positions.get(self.log.name)
        ended = anchor(base) if base is not None else since
        where = [NOT_DELETED, at_least(self.log.name_of("timestamp"), ended - (now - since))]
        named = people_named(self.copy.read(self.log, log_columns(self.log), where))
        return len(named.cio_ids) + len(named.ids)


def last_complete(reports: Sequence[Report]) -> dict[str, TableReport]:
    """The newest report of a whole read of each table; `reports` are newest first."""
    found: dict[str, TableReport] = {}
    for report in reports:
        for one in report.tables:
            if one.status is Status.COMPLETE and not one.continued:
                found.setdefault(one.name, one)
    return found


def predicted(strategy: Strategy, past: History) -> Estimate | None:
    """How many requests a table needs; None when it was never read, or earlier runs do not tell."""
    if strategy.scope.base is None or past.copy is None:
        return None
    return strategy.estimate(past)


def compared(tables: Sequence[TableReport], speed: RequestSpeed) -> EstimateCheck | None:
    """What was expected of complete tables, beside what it took; None when nothing was."""
    expected = {
        table.name: table.predicted
        for table in tables
        if table.predicted is not None and table.status is Status.COMPLETE
    }
    if not expected:
        return None
    return EstimateCheck(
        tables=len(expected),
        requests=sum(expected.values()),
        sent=sum(table.requests for table in tables if table.name in expected),
        seconds=round(speed.together(expected), 1),
    )
