"""The rows of an edit, kept so that they can be gone through more than once in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.sinks.backend import ChangeSet

#: Rows beyond so many bytes wait on the disk.
IN_MEMORY = 16_000_000
UNDATED = -1


class SpillBuffer:
    """The rows of an edit, with their keys and, if they are split by a moment, the month of each."""

    def __init__(self, edit: ChangeSet) -> None:
        self._edit = edit
        self._held: list[pa.RecordBatch] = []
        self._file = tempfile.TemporaryFile(prefix="cio-replicate-")  # noqa: SIM115 - closed by __exit__
        self._on_disk = False
        try:
            self._fill()
        except BaseException:
            self._file.close()
            raise

    def _fill(self) -> None:
        keys, months, held = [], [], 0
        writer: pa.RecordBatchWriter | None = None
        for batch in self._edit.rows:
            keys.append(batch.column(self._edit.shape.key))
            months.append(self._months(batch))
            held += batch.nbytes
            if held <= IN_MEMORY:
                self._held.append(batch)
                continue
            if writer is None:
                writer = pa.ipc.new_file(self._file, self._edit.rows.schema)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()
            self._on_disk = True
        self.keys = pa.concat_arrays(keys) if keys else self._edit.gone.slice(0, 0)
        self.months = pa.concat_arrays(months) if months else pa.array([], pa.int64())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def rows(self, keys: pa.Array) -> Iterator[pa.RecordBatch]:
        """The rows with these keys."""
        if not len(keys):
            return
        for batch in self._batches():
            wanted = pc.is_in(batch.column(self._edit.shape.key), value_set=keys)
            if wanted.true_count:
                yield batch if wanted.true_count == batch.num_rows else batch.filter(wanted)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._held
        if self._on_disk:
            self._file.seek(0)
            reader = pa.ipc.open_file(self._file)
            for position in range(reader.num_record_batches):
                yield reader.get_batch(position)

    def _months(self, batch: pa.RecordBatch) -> pa.Array:
        """For each row its month, counted from the year 0; UNDATED without a moment, or for all when none is asked."""
        if self._edit.shape.split_by is None:
            return pa.repeat(pa.scalar(UNDATED, pa.int64()), batch.num_rows)
        moments = batch.column(self._edit.shape.split_by)
        months = pc.add(pc.multiply(pc.year(moments), 12), pc.subtract(pc.month(moments), 1))
        return pc.fill_null(months, UNDATED)
