"""Load staged pages while reading continues: one batch at a time, by size, by age, and at the end of each read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from cio_replicate.base.errors import LoadError, PartlyLoadedError
from cio_replicate.base.runtime import Clock, OnThread
from cio_replicate.pipeline.events import BatchWritten, Listener
from cio_replicate.pipeline.journal import StagedPage
from cio_replicate.pipeline.report import recorded
from cio_replicate.pipeline.staging import Staging, different_keys
from cio_replicate.pipeline.table_run import TableRun, new_position, read_whole
from cio_replicate.sinks.port import Batch, Changes, Close, Sink

BATCH_BYTES = 32_000_000  # of staged pages, where rows are large; a batch is worked on in memory
DAMAGED = "A landed page of {table} is damaged or gone, so what had landed of it is discarded."
NOT_KEPT = (
    "Pages were not kept, since a run before did not keep those that they stand on. `sync ‹keep_landed› "
    "‹full_refresh› {table}` keeps all of them."
)
LONGEST_WAIT = 30.0  # seconds that staged rows wait for company: at 10 requests a second, about a batch of messages


def batch_of(
    pages: Sequence[StagedPage], most_rows: int, size: Callable[[str], int] = lambda _: 0, most_bytes: int = BATCH_BYTES
) -> list[StagedPage]:
    """The next pages to load together: the oldest, at least one, and no more than fit into a batch.

    `size` returns the bytes of a staged file.
    """
    chosen: list[StagedPage] = []
    rows = taken = 0
    for page in pages:
        if page.loaded:
            continue
        rows += page.rows
        taken += size(page.file)
        if chosen and (rows > most_rows or taken > most_bytes):
            break
        chosen.append(page)
    return chosen


def is_due(waiting_rows: int, waited: float, batch_rows: int, *, reading: bool, replaces: bool = False) -> bool:
    """Whether a table's staged rows are to be loaded now; those that replace a table are loaded when all are there."""
    if not reading or replaces:
        return not reading
    return waiting_rows >= batch_rows or (waiting_rows > 0 and waited >= LONGEST_WAIT)


class BatchWriter:
    """Loads for all tables of a run, one commit after another, on one thread, since a destination has one writer.

    With `keeps` the pages stay in the state folder when they are loaded, for another destination.
    """

    def __init__(
        self,
        destination: Sink,
        folder: Staging,
        run_id: str,
        clock: Clock,
        on_thread: OnThread,
        emit: Listener,
        ended: Callable[[TableRun], None],
        *,
        keeps: bool = False,
    ) -> None:
        self._keeps = keeps
        self._destination = destination
        self._folder = folder
        self._run_id = run_id
        self._clock = clock
        self._on_thread = on_thread
        self._emit = emit
        self._ended = ended
        self._waiting: dict[str, tuple[TableRun, int, float]] = {}
        self._wake = asyncio.Event()
        self._no_more = False

    def staged(self, work: TableRun, rows: int) -> None:
        """Rows of a table wait to be loaded; of one that the destination refuses, only the end of reading counts."""
        if work.unloadable and work.reading:
            return
        _, before, since = self._waiting.get(work.table.name, (work, 0, self._clock.monotonic()))
        self._waiting[work.table.name] = (work, before + rows, since)
        self._wake.set()

    def no_more(self) -> None:
        """Nothing more will be staged; `run` returns when all is loaded."""
        self._no_more = True
        self._wake.set()

    async def run(self) -> None:
        """Load until every staged page is in the destination."""
        while True:
            self._wake.clear()
            work = self._next()
            if work is not None:
                await self._load(work)
                continue
            if self._no_more:
                if self._keeps:
                    await self._on_thread(self._folder.tidy)
                return
            try:
                async with asyncio.timeout(1.0 if self._waiting else None):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next(self) -> TableRun | None:
        now = self._clock.monotonic()
        for work, rows, since in self._waiting.values():
            most = self._destination.batch_rows
            if is_due(rows, now - since, most, reading=work.reading, replaces=work.replaces):
                return work
        return None

    async def _load(self, work: TableRun) -> None:
        _, _, since = self._waiting.pop(work.table.name)
        reading = work.reading  # what is staged from here on comes with a call of `staged` of its own
        left = 0
        if not work.unloadable:
            try:
                left = await self._on_thread(lambda: self._load_batch(work, reading=reading))
            except LoadError as error:
                work.failed = work.unloadable = True
                work.report.error = recorded(error)
        report = work.report
        self._emit(BatchWritten(work.table.name, report.inserted, report.updated, report.deleted))
        if not reading and not left:
            if work.unloadable:
                await self._on_thread(lambda: self._discard_damaged(work))
            self._ended(work)
        elif left and work.table.name not in self._waiting:
            self._waiting[work.table.name] = (work, left, since)

    def _listed(self, work: TableRun, seen: Sequence[Path]) -> int:
        """How many different records a whole list has: those that must be in the copy.

        People who are only listed are there as well; rows of other tables that are only seen need not be.
        """
        try:
            return different_keys(seen, seen_too=work.strategy.counts_seen)
        except (OSError, pa.ArrowException):
            raise LoadError(f"A landed page of {work.table.name} cannot be read.", "Run again.") from None

    def _discard_damaged(self, work: TableRun) -> None:
        """Forget a read of which a staged page can no longer be read, since no later run could load it either."""
        names = [page.file for page in self._folder.journal.pages(work.read)]
        if self._folder.sound(names, whole=True):
            return
        self._folder.journal.forget(work.read)
        self._folder.drop(names)
        work.report.error = DAMAGED.format(table=work.table.name) + " Run again: the table is read anew."

    def _load_batch(self, work: TableRun, *, reading: bool) -> int:
        """Load one batch, and close the read with its last one; how many rows are left.

        What changed is counted here, since nobody waits for the batch that is under way when a run is stopped. Pages
        that one of several destinations refused stay as they are, for the next run.
        """
        read, journal = work.read, self._folder.journal
        pages = [page for page in journal.pages(read) if page.number not in work.half_loaded]
        complete = not reading and read.finished and not work.failed
        if work.replaces:
            chosen = pages if complete else []
        else:
            chosen = batch_of(pages, self._destination.batch_rows, self._folder.size)
        left = sum(page.rows for page in pages if not page.loaded) - sum(page.rows for page in chosen)
        closing = complete and not left
        if not chosen and not closing:
            return 0
        close = self._close(work) if closing else None
        keep = work.deletes  # all pages of the read tell at its end what is gone
        done = journal.pages(read) if closing else ([] if keep else chosen)
        if self._keeps:
            self._keep(work, done, close)
        files = [self._folder.file(page.file) for page in chosen]
        try:
            changes = self._destination.write(
                Batch(work.table, work.fields.all, files, self._run_id, close, work.written)
            )
        except PartlyLoadedError as error:
            changes, work.partly = Changes(*error.changed), True
            work.report.error = work.report.error or recorded(error)
            work.half_loaded.update(page.number for page in chosen)
        work.report.count(changes)
        if not work.partly:
            self._note_loaded(work, chosen, done, closing=closing)
        return left

    def _close(self, work: TableRun) -> Close:
        """What ends the read of a table."""
        seen = None
        if work.deletes and work.read.whole:
            seen = [self._folder.file(page.file) for page in self._folder.journal.pages(work.read)]
            work.report.listed = self._listed(work, seen)
        return Close(new_position(work), seen, int(self._clock.now()))

    def _keep(self, work: TableRun, done: Sequence[StagedPage], close: Close | None) -> None:
        """Keep pages beyond their loading, and the read with its last ones.

        Before they are loaded: then all rows of the destination are in kept pages, whenever the process dies.
        """
        journal = self._folder.journal
        journal.keep(work.read, done)
        if close is None:
            return
        tells_gone = close.seen is not None
        alone = tells_gone and read_whole(work)
        if not journal.keep_read(work.read, close.position, tells_gone=tells_gone, alone=alone, at=close.at):
            work.report.notes.append(recorded(NOT_KEPT.format(table=work.table.name)))

    def _note_loaded(
        self, work: TableRun, chosen: Sequence[StagedPage], done: Sequence[StagedPage], *, closing: bool
    ) -> None:
        """Note in the journal that the destination has pages, and remove those that are not needed any more."""
        journal, commit = self._folder.journal, self._destination.state.identity.commits
        if closing:
            journal.closed(work.read, commit, int(self._clock.now()))
        else:
            journal.loaded([page.number for page in chosen], commit, drop=not work.deletes)
        if closing or not self._keeps:
            kept = journal.kept_files() if self._keeps else ()
            self._folder.drop([page.file for page in done if page.file not in kept])
        work.closed = closing
