"""The state folder of one task: lock, journal and staged pages, and staging of chunks."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Sequence
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

from cio_replicate.base.errors import LandingError, StateFolderError, TaskBusyError
from cio_replicate.base.runtime import PRIVATE
from cio_replicate.pipeline.journal import Journal, TableRead
from cio_replicate.source.decode import Chunk, add_stats
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies.base import Partition, ReadStats


def task_folder(root: Path, destination: str, dataset: str) -> Path:
    """The folder of the task that fills this dataset of this destination: readable, and unique by a digest."""
    digest = sha256(f"{destination}\n{dataset}".encode()).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{Path(destination).stem}-{dataset}").strip("-")[:60]
    return root / f"{readable}-{digest}"


class Staging:
    """An open state folder, held by this process alone. Use as a context manager.

    Raises StateFolderError when it cannot be made or written, TaskBusyError when another process holds it. A folder
    that was made here and in which nothing landed is removed again on leaving.
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
                "Choose another with --state-dir, or mend its permissions.",
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
        """Remove the files that the journal does not know. Nothing may be landing meanwhile."""
        known = self.journal.files()
        for file in self._pages.iterdir():
            if file.name not in known:
                file.unlink()

    def file(self, name: str) -> Path:
        """The path of a landed file."""
        return self._pages / name

    def size(self, name: str) -> int:
        """The bytes of a landed file; 0 when it is gone, which is for who reads it to tell."""
        try:
            return self.file(name).stat().st_size
        except OSError:
            return 0

    def write(self, name: str, table: pa.Table) -> None:
        """Make a page durable: when this returns, it survives the loss of power. Raises LandingError."""
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
            raise LandingError(
                f"A page could not be written to {self._pages} ({error.strerror or error}).",
                "Make room or choose another --state-dir, then run again; what is landed is kept.",
            ) from None

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


class StagedRead:
    """Makes the chunks of one read durable in its folder. Its methods block on the disk and belong on one thread."""

    def __init__(self, read: TableRead, folder: Staging) -> None:
        self._read = read
        self._folder = folder

    @property
    def parts(self) -> list[Partition]:
        """The partitions of the read, those that pages have added included."""
        return self._read.parts

    def append(self, chunk: Chunk, at: int) -> None:
        """Make a chunk durable and move its partition to the chunk's cursor.

        When this returns, the page is never asked for again; when the process dies before, it is as if it had not been
        asked for.
        """
        read, part = self._read, chunk.partition
        before = (part.place, _copy(read.tally))
        add_stats(read.tally, chunk.stats)
        part.place = chunk.cursor
        try:
            if not len(chunk.rows):
                self._folder.journal.settle(read, part, at, chunk.partitions)
            else:
                name = f"{uuid.uuid4().hex}.parquet"
                self._folder.write(name, chunk.rows)
                self._folder.journal.land(read, part, name, len(chunk.rows), list(chunk.columns), at, chunk.partitions)
            read.parts += chunk.partitions
        except BaseException:
            part.place, read.tally = before
            raise

    def skip(self, part: Partition, reason: str, at: int) -> None:
        """Record that a partition does not exist."""
        self._read.tally.skipped.append(reason)
        self.move(part, replace(part.place, done=True), at)

    def move(self, part: Partition, cursor: Cursor, at: int) -> None:
        """Move a partition without a page."""
        part.place = cursor
        self._folder.journal.settle(self._read, part, at)


def _copy(tally: ReadStats) -> ReadStats:
    return msgspec.structs.replace(tally, skipped=list(tally.skipped), ignored=dict(tally.ignored))


def _page(table: pa.Table) -> memoryview:
    """The page as a Parquet file; it lives for seconds, so little is spent on making it small or easy to search."""
    made = pa.BufferOutputStream()
    pq.write_table(table, made, compression="snappy", use_dictionary=False, write_statistics=False, store_schema=False)
    return memoryview(made.getvalue())


# What landed pages tell by themselves.


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
