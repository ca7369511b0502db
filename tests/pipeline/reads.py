"""Reads, pages and columns to stage."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from cio_replicate.pipeline.journal import Journal, StagedGroup, TableRead
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


def stage(
    journal: Journal,
    read: TableRead,
    file: str = "",
    rows: int = 0,
    columns: Sequence[Column] = (),
    at: int = BEGAN,
) -> int:
    """Record a file of a read, with the cursors and stats that the read has; the number of its newest page."""
    cursors = {part.name: part.cursor for part in read.parts}
    journal.stage([StagedGroup(read, cursors, read.tally, columns=columns, file=file, rows=rows)], at)
    return max((page.number for page in journal.pages(read)), default=0)
