"""What a run is expected to cost, told while it begins and compared with what it did cost."""

from __future__ import annotations

from collections.abc import Sequence

from cio_replicate.app.plan import of_first_pages, of_people, people_counts
from cio_replicate.pipeline.predict import Estimate, RequestSpeed
from cio_replicate.pipeline.read import Partition
from cio_replicate.pipeline.report import EstimateCheck, Status, TableReport
from cio_replicate.pipeline.table_run import TableRun
from cio_replicate.schema.table import Reading
from cio_replicate.source.pages import Page


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
