"""Files in the place of others: what an edit makes of the files of a table that has a log or snapshots."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from cio_replicate.sinks.arrow_fields import require_types
from cio_replicate.sinks.backend import ChangeSet
from cio_replicate.sinks.lake.object_files import Files, NewFile, StoredFile
from cio_replicate.sinks.lake.part_file import ParquetWriter
from cio_replicate.sinks.lake.rewrite import KeySet, aligned, keys_in, without

#: Files smaller than this are always written together with new rows: a small table is one file.
SMALL = 1_000_000


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written, with its footer."""

    part: StoredFile
    footer: pq.FileMetaData


@dataclass(frozen=True, slots=True)
class FileRewrite:
    """The files that an edit takes out, and those that it puts in, which stand already but belong to no table yet."""

    removed: Sequence[StoredFile]
    added: Sequence[WrittenFile]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


def swap(
    files: Files, folder: str, parts: Sequence[StoredFile], schema: pa.Schema, edit: ChangeSet, full: int
) -> FileRewrite:
    """Write new files for an edit: its rows, and all other rows of the files in which it changes something.

    Small files go along, each time those that are together no larger than what is written anyway: so a row is written
    again only as often as the table doubles, and a table never has more than a few files that are not `full` (bytes).
    """
    require_types(edit.shape, schema)
    key = edit.shape.key
    output = RewriteOutput(files, folder, schema, full)
    try:
        keys = [edit.gone.cast(schema.field(key).type)]
        for batch in edit.rows:
            fitting = aligned(batch, schema, edit.shape.name)
            keys.append(fitting.column(key))
            output.write([fitting])
        changed = KeySet(pa.concat_arrays(keys))
        hits = {part: keys_in(files, part, key, changed) for part in parts}
        touched = [part for part in parts if len(hits[part])]
        if not edit.count and not touched:
            return FileRewrite((), output.close())
        small = [part for part in touched if part.size < full // 2]
        small += _along(parts, {*touched}, output.size + sum(part.size for part in small), full)
        for part in sorted(small, key=lambda part: part.name):
            output.write(without(files, part, key, hits[part], schema))
        for part in touched:
            if part.size >= full // 2:  # keeps its rows together, which are mostly of one time
                output.roll()
                output.write(without(files, part, key, hits[part], schema))
        return FileRewrite([part for part in parts if part in {*small, *touched}], output.close())
    except BaseException:
        output.abandon()
        raise


def _along(parts: Sequence[StoredFile], touched: set[StoredFile], size: int, full: int) -> list[StoredFile]:
    """The small files that are to be written again together with so many bytes."""
    found = []
    for part in sorted((part for part in parts if part not in touched), key=lambda part: part.size):
        if part.size >= full // 2 or part.size > max(size, min(SMALL, full // 4)):
            break
        size += part.size
        found.append(part)
    return found


class RewriteOutput:
    """Files that are written one after the other, each until it is full."""

    def __init__(self, files: Files, folder: str, schema: pa.Schema, full: int) -> None:
        self._files = files
        self._folder = folder
        self._schema = schema
        self._full = full
        self._added: list[WrittenFile] = []
        self._open: tuple[NewFile, ParquetWriter] | None = None

    @property
    def size(self) -> int:
        """How many bytes there are by now."""
        return sum(added.part.size for added in self._added) + (self._open[1].size if self._open else 0)

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows."""
        for batch in batches:
            if self._open is None:
                file = self._files.new(f"{self._folder}/part-{uuid.uuid4().hex}.parquet")
                self._open = file, ParquetWriter(file.path, self._schema)
            with self._files.reached():
                self._open[1].write(batch)
            if self._open[1].size >= self._full:
                self.roll()

    def roll(self) -> None:
        """End the file, if there is one."""
        if self._open is not None:
            file, writer = self._open
            with self._files.reached():
                footer = writer.close()
            self._open = None
            if footer.num_rows:
                self._added.append(WrittenFile(StoredFile(file.name, self._files.put(file)), footer))
            else:
                file.path.unlink()

    def close(self) -> Sequence[WrittenFile]:
        """End the last file; all of them."""
        self.roll()
        return self._added

    def abandon(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            self._open[1].abandon()
            self._open[0].path.unlink(missing_ok=True)
        for added in self._added:
            self._files.remove(added.part.name)
