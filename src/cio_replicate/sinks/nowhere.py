"""The destination that keeps nothing: for a run that only counts what the source has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks.backend import Condition, StoredTable
from cio_replicate.sinks.port import Batch, Changes, CopyIdentity, Digests, ErasureHits


class Nowhere:
    """Takes everything and holds nothing."""

    batch_rows = 240_000

    def __init__(self) -> None:
        self._commits = 0

    def look(self) -> CopyIdentity | None:
        """There is never a copy."""
        return None

    def prepare(self, now: int) -> CopyIdentity:
        """Nothing is made."""
        _ = now
        return self.identity()

    def identity(self) -> CopyIdentity:
        """A name that no copy has."""
        return CopyIdentity("nowhere", self._commits)

    def positions(self) -> Mapping[str, Checkpoint]:
        """Nothing was read."""
        return {}

    def discovered(self, table: Table) -> Sequence[Column]:
        """Nothing was found."""
        _ = table
        return []

    def read(self, table: Table, columns: Sequence[str], where: Sequence[Condition] = ()) -> list[tuple[Any, ...]]:
        """There are no rows."""
        _ = table, columns, where
        return []

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """There are no rows."""
        _ = table, where
        return 0

    def held(self, table: Table) -> Digests:
        """There are no rows."""
        _ = table
        return Digests()

    def expected(self, table: Table) -> Digests | None:
        """Nothing is expected."""
        _ = table
        return None

    def write(self, batch: Batch) -> Changes:
        """Let the rows go."""
        _ = batch
        self._commits += 1
        return Changes()

    def try_out(self) -> None:
        """Nothing can go wrong."""

    def record(self, shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
        """Nothing is recorded."""
        _ = shape, rows

    def recorded(self, shape: StoredTable) -> list[dict[str, Any]]:
        """Nothing was recorded."""
        _ = shape
        return []

    def blank(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """There is nothing about anybody."""
        _ = table, people
        return {}

    def recount(self, table: Table) -> None:
        """Nothing was counted."""
        _ = table

    def drop(self, table: Table) -> None:
        """There is nothing to drop."""
        _ = table

    def end(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """There is nothing to let go of."""
