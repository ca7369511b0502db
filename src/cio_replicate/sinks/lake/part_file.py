"""Writing one Parquet file: rows in groups of bounded size, so that reading them takes bounded memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

#: A group of rows ends at whichever comes first. Larger groups are hardly smaller on disk (measured).
GROUP_ROWS, GROUP_BYTES = 65_536, 32_000_000
#: A file is full at so many bytes: then it is rewritten only for rows that it has, and new rows go elsewhere.
FULL = 32_000_000
#: What rows shrink to when they are written, roughly: only to guess the size of those that wait.
SHRINKS = 4


class ParquetWriter:
    """A Parquet file at a path of this machine, in any schema."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._collected: list[pq.FileMetaData] = []
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._sink, schema, compression="zstd", compression_level=1, metadata_collector=self._collected
        )
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    @property
    def size(self) -> int:
        """About how large the file is by now."""
        return int(self._sink.tell()) + self._waiting_bytes // SHRINKS

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows of the file's schema."""
        step = max(1, min(GROUP_ROWS, batch.num_rows * GROUP_BYTES // max(batch.nbytes, 1)))
        for first in range(0, batch.num_rows, step):
            piece = batch.slice(first, step)
            if self._waiting_rows + piece.num_rows > GROUP_ROWS or self._waiting_bytes + piece.nbytes > GROUP_BYTES:
                self._flush()
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            self._waiting_bytes += piece.nbytes
        self.rows += batch.num_rows

    def close(self) -> pq.FileMetaData:
        """End the file; its footer."""
        self._flush()
        self._writer.close()
        self._sink.close()
        return self._collected[0]

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._waiting.clear()
        self._writer.close()
        self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), GROUP_ROWS)
            self._waiting.clear()
            self._waiting_rows = self._waiting_bytes = 0
