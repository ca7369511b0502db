"""The state folder of one task: lock, journal and staged pages, and staging of chunks."""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cio_replicate.base.errors import StagingFailed, StateFolderError, TaskBusyError
from cio_replicate.base.runtime import PRIVATE, Clock, OnThread
from cio_replicate.pipeline.journal import Journal, StagedGroup, TableRead
from cio_replicate.source.pages import Cursor
from cio_replicate.source.stream import Chunk

GROUP, GROUP_ROWS, GROUP_SECONDS = 32, 5_000, 1.0
#: Marks a row that proves that its record still exists and that is not to be written: it lies before the start date, or
#: its content could not be read.
SEEN_ONLY = pa.field("_cio_seen_only", pa.bool_())


def task_folder(root: Path, destination: str, dataset: str) -> Path:
    """The folder of the task that fills this dataset of this destination: readable, and unique by a digest."""
    digest = sha256(f"{destination}\n{dataset}".encode()).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{Path(destination).stem}-{dataset}").strip("-")[:60]
    return root / f"{readable}-{digest}"


class Staging:
    """An open state folder, held by this process alone. Use as a context manager.

    Raises StateFolderError when it cannot be made or written, TaskBusyError when another process holds it. A folder
    that was made here and in which nothing was staged is removed again on leaving.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pages = path / "pages"
        self._lock = filelock.FileLock(path / "lock", blocking=False)
        self._journal: Journal | None = None
        self._made: list[Path] = []  # the folders above that were made for this one, the nearest first

    def __enter__(self) -> Self:
        try:
            self._made = [folder for folder in self.path.parents if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
            self._lock.acquire()
            self._pages.mkdir(exist_ok=True, mode=PRIVATE)
        except filelock.Timeout:
            raise TaskBusyError(
                f"Another process is running this task (it holds {self.path / 'lock'}).",
                "Wait for it to end, or stop it; two runs must not write the same copy.",
            ) from None
        except OSError as error:
            raise StateFolderError(
                f"The state folder {self.path} cannot be written ({error.strerror or error}).",
                "Choose another with ‹state_dir›, or mend its permissions.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()
        elif not self.has_journal:
            with suppress(OSError):  # what somebody else has put here keeps the folder
                self._pages.rmdir()
                (self.path / "lock").unlink(missing_ok=True)
                self.path.rmdir()
                for folder in self._made:
                    folder.rmdir()
        self._lock.release()

    @property
    def has_journal(self) -> bool:
        """Whether a journal exists already."""
        return (self.path / "journal.sqlite").exists()

    @property
    def journal(self) -> Journal:
        """The journal, made when it is first needed; the folder is tidied then."""
        if self._journal is None:
            file = self.path / "journal.sqlite"
            file.touch(mode=0o600)  # SQLite gives the files beside it the same permissions
            self._journal = Journal(file)
            self.tidy()
        return self._journal

    def tidy(self) -> None:
        """Remove the files that the journal does not know. Nothing may be staged meanwhile."""
        known = self.journal.files()
        for file in self._pages.iterdir():
            if file.name not in known:
                file.unlink()

    def file(self, name: str) -> Path:
        """The path of a staged file."""
        return self._pages / name

    def size(self, name: str) -> int:
        """The bytes of a staged file; 0 when it is gone: reading it fails then."""
        try:
            return self.file(name).stat().st_size
        except OSError:
            return 0

    def write(self, name: str, table: pa.Table) -> None:
        """Make a page durable: when this returns, it survives the loss of power. Raises StagingFailed."""
        path = self._pages / name
        page = _page(table)
        try:
            with path.open("xb", buffering=0) as sink:
                while page:
                    page = page[sink.write(page) :]
                os.fsync(sink.fileno())
            folder = os.open(self._pages, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StagingFailed(
                f"A page could not be written to {self._pages} ({error.strerror or error}).",
                "Make room or choose another ‹state_dir›, then run again; what is landed is kept.",
            ) from None

    def append(self, chunks: Sequence[tuple[TableRead, Chunk]], at: int) -> None:
        """Stage chunks `at` (unix seconds): one file per read, then cursors, stats and columns of all at once.

        When this returns, their pages are never requested again. Raises StagingFailed when the disk fails; then the
        reads are as before, and after a crash it is as if the pages had not been requested.
        """
        groups = []
        for read in {id(read): read for read, _ in chunks}.values():
            own = [chunk for of, chunk in chunks if of is read]
            stats = msgspec.structs.replace(
                read.tally, skipped=list(read.tally.skipped), ignored=dict(read.tally.ignored)
            )
            cursors: dict[str, Cursor] = {}
            places = {part.name: part.cursor for part in read.parts}
            for chunk in own:
                stats.add(chunk.stats)
                places |= {part.name: part.cursor for part in chunk.partitions}
                place = places[chunk.partition]
                cursors[chunk.partition] = replace(place, done=True) if chunk.cursor is None else chunk.cursor
            page = page_of(own)
            name = f"{uuid.uuid4().hex}.parquet" if len(page) else ""
            if name:
                self.write(name, page)
            added = [part for chunk in own for part in chunk.partitions]
            columns = [column for chunk in own for column in chunk.columns]
            groups.append(StagedGroup(read, cursors, stats, added, columns, name, len(page)))
        self.journal.stage(groups, at)
        for one in groups:
            known = {part.name for part in one.read.parts}
            one.read.parts += [replace(part) for part in one.added if part.name not in known]
            for part in one.read.parts:
                part.cursor = one.cursors.get(part.name, part.cursor)
            one.read.tally, one.read.recorded = one.stats, True

    def sound(self, names: Iterable[str], *, whole: bool = False) -> bool:
        """Whether these files are there and can be read; with `whole` to their last byte, else at their ends only."""
        try:
            for name in names:
                with pq.ParquetFile(self._pages / name) as file:
                    for group in range(file.num_row_groups) if whole else ():
                        file.read_row_group(group)
        except (OSError, pa.ArrowException):
            return False
        return True

    def drop(self, names: list[str]) -> None:
        """Remove files that are no longer needed."""
        for name in names:
            (self._pages / name).unlink(missing_ok=True)


class ChunkStager:
    """Stages chunks in groups: one file per table, and one transaction of the journal for all of them.

    A group is staged when it has `GROUP` chunks or `GROUP_ROWS` rows, or when its oldest chunk is a second old; so at
    most a second's pages are requested again after a crash. `staged` is called with each group afterwards. `run` keeps
    the time, as a task of the group that adds chunks.
    """

    def __init__(
        self,
        folder: Staging,
        clock: Clock,
        on_thread: OnThread,
        staged: Callable[[Sequence[tuple[TableRead, Chunk]]], None],
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._on_thread = on_thread
        self._staged = staged
        self._waiting: list[tuple[TableRead, Chunk]] = []
        self._rows = 0
        self._arrived = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._failed = False

    async def run(self) -> None:
        """Stage what waits for a second."""
        while True:
            await self._arrived.wait()
            await self._clock.sleep(GROUP_SECONDS)
            await self.flush()

    async def add(self, read: TableRead, chunk: Chunk) -> None:
        """Add a chunk of a read."""
        self._waiting.append((read, chunk))
        self._rows += len(chunk.rows) if chunk.rows is not None else 0
        self._arrived.set()
        if len(self._waiting) >= GROUP or self._rows >= GROUP_ROWS:
            await self.flush()

    async def flush(self) -> None:
        """Stage what waits; also what waits when the caller is cancelled meanwhile. Raises StagingFailed."""
        staging = asyncio.ensure_future(self._flush())
        try:
            await asyncio.shield(staging)
        except asyncio.CancelledError:
            await asyncio.wait([staging])
            raise

    async def close(self) -> None:
        """Stage what was added before the run was stopped or failed, unless it failed here."""
        if not self._failed:
            await self.flush()

    async def _flush(self) -> None:
        async with self._one_at_a_time:
            group, self._waiting, self._rows = self._waiting, [], 0
            self._arrived.clear()
            if not group:
                return
            try:
                await self._on_thread(lambda: self._folder.append(group, int(self._clock.now())))
            except BaseException:
                self._failed = True
                raise
            self._staged(group)


def _page(table: pa.Table) -> memoryview:
    """The page as a Parquet file; it lives for seconds, so little is spent on making it small or easy to search."""
    made = pa.BufferOutputStream()
    pq.write_table(table, made, compression="snappy", use_dictionary=False, write_statistics=False, store_schema=False)
    return memoryview(made.getvalue())


def page_of(chunks: Sequence[Chunk]) -> pa.Table:
    """The rows of chunks of one table as one page. Of records that are only seen it has the key alone."""
    tables = []
    for chunk in chunks:
        for keys, rows in ((None, chunk.rows), (chunk.seen, None)):
            if rows is not None:
                table = pa.Table.from_batches([rows])
            elif keys is not None and len(keys):
                table = pa.table({"_cio_key": keys})
            else:
                continue
            seen = pa.repeat(pa.scalar(rows is None), len(table))
            tables.append(table.append_column(SEEN_ONLY, seen))
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


# What staged pages show by themselves.


def different_keys(files: Sequence[Path], *, seen_too: bool) -> int:
    """How many different keys the rows of pages have; with `seen_too` also those that are only seen.

    Raises OSError and ArrowException for a page that is gone or damaged.
    """
    columns = ["_cio_key", "_cio_seen_only"]
    found = []
    for file in files:
        page = pq.read_table(file, columns=columns)
        found.append(page["_cio_key"] if seen_too else page.filter(pc.invert(page["_cio_seen_only"]))["_cio_key"])
    keys = pa.chunked_array([chunk for one in found for chunk in one.chunks], pa.string())
    return int(pc.count_distinct(keys).as_py())
