"""How many requests a run needs: from the copy, from the last run, and from first pages while the run begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import msgspec

from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.pipeline.read_state import log_columns, people_named
from cio_replicate.pipeline.report import EstimateCheck, Report, Status, TableReport
from cio_replicate.pipeline.table_run import TableRun
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import ColumnType, Paging, Reading, Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, Operator, at_least, moment
from cio_replicate.sinks.port import Sink, count_rows
from cio_replicate.source.catalog import table as table_named
from cio_replicate.source.decode import fit
from cio_replicate.source.pages import Cursor, Page
from cio_replicate.source.strategies.base import Partition, Priority, bounds_of, urgency_of
from cio_replicate.source.strategies.people import BATCH
from cio_replicate.source.strategies.windows import DAY, WINDOW, anchor, due_spans, log_until, reads_whole

IN_COPY, LAST_RUN = "rows in the copy", "last run"
RECENT = 30 * DAY  # the time by which it is judged how many rows come in
COUNTED, FIRST_PAGE = "counted", "estimated from first page"
_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one table will cost. `most` is None when there is no telling; `rows` when nothing told.

    `error` is set instead when the API did not let the table in, `refused` when it was the key that it refused.
    """

    table: str
    least: int
    most: int | None
    rows: int | None
    basis: str
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class RequestSpeed:
    """How fast requests can be sent: so many per second, and the seconds that an answer takes (0: not known)."""

    per_second: float
    answer_time: float = 0.0

    def seconds(self, table: Table, requests: int) -> float:
        """The least time that these requests for a table take; of a list without shortcut each waits for the last."""
        chained = urgency_of(table, Cursor()) is Priority.CHAIN
        return requests * max(1 / self.per_second, self.answer_time if chained else 0.0)

    def together(self, requests: Mapping[str, int]) -> float:
        """The least time that requests for tables of these names take, side by side."""
        longest = max((self.seconds(table_named(name), count) for name, count in requests.items()), default=0.0)
        return max(sum(requests.values()) / self.per_second, longest)


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs have left: the copy, its positions, and the last complete report of each table.

    `log` is the log of activities as the copy has it.
    """

    copy: Sink | None = None
    positions: Mapping[str, Checkpoint] = field(default_factory=dict)
    last: Mapping[str, TableReport] = field(default_factory=dict)
    log: Table = field(default_factory=lambda: table_named("activities"))


def last_complete(reports: Sequence[Report]) -> dict[str, TableReport]:
    """The newest report of a whole read of each table; `reports` are newest first."""
    found: dict[str, TableReport] = {}
    for report in reports:
        for one in report.tables:
            if one.status is Status.COMPLETE and not one.continued:
                found.setdefault(one.name, one)
    return found


def predicted(table: Table, start: int, now: int, past: History, rules: RereadPolicy) -> Estimate | None:
    """What a run that begins `now` costs for a table with a position; None when earlier runs do not tell."""
    base, last = past.positions.get(table.name), past.last.get(table.name)
    if base is None or past.copy is None:
        return None
    if table.reading is Reading.WINDOWS:
        return _of_deliveries(table, start, now, base, past.copy, rules)
    if table.reading is Reading.PEOPLE:
        return (
            of_changes(table, now, base, past)
            if not reads_whole(table, base, now, rules)
            else _of_all(table, past.copy)
        )
    if table.retention_days is not None and base.last_whole != base.through:
        return _of_log(table, now, base, past.copy, rules)
    if table.retention_days is not None and not reads_whole(table, base, now, rules):
        return _of_log(table, now, base, past.copy, rules)
    return Estimate(table.name, last.requests, last.requests, last.read, LAST_RUN) if last is not None else None


def people_requests(table: Table, people: int) -> int:
    """The requests that reading so many people costs: the list, and their attributes."""
    return max(1, ceil(people / (table.page_size or 1))) + ceil(people / BATCH)


def _of_all(table: Table, copy: Sink) -> Estimate:
    count = count_rows(copy, table)
    requests = people_requests(table, count)
    return Estimate(table.name, requests, requests, count, IN_COPY)


def of_changes(table: Table, now: int, base: Checkpoint, past: History) -> Estimate:
    """The cost of listing everybody and asking for those whom the log will name, if as many as in the time before."""
    assert past.copy is not None  # noqa: S101 - the caller has looked
    people = count_rows(past.copy, table)
    log = past.positions.get("activities")
    since = (anchor(log) if log is not None else base.through) - (now - base.through)
    where = [NOT_DELETED, at_least(past.log.name_of("timestamp"), since)]
    named = people_named(past.copy.read(past.log, log_columns(past.log), where))
    changed = len(named.cio_ids) + len(named.ids)
    requests = ceil(people / (table.page_size or 1)) + ceil(changed / BATCH)
    return Estimate(table.name, requests, requests, changed, IN_COPY)


def _of_deliveries(table: Table, start: int, now: int, base: Checkpoint, copy: Sink, rules: RereadPolicy) -> Estimate:
    rows, requests = 0, 0
    for first, last in due_spans(start, now, base, rules.recent_days):
        there = _between(table, copy, first, last) + (_new(table, now, base, copy) if last == now else 0)
        rows += there
        requests += max(ceil((last - first + 1) / WINDOW), ceil(there / (table.page_size or 1)))
    return Estimate(table.name, requests, requests, rows, IN_COPY)


def _of_log(table: Table, now: int, base: Checkpoint, copy: Sink, rules: RereadPolicy) -> Estimate:
    until = log_until(table, base, now, rules)
    reach = until if until is not None else anchor(base) - (table.retention_days or 0) * DAY
    rows = _between(table, copy, reach, now) + _new(table, now, base, copy)
    pages = ceil(rows / (table.page_size or 1))
    # one page tells that the rest is known, one whether the lists with and without deleted people are the same
    requests = pages + len(table.slices) - 1 + (until is not None)
    return Estimate(table.name, requests, requests, rows, IN_COPY)


def _between(table: Table, copy: Sink, first: int, last: int) -> int:
    """Count the rows that are not deleted with a date from `first` to `last` (unix seconds, both included)."""
    column = table.start_date_column or ""
    until = Condition(column, Operator.AT_MOST, moment(last))
    return count_rows(copy, table, [NOT_DELETED, at_least(column, first), until])


def _new(table: Table, now: int, base: Checkpoint, copy: Sink) -> int:
    """How many rows have come in since the last read, if as many as before."""
    end = anchor(base)
    recent = _between(table, copy, end - RECENT, end)
    return round(recent / RECENT * max(0, now - base.through))


def of_people(table: Table, people: Sequence[int]) -> Estimate:
    """The cost of reading everybody. `people` are the counts of all workspaces, and only one of them is the key's."""
    costs = [people_requests(table, count) for count in people]
    if len(people) == 1:
        return Estimate(table.name, costs[0], costs[0], people[0], COUNTED)
    if not people:
        return Estimate(table.name, 1, None, None, "no workspace is listed")
    return Estimate(table.name, min(costs), max(costs), None, f"one of {len(people)} workspaces")


def of_first_pages(table: Table, first: Sequence[tuple[Partition, Page]]) -> Estimate:
    """The cost of reading a table of whose parts the first pages are known; a part that another holds costs a request.

    Lists by offset cost one more, unless one shows by its length how long a page can be.
    """
    asked = [(part, page) for part, page in first if not _is_covered(table, part)]
    costs = [_cost(table, part, page) for part, page in asked]
    extra = len(first) - len(asked)
    if table.paging is Paging.OFFSET:
        counts = [len(page.items) for _, page in first]
        extra += 0 < max(counts, default=0) < (table.page_size or 1)
    most = [cost.most for cost in costs]
    known = [one for one in most if one is not None]
    return Estimate(
        table.name,
        sum(cost.least for cost in costs) + extra,
        sum(known) + extra if len(known) == len(most) else None,
        sum(cost.rows for cost in costs),
        FIRST_PAGE if any(cost.estimated for cost in costs) else COUNTED,
    )


@dataclass(frozen=True, slots=True)
class TableEstimate:
    """How many requests a table takes: at least, and at most where that is known."""

    least: int
    most: int | None
    rows: int
    estimated: bool = False


def _cost(table: Table, part: Partition, page: Page) -> TableEstimate:
    count = len(page.items)
    windows = 1
    if table.reading is Reading.WINDOWS:
        first, last = bounds_of(part)
        windows = ceil((last - first + 1) / WINDOW)
    if not page.next if table.paging is Paging.CURSOR else count < (table.page_size or 1):
        return TableEstimate(windows, windows, count, estimated=windows > 1)
    if count < (table.page_size or 1) and table.reading is Reading.LIST:
        return TableEstimate(2, 2, count)  # an empty page may stand behind the last token
    guess = stretched(_times(table, page), _reach(table, part, page))
    if guess is None:
        return TableEstimate(windows + 1, None, count, estimated=True)
    requests = max(windows, ceil(guess / max(1, count)))
    return TableEstimate(requests, requests, guess, estimated=True)


def stretched(times: Sequence[int], until: int | None) -> int | None:
    """How many rows a list has that goes back to `until`, if it is everywhere as dense as on its first page.

    until                              oldest      newest
      |- - - - - as dense as - - - - - ->|███ page ███|
    """
    if until is None or not times or max(times) == min(times):
        return None
    density = len(times) / (max(times) - min(times))
    return len(times) + max(1, round(max(0, min(times) - until) * density))


def _is_covered(table: Table, part: Partition) -> bool:
    return any(one.name == part.name and one.covered_by for one in table.slices)


def _reach(table: Table, part: Partition, page: Page) -> int | None:
    """How far back a part goes: to the beginning of its window, or as far as the source keeps rows."""
    if table.reading is Reading.WINDOWS:
        return int(part.query["start_ts"])
    times = _times(table, page)
    return max(times) - table.retention_days * DAY if table.retention_days and times else None


def _times(table: Table, page: Page) -> list[int]:
    if table.start_date_column is None:
        return []
    (name,) = table.column(table.start_date_column).path
    return _integers(page, name)


def _integers(page: Page, name: str) -> list[int]:
    """The integers that the records of a page hold under a name; a record that holds something else gives none."""
    found = []
    for item in page.items:
        try:
            record = _record.decode(item)
        except msgspec.ValidationError:
            continue
        value = fit(record[name], ColumnType.INTEGER).value if name in record else None
        if value is not None:
            found.append(value)
    return found


def people_counts(page: Page) -> list[int]:
    """The people of each workspace, in a page of the list of workspaces."""
    return _integers(page, "people")


class Forecast:
    """Notes in each table's report how many requests it is expected to need, as soon as that can be told.

    For a table that earlier runs do not tell of, its first pages do, as they come; for people, those of the list of
    workspaces. What cannot be told by then is left open. A read that goes on from an earlier run has no forecast.
    """

    def __init__(self, works: Sequence[TableRun]) -> None:
        self._people = [work for work in works if work.table.reading is Reading.PEOPLE]
        self._first: dict[str, list[tuple[Partition, Page]]] = {}
        self._parts = {work.table.name: len(work.read.parts) for work in works}

    def first_page(self, work: TableRun, part: Partition, page: Page) -> None:
        """The first page of a part has come."""
        if work.table.name == "workspaces":
            for people in self._people:
                _note(people, of_people(people.table, people_counts(page)))
        if work.table.reading is Reading.PEOPLE or work.report.predicted is not None:
            return
        first = self._first.setdefault(work.table.name, [])
        first.append((part, page))
        if len(first) == self._parts[work.table.name]:
            _note(work, of_first_pages(work.table, first))
            first.clear()


def compared(tables: Sequence[TableReport], speed: RequestSpeed) -> EstimateCheck | None:
    """What was expected of complete tables, beside what it took; None when nothing was."""
    told = {
        table.name: table.predicted
        for table in tables
        if table.predicted is not None and table.status is Status.COMPLETE
    }
    if not told:
        return None
    return EstimateCheck(
        tables=len(told),
        requests=sum(told.values()),
        sent=sum(table.requests for table in tables if table.name in told),
        seconds=round(speed.together(told), 1),
    )


def _note(work: TableRun, estimate: Estimate) -> None:
    if not work.report.continued and work.report.predicted is None and estimate.least == estimate.most:
        work.report.predicted = estimate.least
