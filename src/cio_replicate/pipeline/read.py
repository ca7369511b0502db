"""A read of a table, its parts and what was counted on the way: what the journal remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.source.pages import Cursor


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


@dataclass(slots=True)
class TableRead:
    """One read of one table, from its first request until its position has moved in the destination.

    `start` is the start date it applies, `began` when it began, `touched` when it last landed a page (unix seconds),
    `base` the position it started from.
    """

    id: str
    table: str
    start: int
    began: int
    touched: int
    base: Checkpoint | None
    parts: list[Partition]
    tally: ReadStats = field(default_factory=ReadStats)

    @property
    def finished(self) -> bool:
        """Whether every part was read to its end."""
        return all(part.place.done for part in self.parts)

    @property
    def whole(self) -> bool:
        """Whether it saw everything that the source lists, so that what is missing is gone."""
        return self.finished and not self.tally.skipped


@dataclass(frozen=True, slots=True)
class StagedPage:
    """A page on disk: its number in landing order, file name, rows, and whether the destination has it."""

    number: int
    file: str
    rows: int
    loaded: bool


@dataclass(frozen=True, slots=True)
class KeptRead:
    """A read that is kept beyond its loading: the position that it brought, its pages in landing order, when it ended.

    With `tells_gone` a row that it does not have is gone.
    """

    position: Checkpoint
    pages: list[StagedPage]
    tells_gone: bool
    at: int  # unix seconds
