"""What strategies share: partitions, read statistics, priorities, estimates, and the strategy of a plain list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from math import ceil
from typing import ClassVar, Protocol, TypeVar

import msgspec

from cio_replicate.base.errors import ChildGoneError, PageShapeError
from cio_replicate.base.runtime import together
from cio_replicate.config.table_options import RereadPolicy
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import ColumnType, DeclaredPartition, Table
from cio_replicate.source.pages import Cursor, Page, Request, next_cursor
from cio_replicate.source.values import fit, record_of

T = TypeVar("T")

DAY = 86_400
START = Cursor()
USUAL = RereadPolicy()
ROWS_AHEAD = 1000  # of a partition, that are decoded while earlier ones wait to be taken
MOST_NAMED, OTHERS = 50, "…"  # new fields that are counted one by one, and all that come after them


class ReadStats(msgspec.Struct, kw_only=True):
    """What a read has counted so far."""

    rows: int = 0  # records received
    seen: int = 0  # records that are listed, without their content
    misfits: int = 0  # values kept in `_cio_extra`
    left_out: int = 0  # records that the source lists but did not hand over
    withheld: int = 0  # values left out because a rule reaches into them and they are not of the shape to follow it
    ignored: dict[str, int] = msgspec.field(default_factory=dict)  # new fields that are left out, and how many values
    rules: str = ""  # the rules for columns by which its pages were staged, as `Table.rules` has them
    stretch: tuple[int, int] | None = None  # the creation times (unix seconds) that it reads, if it reads nothing else
    latest: int | None = None  # highest and lowest unix second in the table's position column
    earliest: int | None = None
    skipped: list[str] = msgspec.field(default_factory=list)  # partitions that do not exist, one sentence each
    parents_gone: int = 0  # parents that were deleted before their children were read

    def add(self, more: ReadStats) -> None:
        """Add what a chunk counted; new fields beyond the first fifty are counted as one."""
        for name in ("rows", "seen", "misfits", "left_out", "withheld", "parents_gone", "skipped"):
            setattr(self, name, getattr(self, name) + getattr(more, name))
        for path, count in more.ignored.items():
            name = path if path in self.ignored or len(self.ignored) < MOST_NAMED else OTHERS
            self.ignored[name] = self.ignored.get(name, 0) + count
        self.latest = max((at for at in (self.latest, more.latest) if at is not None), default=None)
        self.earliest = min((at for at in (self.earliest, more.earliest) if at is not None), default=None)


@dataclass(slots=True)
class Partition:
    """A part of a table that is read page by page: what it adds to the request, and where its next page starts."""

    name: str
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    cursor: Cursor = START


@dataclass(frozen=True, slots=True)
class PageContent:
    """What a page brings: records that become rows, records that are only seen, how many came without their content."""

    records: Sequence[bytes | msgspec.Raw]
    seen: Sequence[bytes] = ()
    left_out: int = 0


class Priority(IntEnum):
    """Who goes first when several requests wait for a permit: first the chains that nothing can shorten."""

    CHAIN = 0  # a list that can only be read one page after another
    FIRST = 1  # the first page of any other, for which all wait
    LIST = 2  # the list of people, and suppressions: chains too, but short beside what they bring
    WINDOW = 3  # deliveries: a chain that can be cut
    FAN = 4  # attributes of people and children of parents, any number of them at once


@dataclass(frozen=True, slots=True)
class ReadScope:
    """What a read that begins `now` takes in: since the start date `start`, after the checkpoint `base`, by `rules`.

    Times are unix seconds. Without `base` nothing was read before.
    """

    start: int
    now: int
    base: Checkpoint | None = None
    rules: RereadPolicy = USUAL


@dataclass(frozen=True, slots=True)
class Step:
    """What of a page counts, where its partition continues, and the partitions that read what is left of it."""

    items: Sequence[msgspec.Raw]
    cursor: Cursor
    partitions: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """First pages by the names of their partitions, and the partitions of which another one holds all."""

    pages: Mapping[str, Page] = field(default_factory=dict)
    covered: Sequence[Partition] = ()


@dataclass(frozen=True, slots=True)
class Pieces:
    """A partition that is not a list: its contents, one after another, or the partitions that are read instead."""

    contents: Sequence[Callable[[], Awaitable[PageContent]]] = ()
    partitions: tuple[Partition, ...] = ()


#: Requests a page of a partition; `None` when the API does not know the partition.
FetchPage = Callable[[Partition, Cursor], Awaitable[Page | None]]


class Send(Protocol):
    """Sends a request for a strategy, counted for its table, and returns what `read` makes of the body."""

    def __call__(self, request: Request, read: Callable[[bytes], T], priority: int, /) -> Awaitable[T]:
        """Raise AccessError or ReadError as the client does."""
        ...


@dataclass(frozen=True, slots=True)
class ChangedPeople:
    """People whom the log names: by `cio_id`, and by their own `id` where an entry lacks the other."""

    cio_ids: tuple[str, ...]
    ids: tuple[str, ...]


class ReadState(Protocol):
    """What the copy knows of people, and what its activity log says of them."""

    async def unknown(self, listed: Mapping[str, msgspec.Raw]) -> set[str]:
        """The `cio_id`s of a list page whom the copy does not have as they are listed: new, back, or renamed."""
        ...

    async def identifiers(self, cio_ids: Sequence[str]) -> Mapping[str, msgspec.Raw]:
        """The identifiers of people as the copy has them, each as one JSON object."""
        ...

    async def named(self) -> ChangedPeople | None:
        """Whom the log names since people were last read; waits for the log. None when it cannot be relied on."""
        ...


# How many requests a table needs.


IN_COPY, LAST_RUN, ONE_ANSWER = "rows in the copy", "last run", "one answer a list"
COUNTED, FIRST_PAGE = "counted", "estimated from first page"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many requests one table needs. `most` is None when there is no telling; `rows` when nothing tells.

    `error` is set instead when the API did not let the table in, `refused` when it refused the key.
    """

    table: str
    least: int
    most: int | None
    rows: int | None
    basis: str
    error: str | None = None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class PageCount:
    """How many requests a partition needs by its first page, and how many rows it has."""

    least: int
    most: int | None
    rows: int
    estimated: bool = False


class PastReads(Protocol):
    """What the copy and earlier runs tell of how many requests a table needs."""

    def last(self, table: Table) -> tuple[int, int] | None:
        """The requests and rows of the last complete read of a table."""
        ...

    def rows(self, table: Table) -> int:
        """The rows of a table that are not deleted."""
        ...

    def rows_between(self, table: Table, first: int, last: int) -> int:
        """The rows that are not deleted with a date from `first` to `last` (unix seconds, both included)."""
        ...

    def changed_people(self, since: int, now: int) -> int:
        """How many people the activity log names in as much time as lies between `since` and `now`."""
        ...


def extrapolated(times: Sequence[int], until: int | None) -> int | None:
    """How many rows a list has that goes back to `until`, if it is everywhere as dense as on its first page.

    until                              oldest      newest
      |- - - - - as dense as - - - - - ->|███ page ███|
    """
    if until is None or not times or max(times) == min(times):
        return None
    density = len(times) / (max(times) - min(times))
    return len(times) + max(1, round(max(0, min(times) - until) * density))


def integers(page: Page, name: str) -> list[int]:
    """The integers that the records of a page hold under a name; a record that holds something else gives none."""
    found = []
    for item in page.items:
        try:
            record = record_of(item)
        except PageShapeError:
            continue
        value = fit(record[name], ColumnType.INTEGER).value if name in record else None
        if value is not None:
            found.append(value)
    return found


class Strategy:
    """One read of one table: which partitions, which requests, where each goes on, what it costs.

    By itself it reads the declared partitions whole, from page token to page token; each way to read changes what it
    does otherwise. It remembers what its pages have shown, so it serves one read.
    """

    by_time: ClassVar[bool] = False  # reads what was created in spans of time, so a span can be read once more
    chained: ClassVar[bool] = True  # its pages can only be read one after another
    countable: ClassVar[bool] = True  # reading the table once more tells how many rows it has
    counts_seen: ClassVar[bool] = False  # a record that is only listed is a row of the copy too
    counted_by_account: ClassVar[bool] = False  # the list of workspaces tells how many rows there are

    def __init__(self, table: Table, scope: ReadScope) -> None:
        self.table = table
        self.scope = scope
        self._tokens: dict[str, set[str]] = {}

    @classmethod
    def requests_to_count(cls, table: Table, rows: Mapping[str, int]) -> int:
        """How many requests it takes at most to read a table once more; `rows` are those of the copy, by table."""
        return len(table.slices) * 2 + ceil(rows.get(table.name, 0) / (table.page_size or 10**9))

    # What to read.

    def partitions(self) -> list[Partition]:
        """The partitions of a new read."""
        return [Partition(one.name, one.query, one.path) for one in self.table.slices]

    def added(self, partitions: Sequence[Partition], now: int) -> list[Partition]:
        """The partitions that a read which is resumed `now` must add."""
        return []

    def between(self, first: int, last: int) -> list[Partition]:
        """The partitions that read what was created from second `first` to `last`, for a strategy by time."""
        raise AssertionError(f"{self.table.name} is not read by time ({first}-{last})")

    @property
    def reads_all(self) -> bool:
        """Whether a new read takes in all that the source lists since the start date."""
        return True

    def has_read_all(self, partitions: Sequence[Partition]) -> bool:
        """Whether a read with these partitions leaves out nothing that the source lists since the start date."""
        return self.reads_all

    def continues(self, partitions: Sequence[Partition]) -> bool:
        """Whether an earlier read with these partitions takes in all that this one is to."""
        return True

    def to_restart(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The partitions of a resumed read that must begin again."""
        return []

    def waits(self, partition: Partition) -> bool:
        """Whether a partition is read after all others."""
        return False

    def declared(self, partition: Partition) -> DeclaredPartition:
        """The declaration of a partition; for one that is not declared, one of its own."""
        for declared in self.table.slices:
            if declared.name == partition.name:
                return declared
        return DeclaredPartition(partition.name, partition.query, partition.path)

    # How to read it.

    @property
    def ahead(self) -> int:
        """How many pages of a partition may be under way beside the one that is requested."""
        return max(1, ROWS_AHEAD // (self.table.page_size or ROWS_AHEAD))

    def request(self, partition: Partition, cursor: Cursor) -> Request:
        """The request for the page of a partition at `cursor`."""
        variant = bool(partition.query or partition.path)
        return self.request_with(
            partition, {**partition.query, **self.place(cursor)}, cursor, part=variant, extra=variant
        )

    def request_with(
        self, partition: Partition, query: Mapping[str, str], cursor: Cursor, *, part: bool = False, extra: bool = False
    ) -> Request:
        """A request for this table with this query."""
        table = self.table
        return Request(
            method=table.http_method,
            path=table.path,
            path_values=partition.path,
            query=query,
            body=table.body,
            resumes=bool(cursor.token),
            part=part,
            extra=extra,
        )

    def place(self, cursor: Cursor) -> dict[str, str]:
        """The parameters that ask for the page at `cursor`."""
        query = {} if self.table.page_size is None else {"limit": str(self.table.page_size)}
        return {**query, "start": cursor.token} if cursor.token else query

    def records(self, partition: Partition) -> str:
        """The key of an answer that holds the items of a partition's page."""
        return self.table.records

    def priority(self, partition: Partition, cursor: Cursor) -> Priority:
        """How urgent the page at `cursor` is."""
        if self.is_chain:
            return Priority.CHAIN
        return Priority.FIRST if cursor == START else Priority.LIST

    @property
    def is_chain(self) -> bool:
        """Whether the table can only be read one page after another."""
        return self.chained and self.table.page_size is not None

    async def opening(self, new: Sequence[Partition], fetch: FetchPage) -> Opening:
        """Request first pages of partitions that can only be read well when those of others are known too."""
        return Opening()

    def shows_access(self, partition: Partition) -> bool:
        """Whether a page of a partition shows that the key may read the table."""
        return True

    def advance(self, partition: Partition, cursor: Cursor, page: Page, room: Callable[[], int]) -> Step:
        """What of the page at `cursor` counts, and where its partition continues.

        `room` tells how many more partitions may be open. Raises EndlessListError when the list turns in circles.
        """
        return Step(page.items, self.following(partition, cursor, page))

    def following(self, partition: Partition, cursor: Cursor, page: Page) -> Cursor:
        """The cursor that the page's token names. Raises EndlessListError when it came before."""
        tokens = self._tokens.setdefault(partition.name, {cursor.token} - {""})
        return next_cursor(cursor, page, tokens)

    def restarted(self, partition: Partition) -> None:
        """Forget the tokens of a partition that begins again."""
        self._tokens.pop(partition.name, None)

    async def pieces(self, partition: Partition, send: Send, state: ReadState | None) -> Pieces | None:
        """How to read a partition that is not a list; None for one that is."""
        return None

    async def complete(
        self, partition: Partition, items: Sequence[msgspec.Raw], send: Send, state: ReadState | None
    ) -> PageContent:
        """The content of a page's items, with what further requests bring."""
        return PageContent(items)

    def gone(self, partition: Partition, error: ChildGoneError) -> ReadStats:
        """What it counts that the API does not know a partition."""
        return ReadStats(skipped=[error.cause])

    def finished(self) -> None:
        """Raise ReadError if a read whose partitions came to their ends is none all the same."""

    # How far it is, and how many requests it needs.

    def progress(self, partitions: Sequence[Partition], reached: Mapping[str, int]) -> float | None:
        """How much is read, from 0 to 1, if the partitions tell; `reached` has the oldest moment read of each."""
        return 1.0 if len(partitions) == 1 and partitions[0].cursor.done else None

    def estimate(self, past: PastReads) -> Estimate | None:
        """How many requests a read from its `base` on needs; None when earlier runs do not tell."""
        last = past.last(self.table)
        return Estimate(self.table.name, last[0], last[0], last[1], LAST_RUN) if last is not None else None

    async def probe(self, fetch: FetchPage, people: Callable[[], Awaitable[Sequence[int]]]) -> Estimate:
        """Estimate by few requests: the first page of each partition, or what the list of workspaces says of people."""
        if self.table.page_size is None:
            count = len(self.table.slices)
            return Estimate(self.table.name, count, count, None, ONE_ANSWER)
        partitions = self.partitions()
        pages = await together([partial(fetch, one, START) for one in partitions])
        found = [(one, page or Page([], "")) for one, page in zip(partitions, pages, strict=True)]
        return self.estimate_of_pages(found) or Estimate(self.table.name, len(partitions), None, None, FIRST_PAGE)

    def estimate_of_pages(self, first: Sequence[tuple[Partition, Page]]) -> Estimate | None:
        """Estimate by the first pages of all partitions; None when they do not tell.

        A partition that another holds costs a request.
        """
        asked = [(one, page) for one, page in first if not self.declared(one).covered_by]
        counts = [self.pages_of(one, page) for one, page in asked]
        extra = len(first) - len(asked) + self.extra_requests([page for _, page in first])
        most = [one.most for one in counts]
        known = [one for one in most if one is not None]
        return Estimate(
            self.table.name,
            sum(one.least for one in counts) + extra,
            sum(known) + extra if len(known) == len(most) else None,
            sum(one.rows for one in counts),
            FIRST_PAGE if any(one.estimated for one in counts) else COUNTED,
        )

    def extra_requests(self, first: Sequence[Page]) -> int:
        """How many requests it takes besides those for pages."""
        return 0

    def pages_of(self, partition: Partition, page: Page) -> PageCount:
        """How many requests a partition needs whose first page is this one."""
        count = len(page.items)
        if self.is_last(page):
            return PageCount(1, 1, count)
        if count < (self.table.page_size or 1):
            return PageCount(2, 2, count)  # an empty page may stand behind the last token
        guess = extrapolated(self.times(page), self.reach(partition, page))
        if guess is None:
            return PageCount(2, None, count, estimated=True)
        requests = ceil(guess / max(1, count))
        return PageCount(requests, requests, guess, estimated=True)

    def is_last(self, page: Page) -> bool:
        """Whether no page follows this first one."""
        return not page.next

    def reach(self, partition: Partition, page: Page) -> int | None:
        """How far back (unix seconds) a partition goes, if its first page tells."""
        return None

    def times(self, page: Page) -> list[int]:
        """The unix seconds of a page's records in the table's start date column."""
        if self.table.start_date_column is None:
            return []
        (name,) = self.table.column(self.table.start_date_column).path
        return integers(page, name)
