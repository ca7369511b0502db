"""From an address to the destination behind it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cio_replicate.config.destination_kind import Address, SinkFamily
from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.fan_out import FanOutSink
from cio_replicate.sinks.lake.parquet import file_store
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Sink
from cio_replicate.sinks.warehouse.warehouse_kinds import warehouse_store


def destination_at(address: Address, dataset: str, folder: Path, *, read_only: bool = False) -> Sink:
    """The destination, not yet opened. `folder` is the task's own; what belongs to this place is kept in it.

    With `read_only` nothing is changed there, and a DuckDB file may be read by others meanwhile.
    """
    if address.kind.engine is SinkFamily.DUCKDB:
        return DuckDBSink(address.file, dataset, read_only=read_only)
    store, nul_allowed = store_at(address, dataset, folder)
    ledger = folder / f"ledger-{_digest(address, dataset)}.duckdb"
    return CopySink(store, IndexMerger(store, ledger, nul_allowed=nul_allowed), dataset, str(address))


def store_at(address: Address, dataset: str, folder: Path) -> tuple[TableBackend, bool]:
    """The store of any destination but DuckDB, not yet opened, and whether its texts may hold NUL."""
    if address.kind.engine is SinkFamily.WAREHOUSE:
        store = warehouse_store(address, dataset, folder / f"dlt-{_digest(address, dataset)}")
        return store, store.nul_allowed
    return file_store(address, dataset), True


def _digest(address: Address, dataset: str) -> str:
    return sha256(f"{address}\n{dataset}".encode()).hexdigest()[:10]


def destinations_at(addresses: Sequence[Address], dataset: str, folder: Path, *, read_only: bool = False) -> Sink:
    """One destination, or several as one; as above."""
    every = {one.shown: destination_at(one, dataset, folder, read_only=read_only) for one in addresses}
    return next(iter(every.values())) if len(every) == 1 else FanOutSink(every)
