"""From an address to the destination behind it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from cio_replicate.load.destination import Destination
from cio_replicate.load.duckdb import DuckDBDestination
from cio_replicate.load.file_store import file_store
from cio_replicate.load.remote import RemoteDestination
from cio_replicate.load.several import SeveralDestinations
from cio_replicate.load.warehouses import warehouse_store
from cio_replicate.settings.destinations import Address, Engine


def destination_at(address: Address, dataset: str, folder: Path, *, read_only: bool = False) -> Destination:
    """The destination, not yet opened. `folder` is the task's own; what belongs to this place is kept in it.

    With `read_only` nothing is changed there, and a DuckDB file may be read by others meanwhile.
    """
    if address.kind.engine is Engine.DUCKDB:
        return DuckDBDestination(address.file, dataset, read_only=read_only)
    digest = sha256(f"{address}\n{dataset}".encode()).hexdigest()[:10]
    if address.kind.engine is Engine.WAREHOUSE:
        store = warehouse_store(address, dataset, folder / f"dlt-{digest}")
        allowed = store.nul_allowed
        return RemoteDestination(store, folder / f"ledger-{digest}.duckdb", dataset, str(address), nul_allowed=allowed)
    return RemoteDestination(file_store(address, dataset), folder / f"ledger-{digest}.duckdb", dataset, str(address))


def destinations_at(
    addresses: Sequence[Address], dataset: str, folder: Path, *, read_only: bool = False
) -> Destination:
    """One destination, or several as one; as above."""
    every = {one.shown: destination_at(one, dataset, folder, read_only=read_only) for one in addresses}
    return next(iter(every.values())) if len(every) == 1 else SeveralDestinations(every)
