"""Reads, pages and columns to land."""

from __future__ import annotations

import pyarrow as pa

from cio_replicate.pipeline.journal import TableRead
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.source.strategies.base import Partition

BEGAN = 1_760_000_000


def read_of(table: str = "campaigns", *, base: Checkpoint | None = None, parts: int = 2) -> TableRead:
    """A read that has begun and landed nothing."""
    made = [Partition(f"part {number}", {"limit": "10"}, {"kind": f"k/{number}"}) for number in range(parts)]
    return TableRead(f"read of {table}", table, BEGAN - 86_400, BEGAN, BEGAN, base, made)


def rows(*values: str) -> pa.Table:
    """A page."""
    return pa.table({"id": pa.array(values, pa.string())})


def column(name: str, kind: ColumnType = ColumnType.STRING, path: tuple[str, ...] = ()) -> Column:
    """A discovered column."""
    return Column(name, kind, "Sent by the API though not in its documentation.", path)
