"""Read tables as one stream of chunks: partitions side by side, each page by page, every table to its own end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import pyarrow as pa

from cio_replicate.base.errors import (
    AccessError,
    ChildGoneError,
    CioReplicateError,
    CursorRejectedError,
    Defect,
    EndlessListError,
    GaveUpError,
    ReadError,
)
from cio_replicate.base.runtime import Clock, tasks
from cio_replicate.schema.table import Column, KnownColumns
from cio_replicate.source.client import Client
from cio_replicate.source.decode import DecodedPage, RowDecoder
from cio_replicate.source.pages import Cursor, Page, Request, RequestCounter, fingerprint, read_page
from cio_replicate.source.strategies.base import (
    START,
    PageContent,
    Partition,
    Pieces,
    ReadState,
    ReadStats,
    Strategy,
)

T = TypeVar("T")

PARTITIONS_AT_ONCE = 12  # at 800 ms a response and 10 requests a second, eight are under way at any time
PATIENCE = 15.0  # seconds that tables with a response wait for those without one, before anything is handed out
MOST_ROWS = 20_000  # in chunks that nobody has taken yet
MOST_RESTARTS = 3  # of one partition, when the API no longer knows a page token
MOST_UNCHANGED = 2  # pages in a row that hold just what the one before held
DONE = Cursor(done=True)


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one API response brings, with the cursor that its partition has once the rows are durable.

    `rows` are in the table's columns, `_cio_key`, `_cio_extra` and `_cio_synced_at`; None for a partition that moves
    without a page. `seen` are keys of records that exist and are not rows: listed without their content, or from before
    the start date. `cursor` is None when the partition is complete; `partitions` are those that the page has added.
    `stats` is what the page adds to the counters of the read, `columns` were found in it. `expected` is how many
    requests the table needs, with the chunk from which on that is known.
    """

    table: str
    partition: str
    rows: pa.RecordBatch | None = None
    seen: pa.Array | None = None
    cursor: Cursor | None = None
    partitions: tuple[Partition, ...] = ()
    stats: ReadStats = field(default_factory=ReadStats)
    columns: Sequence[Column] = ()
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class TableEnd:
    """A table is read to its end, or failed; the others go on."""

    table: str
    error: CioReplicateError | None = None


@dataclass(frozen=True, slots=True)
class PlannedRead:
    """What is to be read of one table: the strategy, the partitions with their cursors, and the columns known so far.

    `received` counts records that came before the read was resumed. With `had_rows` a list of which nothing comes is
    read once more: all its rows would count as deleted. `state` tells what the copy has of people.
    """

    strategy: Strategy
    partitions: Sequence[Partition]
    columns: KnownColumns
    counter: RequestCounter = field(default_factory=RequestCounter)
    received: int = 0
    had_rows: bool = False
    state: ReadState | None = None

    @property
    def name(self) -> str:
        """The table's name."""
        return self.strategy.table.name


class Source:
    """Reads tables of one workspace. Knows no disk and no destination."""

    def __init__(self, client: Client, clock: Clock, *, patience: float = PATIENCE) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience

    async def read(self, reads: Sequence[PlannedRead]) -> AsyncGenerator[Chunk | TableEnd]:
        """Yield the chunks of all tables as they come, those of one partition in its order, and each table's end.

        Nothing is yielded before the API has let every table in, or patience has ended; until then an AccessError is
        raised. Later it ends its table. Raises what concerns all tables. Close the iterator to stop.
        """
        gate = AccessGate(
            (one.name for one in reads), self._patience + len(reads) / max(1.0, self._client.requests_per_second)
        )
        queue = ChunkQueue()
        decoding = ThreadPoolExecutor(1, "decoding")
        shared = SharedPages(one.strategy.table.parent.path for one in reads if one.strategy.table.parent is not None)
        streams = [TableStream(one, self._client, self._clock, gate, queue, decoding, shared) for one in reads]
        readers = [asyncio.create_task(stream.run()) for stream in streams]
        opened = asyncio.create_task(gate.opened())
        try:
            await asyncio.wait({opened, queue.failure}, return_when=asyncio.FIRST_COMPLETED)
            left = len(readers)
            while left:
                item = await queue.get()
                yield item
                left -= isinstance(item, TableEnd)
        finally:
            for task in (opened, *readers):
                task.cancel()
            await asyncio.gather(opened, *readers, return_exceptions=True)
            queue.close()
            decoding.shutdown()


class AccessGate:
    """Opens when each table has had its first response, or after `patience` seconds: one slow table must not hold all.

    Until then an access error means that settings are wrong and the run leaves no trace; afterwards it fails a table.
    """

    def __init__(self, tables: Iterable[str], patience: float) -> None:
        self._waiting = set(tables)
        self._patience = patience
        self._open = asyncio.Event()
        if not self._waiting:
            self._open.set()

    @property
    def is_open(self) -> bool:
        """Whether chunks may be handed out."""
        return self._open.is_set()

    def passed(self, table: str) -> None:
        """The API has answered for this table, well or badly, but not with a refusal of the key."""
        self._waiting.discard(table)
        if not self._waiting:
            self._open.set()

    async def opened(self) -> None:
        """Return when the gate is open."""
        try:
            async with asyncio.timeout(self._patience):
                await self._open.wait()
        except TimeoutError:
            self._open.set()


class ChunkQueue:
    """Chunks on their way out, as many as hold `MOST_ROWS` rows; a failure goes before all of them."""

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._most = most_rows
        self._rows = 0
        self._items: deque[Chunk | TableEnd] = deque()
        self._changed = asyncio.Event()
        self._free = asyncio.Event()

    def fail(self, error: CioReplicateError) -> None:
        """Raise an error from `get`."""
        if not self.failure.done():
            self.failure.set_exception(error)
        self._changed.set()

    def close(self) -> None:
        """Forget a failure that nobody asked for."""
        if self.failure.done():
            self.failure.exception()

    async def put(self, item: Chunk | TableEnd) -> None:
        """Add an item, when there is room for its rows."""
        rows = _rows_of(item)
        while self._rows and self._rows + rows > self._most:
            self._free.clear()
            await self._free.wait()
        self._rows += rows
        self._items.append(item)
        self._changed.set()

    async def get(self) -> Chunk | TableEnd:
        """Return the next item."""
        while True:
            if self.failure.done():
                self.failure.result()
            if self._items:
                break
            self._changed.clear()
            await self._changed.wait()
        item = self._items.popleft()
        self._rows -= _rows_of(item)
        self._free.set()
        return item


def _rows_of(item: Chunk | TableEnd) -> int:
    return len(item.rows) if isinstance(item, Chunk) and item.rows is not None else 0


class SharedPages:
    """Pages of parents that several tables of a run need: each is requested once.

    `paths` are the lists that are parents of a table in this run.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._pages: dict[str, asyncio.Future[Page]] = {}

    async def get(self, request: Request, send: Callable[[], Awaitable[Page]], *, again: bool = False) -> Page:
        """The page that the request brings; `send` requests it, unless another table has done so.

        A page that cannot be read is an error for all who wait for it. With `again` it is requested in any case.
        """
        if request.path not in self._paths:
            return await send()
        known = None if again else self._pages.get(request.target)
        if known is not None:
            await asyncio.wait([known])
            if not known.cancelled():
                return known.result()
        mine: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
        self._pages[request.target] = mine
        try:
            page = await send()
        except CioReplicateError as error:
            self._pages.pop(request.target, None)
            mine.set_exception(error)
            mine.exception()  # asked for here, in case nobody waits
            raise
        except BaseException:
            self._pages.pop(request.target, None)
            mine.cancel()
            raise
        mine.set_result(page)
        return page


class TableStream:
    """Reads what is left of one table, from wherever its partitions stand to their ends."""

    def __init__(
        self,
        read: PlannedRead,
        client: Client,
        clock: Clock,
        gate: AccessGate,
        queue: ChunkQueue,
        decoding: ThreadPoolExecutor,
        shared: SharedPages,
    ) -> None:
        self._read = read
        self._strategy = read.strategy
        self._client = client
        self._clock = clock
        self._gate = gate
        self._queue = queue
        self._decoding = decoding
        self._shared = shared
        self._decoder = RowDecoder(read.strategy.table, read.columns, read.strategy.scope.start)
        self._partitions = list(read.partitions)
        self._cursors = {one.name: one.cursor for one in read.partitions}
        self._slots = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        self._open = 0  # partitions that wait for a slot or have one
        self._received = read.received
        self._skipped = False
        self._again = False
        self._first: list[tuple[Partition, Page]] | None = []  # first pages, until they tell what the table needs
        self._expected: int | None = None

    async def run(self) -> None:
        """Put the chunks of the table into the queue, and its end."""
        name = self._read.name
        try:
            await self._read_to_end()
            await self._queue.put(TableEnd(name))
        except (AccessError, ReadError) as error:
            if isinstance(error, AccessError) and not self._gate.is_open:
                self._queue.fail(error)
                return
            await self._fail(error)
        except CioReplicateError as error:
            self._queue.fail(error)
        except Exception as error:  # noqa: BLE001 - a defect that one table shows stops no other
            await self._fail(Defect.of(error))

    async def _fail(self, error: CioReplicateError) -> None:
        self._gate.passed(self._read.name)
        await self._queue.put(TableEnd(self._read.name, error))

    async def _read_to_end(self) -> None:
        if all(cursor.done for cursor in self._cursors.values()):
            self._gate.passed(self._read.name)
        for partition in self._strategy.to_restart(self._read.partitions):
            await self._move(partition, START)
        await self._read_partitions()
        if self._read.had_rows and not self._received and not self._skipped:
            self._again = True
            for partition in self._partitions:
                await self._move(partition, START)
            await self._read_partitions()
        self._gate.passed(self._read.name)

    async def _read_partitions(self) -> None:
        """Read every partition to its end."""
        left = [one for one in self._partitions if not self._cursors[one.name].done]
        lists = [one for one in left if not self._strategy.waits(one)]
        opening = await self._strategy.opening(
            [one for one in lists if self._cursors[one.name] == START], self._first_page
        )
        async with tasks() as group:
            for partition in lists:
                if partition in opening.covered:
                    group.create_task(self._move(partition, None))
                else:
                    self._begin(group, partition, opening.pages.get(partition.name))
        async with tasks() as group:
            for partition in left:
                if self._strategy.waits(partition):
                    self._begin(group, partition)
        self._strategy.finished()

    async def _first_page(self, partition: Partition, cursor: Cursor) -> Page | None:
        try:
            return await self._fetch(partition, cursor)
        except ChildGoneError:
            return None

    def _begin(self, group: asyncio.TaskGroup, partition: Partition, page: Page | None = None) -> None:
        self._open += 1

        async def read() -> None:
            async with self._slots:
                added = await self._read_partition(partition, page, partial(self._begin, group))
            self._open -= 1
            for one in added:
                self._begin(group, one)

        group.create_task(read())

    async def _read_partition(
        self, partition: Partition, page: Page | None, begin: Callable[[Partition], None]
    ) -> Sequence[Partition]:
        """Read a partition to its end, or until it hands over to others, which are returned."""
        async with tasks() as group:
            belt = Conveyor(group, self._strategy.ahead)
            try:
                pieces = await self._strategy.pieces(partition, self._send, self._read.state)
                if pieces is not None:
                    return await self._read_pieces(partition, pieces, belt)
                return await self._read_pages(partition, page, belt, begin)
            except ReadError:
                await belt.emptied()  # what came before the failure counts
                raise

    async def _read_pieces(self, partition: Partition, pieces: Pieces, belt: Conveyor) -> Sequence[Partition]:
        for content in pieces.contents:
            await belt.put(content, partial(self._hand_out, partition, self._cursors[partition.name], ()))
        await belt.emptied()
        await self._move(partition, None, pieces.partitions)
        return pieces.partitions

    async def _read_pages(
        self, partition: Partition, page: Page | None, belt: Conveyor, begin: Callable[[Partition], None]
    ) -> Sequence[Partition]:
        cursor = self._cursors[partition.name]
        guard = LoopGuard()
        while not cursor.done:
            try:
                page = page or await self._fetch(partition, cursor)
                step = self._strategy.advance(partition, cursor, page, self._room)
            except EndlessListError:
                guard.repeats += 1
                if guard.repeats > 1:  # the same page said it twice, so it was no passing fault
                    raise
                page = None
                continue
            except CursorRejectedError as error:
                guard.restarted(error)
                self._strategy.restarted(partition)
                await belt.emptied()
                cursor = START
                await self._move(partition, cursor)
                continue
            except ChildGoneError as gone:
                await belt.emptied()
                stats = self._strategy.gone(partition, gone)
                self._skipped = self._skipped or bool(stats.skipped)
                await self._move(partition, None, stats=stats)
                return ()
            guard.passed(page)
            cursor = step.cursor
            added = tuple(one for one in step.partitions if one.name not in self._cursors)
            complete = partial(self._strategy.complete, partition, step.items, self._send, self._read.state)
            await belt.put(complete, partial(self._hand_out, partition, cursor, added))
            page = None
            if self._strategy.shows_access(partition):  # of a run that may be refused, only first pages are requested
                await self._gate.opened()
            if cursor.done:
                return added
            if added:  # they are read beside this one, which goes on, once its page is handed out
                await belt.emptied()
                for one in added:
                    begin(one)
        return ()

    def _room(self) -> int:
        """How many more partitions may be open."""
        # unless permits are to spare, only as many chains as would use up the rate limit by themselves
        most = PARTITIONS_AT_ONCE if self._client.spare else min(PARTITIONS_AT_ONCE, self._client.chains)
        return most - self._open

    async def _fetch(self, partition: Partition, cursor: Cursor) -> Page:
        request = self._strategy.request(partition, cursor)
        read = partial(read_page, key=self._strategy.records(partition))
        priority = self._strategy.priority(partition, cursor)
        try:
            page = await self._shared.get(request, partial(self._send, request, read, priority), again=self._again)
        except ReadError:
            self._gate.passed(self._read.name)
            raise
        if self._strategy.shows_access(partition):
            self._gate.passed(self._read.name)
        if cursor == START and self._first is not None:
            self._first.append((partition, page))
            if len(self._first) == len(self._read.partitions):
                estimate = self._strategy.estimate_of_pages(self._first)
                if estimate is not None and estimate.least == estimate.most:
                    self._expected = estimate.least
                self._first = None
        return page

    async def _send(self, request: Request, read: Callable[[bytes], T], priority: int) -> T:
        return await self._client.send(request, read, self._read.counter, priority)

    async def _hand_out(
        self, partition: Partition, cursor: Cursor, added: tuple[Partition, ...], content: PageContent
    ) -> None:
        """Put the chunk of a page into the queue."""
        decode = partial(self._decoder.decode, content, self._strategy.declared(partition), int(self._clock.now()))
        loop = asyncio.get_running_loop()
        page: DecodedPage = await loop.run_in_executor(self._decoding, decode)
        self._received += page.stats.rows + page.stats.seen
        await self._put(partition, cursor, added, page.stats, page)

    async def _move(
        self,
        partition: Partition,
        cursor: Cursor | None,
        added: tuple[Partition, ...] = (),
        stats: ReadStats | None = None,
    ) -> None:
        """Move a partition without a page; to its end when `cursor` is None."""
        await self._put(partition, DONE if cursor is None else cursor, added, stats or ReadStats())

    async def _put(
        self,
        partition: Partition,
        cursor: Cursor,
        added: tuple[Partition, ...],
        stats: ReadStats,
        page: DecodedPage | None = None,
    ) -> None:
        self._cursors[partition.name] = cursor
        self._partitions += added
        self._cursors |= {one.name: one.cursor for one in added}
        expected, self._expected = self._expected, None
        await self._queue.put(
            Chunk(
                self._read.name,
                partition.name,
                rows=page.rows if page is not None else None,
                seen=page.seen if page is not None else None,
                cursor=None if cursor.done else cursor,
                partitions=added,
                stats=stats,
                columns=page.columns if page is not None else (),
                expected=expected,
            )
        )


class LoopGuard:
    """What is remembered of a partition while it is read, to tell when it turns in circles."""

    def __init__(self) -> None:
        self.repeats = 0
        self._restarts = 0
        self._unchanged = 0
        self._before = b""

    def restarted(self, error: CursorRejectedError) -> None:
        """The API no longer knows a token, so the partition begins again; an error when that happens too often."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise GaveUpError(error.cause, "Run again; if it stays, report it.") from None

    def passed(self, page: Page) -> None:
        """A page was read; an error when it is the same again and again."""
        self.repeats = 0
        mark = fingerprint(page)
        self._unchanged = self._unchanged + 1 if mark and mark == self._before else 0
        if self._unchanged > MOST_UNCHANGED:
            raise EndlessListError(
                "A list does not end: the same page came again and again, as the next one of itself.",
                "Report it to Customer.io, or leave the table out with ‹exclude›.",
            )
        self._before = mark


class Conveyor:
    """Each page is completed while earlier ones still are, and is handed out once all earlier ones are.

    At most `ahead` pages are under way. The tasks belong to `group`, so that a page that fails ends all.
    """

    def __init__(self, group: asyncio.TaskGroup, ahead: int) -> None:
        self._group = group
        self._room = asyncio.Semaphore(ahead)
        self._last: asyncio.Task[None] | None = None

    async def put(self, complete: Callable[[], Awaitable[T]], hand_out: Callable[[T], Awaitable[None]]) -> None:
        """Begin with a page, as soon as there is room for it."""
        await self._room.acquire()
        before = self._last

        async def page() -> None:
            try:
                result = await complete()
                if before is not None:
                    await asyncio.wait([before])
                    if before.cancelled() or before.exception() is not None:
                        return  # the group is about to end all
                await hand_out(result)
            finally:
                self._room.release()

        self._last = self._group.create_task(page())

    async def emptied(self) -> None:
        """Return when all pages are handed out."""
        if self._last is not None:
            await asyncio.wait([self._last])
