"""What strategies share: partitions, read statistics, requests and priorities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import DeclaredPartition, Paging, Reading, Table
from cio_replicate.source.pages import Cursor, Request
from cio_replicate.source.strategies.windows import WINDOW, due_spans, reads_whole

USUAL = RereadPolicy()


class ReadStats(msgspec.Struct, kw_only=True):
    """What a read has counted so far."""

    rows: int = 0  # records received
    seen: int = 0  # records that are listed, without their content
    misfits: int = 0  # values kept in `_cio_extra`
    left_out: int = 0  # records that the source lists but did not hand over
    withheld: int = 0  # values left out because a rule reaches into them and they are not of the shape to follow it
    ignored: dict[str, int] = msgspec.field(default_factory=dict)  # new fields that are left out, and how many values
    rules: str = ""  # the rules for columns by which its pages were landed, as `Table.rules` has them
    stretch: tuple[int, int] | None = None  # the creation times (unix seconds) that it reads, if it reads nothing else
    latest: int | None = None  # highest and lowest unix second in the table's position column
    earliest: int | None = None
    skipped: list[str] = msgspec.field(default_factory=list)  # parts that do not exist, one sentence each


@dataclass(slots=True)
class Partition:
    """A part of a read: what it adds to the request, and where it stands."""

    name: str
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    place: Cursor = field(default_factory=Cursor)


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page brings: records that become rows, records that are only seen, how many came without their content.

    `more` are the partitions that read what is left of its partition, which ends with this page.
    """

    records: Sequence[bytes | msgspec.Raw]
    seen: Sequence[bytes] = ()
    left_out: int = 0
    more: Sequence[Partition] = ()


#: The parts of a read of people that asks for the attributes of some only: who is listed, and whom the log names.
LISTED, NAMED = "listed", "named"


def parts_of(
    table: Table, start: int, now: int, base: Checkpoint | None = None, rules: RereadPolicy = USUAL
) -> list[Partition]:
    """The parts of a new read that begins `now` at the position `base`, when `start` is the start date."""
    if table.reading is Reading.WINDOWS:
        return [span(first, last) for first, last in due_spans(start, now, base, rules.recent_days)]
    if table.reading is Reading.PEOPLE and not reads_whole(table, base, now, rules):
        return [Partition(LISTED), Partition(NAMED)]
    return [Partition(part.name, part.query, part.path) for part in table.slices]


def more_parts(table: Table, parts: list[Partition], now: int) -> list[Partition]:
    """What a read that is taken up again `now` must add: the time since its last span ended."""
    if table.reading is not Reading.WINDOWS:
        return []
    ended = max((int(part.query["end_ts"]) for part in parts), default=now)
    return [span(ended + 1, now)] if ended < now else []


def bounds_of(part: Partition) -> tuple[int, int]:
    """The first and the last second of a span."""
    return int(part.query["start_ts"]), int(part.query["end_ts"])


def window_of(part: Partition) -> tuple[int, int]:
    """The first and the last second that a request for a span reaches: its newest, no more than `WINDOW` of them."""
    first, last = bounds_of(part)
    return max(first, last - WINDOW + 1), last


def span(first: int, last: int) -> Partition:
    """The part that reads what was created from second `first` to `last`, both included, newest first.

    It may be longer than a request reaches; then it ends with its newest window, and hands over what is left.
    """
    return Partition(f"{first}-{last}", {"start_ts": str(first), "end_ts": str(last)})


def slice_of(table: Table, part: Partition) -> DeclaredPartition:
    """The declared slice that a part reads; for a span one of its own."""
    for declared in table.slices:
        if declared.name == part.name:
            return declared
    return DeclaredPartition(part.name, part.query, part.path)


def request_for(table: Table, part: Partition, place: Cursor) -> Request:
    """The request that reads the page at `place`."""
    query = dict(part.query)
    if table.reading is Reading.WINDOWS:
        query["start_ts"] = str(window_of(part)[0])
    if table.page_size is not None:
        query["limit"] = str(table.page_size)
    if table.paging is Paging.OFFSET:
        query["offset"] = str(place.offset)
    elif place.token:
        query["start"] = place.token
    variant = table.reading is not Reading.WINDOWS and bool(part.query or part.path)
    return Request(
        method=table.http_method,
        path=table.path,
        path_values=part.path,
        query=query,
        body=table.body,
        resumes=bool(place.token),
        part=variant,
        extra=variant,
    )


class Priority(IntEnum):
    """Who goes first when several requests wait for a turn: first the chains that nothing can shorten."""

    CHAIN = 0  # a list that can only be read one page after another
    FIRST = 1  # the first page of any other, for which all wait
    LIST = 2  # the list of people, and suppressions: chains too, but short beside what they bring
    WINDOW = 3  # deliveries: a chain that can be cut
    FAN = 4  # attributes of people, any number of them at once


def urgency_of(table: Table, place: Cursor) -> Priority:
    """How urgent the page at `place` is."""
    if table.reading is Reading.LIST and table.paging is Paging.CURSOR and table.page_size is not None:
        return Priority.CHAIN
    if place == Cursor():
        return Priority.FIRST
    return Priority.WINDOW if table.reading is Reading.WINDOWS else Priority.LIST
