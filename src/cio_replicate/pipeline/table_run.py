"""One table's share of a run: what it reads, what was counted, where it stands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from cio_replicate.config.table_options import USUAL, WriteMode, WriteOptions
from cio_replicate.pipeline.journal import TableRead
from cio_replicate.pipeline.read_state import CopyReadState
from cio_replicate.pipeline.report import TableReport
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.source.pages import RequestCounter
from cio_replicate.source.strategies.base import Strategy
from cio_replicate.source.stream import PlannedRead


@dataclass(slots=True)
class TableRun:
    """A table in a run. `rows` and `pages` are what this run staged; `reading` ends when there is no more to come.

    `base` is the position that the destination has, also when the table is read from the start.
    """

    strategy: Strategy
    read: TableRead
    fields: KnownColumns
    base: Checkpoint | None
    report: TableReport
    started: float
    treatment: WriteOptions = USUAL
    found_before: frozenset[str] = frozenset()  # the columns that the copy has of fields that were not declared
    marks: bool = False  # rows that are gone are only marked until the end of the run, so that it knows whose they are
    live: int = 0  # rows in the copy before the run
    backfills: bool = False  # reads a stretch of time once more, and leaves the position where it was
    meter: RequestCounter = field(default_factory=RequestCounter)
    reached: dict[str, int] = field(default_factory=dict)  # per window the oldest moment read, newest come first
    rows: int = 0
    pages: int = 0
    reading: bool = True
    failed: bool = False
    partly: bool = False  # one of several destinations refused a batch
    half_loaded: set[int] = field(default_factory=set)  # the numbers of pages that only the others have
    unloadable: bool = False  # the destination refused a batch
    closed: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # set when no more becomes of it
    lost: tuple[int, int] | None = None  # the time (unix seconds) that a log had forgotten before it was read
    state: CopyReadState | None = None  # for people of whom only some are asked for

    @property
    def table(self) -> Table:
        """What is read."""
        return self.strategy.table

    @property
    def written(self) -> WriteOptions:
        """How its batches are written."""
        return self.treatment.marking if self.marks else self.treatment

    @property
    def replaces(self) -> bool:
        """Whether the table is replaced by what a whole read brings."""
        return self.treatment.mode is WriteMode.FULL and not self.backfills

    @property
    def deletes(self) -> bool:
        """Whether a row that a whole read does not bring is gone: not what lies before the time of which it reads."""
        if self.backfills:
            return False
        return self.table.absence_deletes or (self.replaces and not self.keeps_earlier)

    @property
    def keeps_earlier(self) -> bool:
        """Whether the copy has deliveries from before the start date, that a read does not cover."""
        return self.strategy.by_time and self.base is not None and self.base.start < self.read.start

    @property
    def planned(self) -> PlannedRead:
        """What is left to read; a list that had rows and is empty now is read twice before they count as deleted."""
        tally = self.read.tally
        return PlannedRead(
            strategy=self.strategy,
            partitions=self.read.parts,
            columns=self.fields,
            counter=self.meter,
            received=tally.rows + tally.seen,
            had_rows=bool(self.live and self.deletes and not tally.skipped),
            state=self.state,
        )


def new_columns(work: TableRun) -> list[str]:
    """The columns that the copy of a table gets by this run, of fields that nobody has declared."""
    if work.base is None:
        return []
    return [column.name for column in work.fields.discovered if column.name not in work.found_before]


def new_position(work: TableRun) -> Checkpoint:
    """The position that a complete read brings; what it covers never begins later than before."""
    read, base = work.read, work.base
    if work.backfills and base is not None:
        return msgspec.structs.replace(base, read=read.id)
    latest = [one for one in (read.tally.latest, base.latest if base else None) if one is not None]
    return Checkpoint(
        read=read.id,
        start=min(read.start, base.start) if base else read.start,
        through=read.began,
        latest=max(latest, default=None),
        whole=read.began if read_whole(work) or base is None else base.last_whole,
        rules=work.table.rules,
        target=work.table.target,
    )


def read_whole(work: TableRun) -> bool:
    """Whether the read of a table leaves out nothing that the source lists since the start date."""
    return work.strategy.has_read_all(work.read.parts)


def share_read(work: TableRun) -> float | None:
    """How much of the table is read, from 0 to 1, as far as it is known: by partitions, or by requests."""
    share = work.strategy.progress(tuple(work.read.parts), work.reached)
    if share is not None:
        return share
    return min(1.0, work.meter.requests / work.report.predicted) if work.report.predicted else None
