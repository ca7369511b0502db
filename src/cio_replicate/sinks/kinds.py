"""The table of destinations: a row per kind of place a copy can be in, from which parser, docs and tests derive."""

from __future__ import annotations

from cio_replicate.config.destination_kind import DestinationKind
from cio_replicate.sinks.lake import file_kinds
from cio_replicate.sinks.sql import server_kinds
from cio_replicate.sinks.warehouse import warehouse_kinds

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
    """Every scheme that `--to` may begin with, other spellings included, and its kind."""
    return {scheme: kind for kind in KINDS for scheme in (kind.scheme, *kind.aliases)}
