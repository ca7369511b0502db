"""The sink that keeps nothing: for a run that only counts what the source has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, StoredTable
from cio_replicate.sinks.port import Batch, Changes, CopyIdentity, Digests, ErasureHits, Owner, RunRows, SinkState


class Nowhere:
    """Takes everything, counts commits, and holds nothing."""

    batch_rows = 240_000

    def __init__(self) -> None:
        self._commits = 0

    @property
    def state(self) -> SinkState:
        """A name that no copy has, and the batches that were written."""
        return SinkState(CopyIdentity("nowhere", self._commits))

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Return no copy without an owner."""
        return None if owner is None else self.state

    def read(
        self, table: Table | StoredTable, columns: Sequence[str], where: Sequence[Condition] = ()
    ) -> list[tuple[Any, ...]]:
        """Return no rows."""
        _ = table, columns, where
        return []

    def digests(self, table: Table, where: Sequence[Condition] = (NOT_DELETED,), *, keys: bool = True) -> Digests:
        """Return the digests of no rows."""
        _ = table, where, keys
        return Digests()

    def write(self, batch: Batch | RunRows) -> Changes:
        """Let the rows go, and count the commit."""
        self._commits += isinstance(batch, Batch)
        return Changes()

    def probe(self) -> None:
        """Do nothing: nothing can fail."""

    def erase(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Return no hits."""
        _ = table, people
        return {}

    def drop(self, table: Table | None) -> None:
        """Do nothing: there is nothing to drop."""

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
