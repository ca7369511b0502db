"""The table of destinations: a row per kind of place a copy can be in, from which parser, docs and tests derive.

Each kind is declared in the folder of its sink, and made into one here. What needs the libraries of a sink is imported
when a sink is made, so that a command without one starts fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cio_replicate.config.destination_kind import Address, DestinationKind, SinkFamily
from cio_replicate.sinks.lake import file_kinds
from cio_replicate.sinks.sql import server_kinds
from cio_replicate.sinks.warehouse import warehouse_kinds

if TYPE_CHECKING:
    from cio_replicate.sinks.backend import TableBackend
    from cio_replicate.sinks.port import Sink

KINDS: tuple[DestinationKind, ...] = (
    file_kinds.DUCKDB,
    server_kinds.POSTGRESQL,
    file_kinds.SQLITE,
    server_kinds.MYSQL,
    file_kinds.PARQUET,
    file_kinds.DELTA,
    file_kinds.ICEBERG,
    file_kinds.DUCKLAKE,
    warehouse_kinds.SNOWFLAKE,
    warehouse_kinds.BIGQUERY,
    warehouse_kinds.REDSHIFT,
    warehouse_kinds.DATABRICKS,
    server_kinds.CLICKHOUSE,
    warehouse_kinds.MOTHERDUCK,
    server_kinds.SYNAPSE,
    server_kinds.MSSQL,
    warehouse_kinds.ATHENA,
)


def schemes() -> dict[str, DestinationKind]:
    """Every scheme that an address may begin with, other spellings included, and its kind."""
    return {scheme: kind for kind in KINDS for scheme in (kind.scheme, *kind.aliases)}


def destination_at(address: Address, dataset: str, folder: Path, *, read_only: bool = False) -> Sink:
    """Return the sink of an address, not yet opened. `folder` is the task's own; the sink keeps its files there.

    With `read_only` nothing is changed there, and a DuckDB file may be read by others meanwhile.
    """
    from cio_replicate.sinks.copy import CopySink  # noqa: PLC0415 - see above
    from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink  # noqa: PLC0415
    from cio_replicate.sinks.merge.index_merger import IndexMerger  # noqa: PLC0415

    if address.kind.engine is SinkFamily.DUCKDB:
        return DuckDBSink(address.file, dataset, read_only=read_only)
    store, nul_allowed = store_at(address, dataset, folder)
    ledger = folder / f"ledger-{_digest(address, dataset)}.duckdb"
    return CopySink(store, IndexMerger(store, ledger, nul_allowed=nul_allowed), dataset, str(address))


def store_at(address: Address, dataset: str, folder: Path) -> tuple[TableBackend, bool]:
    """Return the backend of any sink but DuckDB, not yet opened, and whether its texts may hold NUL."""
    from cio_replicate.sinks.lake.parquet import file_store  # noqa: PLC0415 - see above
    from cio_replicate.sinks.warehouse.warehouse_kinds import warehouse_store  # noqa: PLC0415

    if address.kind.engine is SinkFamily.WAREHOUSE:
        store = warehouse_store(address, dataset, folder / f"dlt-{_digest(address, dataset)}")
        return store, store.nul_allowed
    return file_store(address, dataset), True


def destinations_at(addresses: Sequence[Address], dataset: str, folder: Path, *, read_only: bool = False) -> Sink:
    """Return one sink, or several as one; as above."""
    from cio_replicate.sinks.fan_out import FanOutSink  # noqa: PLC0415 - see above

    every = {one.shown: destination_at(one, dataset, folder, read_only=read_only) for one in addresses}
    return next(iter(every.values())) if len(every) == 1 else FanOutSink(every)


def _digest(address: Address, dataset: str) -> str:
    return sha256(f"{address}\n{dataset}".encode()).hexdigest()[:10]
