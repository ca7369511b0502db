"""Tables as one stream of chunks: it can be stopped after any chunk, and goes on from the cursors that came so far."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pyarrow as pa
import pytest

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.schema.table import KnownColumns
from cio_replicate.source.catalog import table
from cio_replicate.source.client import Client
from cio_replicate.source.pages import Cursor
from cio_replicate.source.rate_limiter import RateLimiter
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import ReadScope
from cio_replicate.source.stream import DONE, Chunk, ChunkQueue, PlannedRead, Source, TableEnd
from customerio_simulator import Simulator, WorkspaceSpec

SPEC = WorkspaceSpec(seed=5, messages=7_000, people=60, activities=900)
NAMES = ("messages", "activities", "newsletters", "campaign_actions", "customers")
HOUR = 3_600.0


class Progress:
    """What a consumer of the stream keeps: partitions with their cursors, and the keys that came, by table."""

    def __init__(self) -> None:
        scope = ReadScope(0, SPEC.now)
        self.strategies = {name: strategy_of(table(name), scope) for name in NAMES}
        self.partitions = {name: {one.name: one for one in made.partitions()} for name, made in self.strategies.items()}
        self.keys: dict[str, list[str]] = {name: [] for name in NAMES}

    def reads(self) -> list[PlannedRead]:
        """What is left to read."""
        scope = ReadScope(0, SPEC.now)
        return [
            PlannedRead(strategy_of(table(name), scope), list(parts.values()), KnownColumns(table(name)))
            for name, parts in self.partitions.items()
        ]

    def take(self, chunk: Chunk) -> None:
        """Keep what a chunk brings."""
        known = self.partitions[chunk.table]
        for one in chunk.partitions:
            known.setdefault(one.name, one)
        at: Cursor = DONE if chunk.cursor is None else chunk.cursor
        known[chunk.partition] = replace(known[chunk.partition], cursor=at)
        if chunk.rows is not None:
            self.keys[chunk.table] += chunk.rows["_cio_key"].to_pylist()


async def _read(url: str, progress: Progress, chunks: int | None = None) -> list[TableEnd]:
    """Read on, until so many chunks have come; the ends of tables that came meanwhile."""
    ends: list[TableEnd] = []
    clock = SystemClock()
    limiter = RateLimiter(5_000.0, clock)
    async with (
        asyncio.timeout(60),
        Client(url, Secret("simulator-token"), limiter, clock) as client,
        # with so much patience, a table that waits for its own first page would never end
        aclosing(Source(client, clock, patience=HOUR).read(progress.reads())) as stream,
    ):
        async for item in stream:
            if isinstance(item, TableEnd):
                ends.append(item)
                continue
            progress.take(item)
            chunks = None if chunks is None else chunks - 1
            if chunks == 0:
                break
    return ends


@pytest.mark.parametrize("stops", [(), (1,), (4, 4), (9, 3, 20)], ids=str)
def test_a_stream_goes_on_from_its_cursors(stops: tuple[int, ...]) -> None:
    """However often it is stopped, every record comes, and none twice."""
    progress = Progress()
    with Simulator(SPEC) as simulator:
        for chunks in stops:
            asyncio.run(_read(simulator.url, progress, chunks))
        ends = asyncio.run(_read(simulator.url, progress))
        truth = {name: sorted(key for key, _ in simulator.workspace.truth_items(name)) for name in NAMES}
    assert sorted((one.table, one.error) for one in ends) == sorted((name, None) for name in NAMES)
    assert {name: sorted(keys) for name, keys in progress.keys.items()} == truth


def test_chunks_wait_until_there_is_room_for_their_rows() -> None:
    """So memory is bounded; one that is larger than all room goes through alone."""
    rows = pa.RecordBatch.from_pydict({"id": [1, 2, 3]})

    async def scenario() -> list[bool]:
        queue = ChunkQueue(most_rows=2)
        await queue.put(Chunk("topics", "all", rows))
        second = asyncio.create_task(queue.put(Chunk("topics", "all", rows)))
        await asyncio.sleep(0)
        states = [second.done()]
        await queue.get()
        await second
        return [*states, second.done()]

    assert asyncio.run(scenario()) == [False, True]


def test_a_failure_goes_before_what_waits() -> None:
    """What concerns all tables is raised at once."""

    async def scenario() -> None:
        queue = ChunkQueue()
        await queue.put(TableEnd("topics"))
        queue.fail(CioReplicateError("All is lost."))
        await queue.get()

    with pytest.raises(CioReplicateError, match="All is lost"):
        asyncio.run(scenario())
