"""Copies in the stores that are tested for real, beside the twin."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from cio_replicate.schema.table import Column, schema_for
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.backend import ChangeSet, StoredTable, TableBackend
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.kinds import store_at
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Batch, Changes, Sink
from tests.destinations.kinds import KINDS
from tests.sinks.copying import alone, by_key, write


class RealCopy:
    """A copy in a store of one kind, with a ledger beside it."""

    def __init__(self, kind: str, folder: Path) -> None:
        where = KINDS[kind](folder)
        self._address = destination(where.to, {**os.environ, **where.variables})
        self._dataset = where.dataset
        self._folder = folder / "working"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ledger = folder / "ledger.duckdb"
        self.transactional = kind in ("postgresql", "sqlite", "mysql")

    def open(self, around: Callable[[TableBackend], TableBackend] = alone) -> Sink:
        """A destination that has not looked yet."""
        store, nul_allowed = store_at(self._address, self._dataset, self._folder)
        store = around(store)
        return CopySink(store, IndexMerger(store, self._ledger, nul_allowed=nul_allowed), self._dataset, "a store")

    def write(self, *batches: Batch) -> Changes:
        """Write in one session; what the last batch changed."""
        return write(self.open(), *batches)

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        """Every row of a table by its `_cio_key`."""
        return by_key(self.every(table))

    def every(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table; none when it is not there."""
        store, _ = store_at(self._address, self._dataset, self._folder)
        store.open()
        try:
            there = store.columns(table)
            shape = StoredTable(table, tuple(Column(name, kind, "") for name, kind in there.items()), "_cio_key")
            return list(store.read(shape, list(there)).read_all().to_pylist()) if there else []
        finally:
            store.close()

    def forget(self) -> None:
        """Lose the ledger."""
        self._ledger.unlink(missing_ok=True)

    def tamper(self, table: str, key: str) -> None:
        """Remove a row."""
        store, _ = store_at(self._address, self._dataset, self._folder)
        store.open()
        there = store.columns(table)
        shape = StoredTable(table, tuple(Column(name, kind, "") for name, kind in there.items()), "_cio_key")
        nothing = schema_for(shape.columns).empty_table().to_reader()
        store.write(ChangeSet(shape, nothing, 0, pa.array([key], pa.string())))
        store.close()
