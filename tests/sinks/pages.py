"""Landed pages and the batches made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cio_replicate.pipeline.staging import SEEN_ONLY
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import KnownColumns, Table
from cio_replicate.sinks.port import Batch, Close
from cio_replicate.source.catalog import table
from cio_replicate.source.decode import RowEncoder

AT = 1_760_000_000

Record = bytes | Mapping[str, object]


class Pages:
    """Lands records of one table as pages in a folder."""

    def __init__(self, folder: Path, of: str | Table = "campaigns") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.fields = KnownColumns(table(of) if isinstance(of, str) else of)
        self._encoder = RowEncoder(self.fields)
        self._folder = folder
        self._count = 0

    def land(self, *records: Record, seen: Sequence[Record] = (), at: int = AT) -> Path:
        """A page with these records; those of `seen` prove that they exist and are not to be written."""
        rows = self._rows(records, at)
        if seen:
            others = self._rows(seen, at)
            rows = pa.concat_tables([_marked(rows, seen=False), _marked(others, seen=True)], promote_options="default")
        else:
            rows = _marked(rows, seen=False)
        self._count += 1
        path = self._folder / f"page-{self._count}.parquet"
        pq.write_table(rows, path)
        return path

    def batch(self, *files: Path, close: Close | None = None) -> Batch:
        """A batch of these pages."""
        return Batch(self.fields.table, self.fields.all, files, "run", close)

    def _rows(self, records: Sequence[Record], at: int) -> pa.Table:
        texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
        return self._encoder.encode(texts, at).table


def _marked(rows: pa.Table, *, seen: bool) -> pa.Table:
    return rows.append_column(SEEN_ONLY, pa.array([seen] * len(rows), pa.bool_()))


def position(read: str = "r", through: int = AT) -> Checkpoint:
    """A position."""
    return Checkpoint(read=read, start=AT - 86_400, through=through, latest=AT - 5)


def close(*seen: Path, at: int = AT + 60, absence_deletes: bool = True, read: str = "r") -> Close:
    """The end of a read that landed these pages."""
    return Close(position(read), seen if absence_deletes else None, at)
