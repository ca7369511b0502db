"""What a place is: one dataset in one database, with what a store needs of it and what differs between databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet
from cio_replicate.sinks.sql.sql_backend import Dialect, Statement

#: The columns that a table has, by name; None for a type that is none of ours.
Columns = Mapping[str, ColumnType | None]


class SqlBackend(Protocol):
    """One dataset in one database. What its driver raises leaves as DestinationUnavailableError or LoadError."""

    dialect: Dialect
    rows_at_once: int
    whole_edits: bool  # as the store's
    described: str  # what messages call it, without any secret

    def connect(self) -> None:
        """Find out that the dataset can be looked at. Changes nothing."""
        ...

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        ...

    def columns(self, table: str) -> Columns:
        """The columns of a table by name, in order, None for a foreign type; none when the table is not there."""
        ...

    def select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows of a query as batches of this schema, none of them large. What is written meanwhile does no harm."""
        ...

    def write(self, edit: ChangeSet, there: Columns) -> None:
        """As the store's; `there` are the columns that the table has; those of the shape have its types."""
        ...

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


def gathered(rows: pa.RecordBatchReader, most: int, most_bytes: int = 32_000_000) -> Iterator[pa.Table]:
    """The rows in pieces that are worth a statement, as long as that leaves them small."""
    waiting: list[pa.RecordBatch] = []
    count = size = 0
    for batch in rows:
        if waiting and (count + len(batch) > most or size + batch.nbytes > most_bytes):
            yield pa.Table.from_batches(waiting)
            waiting, count, size = [], 0, 0
        if len(batch):
            waiting.append(batch)
            count, size = count + len(batch), size + batch.nbytes
    if waiting:
        yield pa.Table.from_batches(waiting)


def keys_in_parts(keys: pa.Array | pa.ChunkedArray, size: int) -> Iterator[Sequence[str] | Sequence[int]]:
    """The keys as Python values, so many at a time."""
    for first in range(0, len(keys), size):
        yield keys.slice(first, size).to_pylist()
