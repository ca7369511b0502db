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
from cio_replicate.schema.table import KnownColumns, Reading, Table
from cio_replicate.source.pages import RequestCounter
from cio_replicate.source.strategies.base import LISTED, NAMED, Partition, bounds_of
from cio_replicate.source.strategies.windows import merged


@dataclass(slots=True)
class TableRun:
    """A table in a run. `rows` and `pages` are what this run landed; `reading` ends when there is no more to come.

    `base` is the position that the destination has, also when the table is read anew.
    """

    table: Table
    read: TableRead
    fields: KnownColumns
    base: Checkpoint | None
    report: TableReport
    started: float
    recorded: bool  # whether the journal knows the read already
    treatment: WriteOptions = USUAL
    found_before: frozenset[str] = frozenset()  # the columns that the copy has of fields that were not declared
    marks: bool = False  # rows that are gone are only marked until the end of the run, so that it knows whose they are
    live: int = 0  # rows in the copy before the run
    backfills: bool = False  # reads a stretch of time once more, and leaves the position where it was
    until: int | None = None  # how far back a log is read (unix seconds); None: to its end
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
    known: CopyReadState | None = None  # for people of whom only some are asked for

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
        """Whether the copy has deliveries from before the start date, of which a read says nothing."""
        by_time = self.table.reading is Reading.WINDOWS
        return by_time and self.base is not None and self.base.start < self.read.start

    @property
    def all_gone(self) -> bool:
        """Whether a list that had rows is empty now: true perhaps, or one odd answer, that would delete everything."""
        came = self.read.tally.rows + self.read.tally.seen
        return bool(self.live and self.deletes and self.read.whole and not came)


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
    if work.table.reading is Reading.WINDOWS:
        return work.read.base is None
    if work.table.reading is Reading.PEOPLE:
        return any(part.name not in (LISTED, NAMED) for part in work.read.parts)
    return work.until is None


def share_read(work: TableRun, part: Partition) -> float | None:
    """How much of the table is read, from 0 to 1, as far as it can be told: by time, or by requests."""
    parts = tuple(work.read.parts)  # the landing thread may add some
    if work.table.reading is Reading.WINDOWS:
        spans = {one.name: bounds_of(one) for one in parts}
        whole = sum(last - first + 1 for first, last in merged(spans.values()))
        left = 0
        for one in parts:
            first, last = spans[one.name]
            if not one.place.done:
                left += min(work.reached.get(one.name, last), last) - first
        return 1 - max(0, left) / max(1, whole)
    if part.place.done and len(parts) == 1:
        return 1.0
    return min(1.0, work.meter.requests / work.report.predicted) if work.report.predicted else None
