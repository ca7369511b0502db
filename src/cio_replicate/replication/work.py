"""One table's share of a run: what it reads, what was counted, where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field

from cio_replicate.api.request import Meter
from cio_replicate.landing.position import Position
from cio_replicate.landing.read import Part, Read
from cio_replicate.replication.report import TableReport
from cio_replicate.tables.declare import Reading, Table
from cio_replicate.tables.fields import Fields


@dataclass(slots=True)
class Work:
    """A table in a run. `rows` and `pages` are what this run landed; `reading` ends when there is no more to come.

    `base` is the position that the destination has, also when the table is read anew.
    """

    table: Table
    read: Read
    fields: Fields
    base: Position | None
    report: TableReport
    started: float
    recorded: bool  # whether the journal knows the read already
    expected_rows: int | None = None  # what the last run read
    meter: Meter = field(default_factory=Meter)
    reached: dict[str, int] = field(default_factory=dict)  # per window the oldest moment read, newest come first
    rows: int = 0
    pages: int = 0
    reading: bool = True
    failed: bool = False
    unloadable: bool = False  # the destination refused a batch
    closed: bool = False

    @property
    def all_gone(self) -> bool:
        """Whether a list that had rows is empty now: true perhaps, or one odd answer, that would delete everything."""
        return bool(self.expected_rows and self.table.absence_deletes and self.read.whole and not self.read.tally.rows)


def new_position(work: Work) -> Position:
    """The position that a complete read brings; what it covers never begins later than before."""
    read, base = work.read, work.base
    ends = [int(part.query["end_ts"]) for part in read.parts] if work.table.reading is Reading.WINDOWS else []
    latest = [one for one in (read.tally.latest, base.latest if base else None) if one is not None]
    return Position(
        read=read.id,
        start=min(read.start, base.start) if base else read.start,
        through=max(ends, default=read.began),
        latest=max(latest, default=None),
    )


def share_read(work: Work, part: Part) -> float | None:
    """How much of the table is read, from 0 to 1, as far as it can be told: by time in windows, or by its last size."""
    if work.table.reading is Reading.WINDOWS:
        spans = [_span(one) for one in work.read.parts]
        covered = sum(
            last - first if one.place.done else last - max(first, work.reached.get(one.name, last))
            for one, (first, last) in zip(work.read.parts, spans, strict=True)
        )
        return covered / max(1, sum(last - first for first, last in spans))
    if part.place.done and len(work.read.parts) == 1:
        return 1.0
    return min(1.0, work.read.tally.rows / work.expected_rows) if work.expected_rows else None


def _span(window: Part) -> tuple[int, int]:
    return int(window.query["start_ts"]), int(window.query["end_ts"])
