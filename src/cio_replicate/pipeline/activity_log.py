"""The log of activities in a run: who waits for it, and what a whole read found that shorter ones had missed."""

from __future__ import annotations

from datetime import datetime

from cio_replicate.base.runtime import OnThread
from cio_replicate.pipeline.report import Status
from cio_replicate.pipeline.run_plan import RunPlan
from cio_replicate.pipeline.table_run import TableRun, read_whole
from cio_replicate.sinks.backend import NOT_DELETED, at_least
from cio_replicate.sinks.port import Sink
from cio_replicate.source.catalog import ACTIVITY_LOG
from cio_replicate.source.strategies.log import LOOKBACK, anchor


class LogCoverage:
    """The log as a plan has it; `start` is the start date in unix seconds."""

    def __init__(self, plan: RunPlan, start: int) -> None:
        self._work = next((work for work in plan.works if work.table.name == ACTIVITY_LOG.name), None)
        self._was_read = any(one.name == ACTIVITY_LOG.name and one.status is Status.COMPLETE for one in plan.reports)
        self._start = start

    def first_read_after(self, moment: int) -> int:
        """When the log was read for the first time after the read of people that began at `moment`.

        If the same run last read both, that is this run: what it adds to the log is all that has happened since.
        """
        base = self._work.base if self._work is not None else None
        same_run = base is not None and base.through == moment
        return self._work.read.began if self._work is not None and same_run else moment

    async def has_all_since(self, moment: int) -> bool:
        """Wait until the log is read and loaded; whether the copy then lacks nothing of it since `moment`."""
        if self._start > moment:
            return False
        if self._work is None:
            return self._was_read
        await self._work.ended.wait()
        return self._work.closed and self._work.lost is None


async def late_entries(work: TableRun, destination: Sink, on_thread: OnThread) -> int:
    """How many entries a whole read of the log has added that lie further back than the read before would have looked.

    They were back-dated by more than a read of the newest entries looks back.
    """
    base = work.read.base
    if base is None or not read_whole(work) or not work.closed:
        return 0
    seen_back_to = anchor(base) - LOOKBACK

    def count() -> int:
        where = [NOT_DELETED, at_least("_cio_synced_at", work.read.began)]
        rows = destination.read(work.table, [work.table.name_of("timestamp")], where)
        return sum(isinstance(at, datetime) and base.start <= at.timestamp() < seen_back_to for (at,) in rows)

    return await on_thread(count)
