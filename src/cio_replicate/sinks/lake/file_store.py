"""The store behind an address of files: plain Parquet, Delta or Iceberg, in a folder or a bucket."""

from __future__ import annotations

import time

from cio_replicate.config.destination_kind import Address, SinkFamily
from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.lake.delta import DeltaBackend
from cio_replicate.sinks.lake.iceberg import IcebergBackend, Tables
from cio_replicate.sinks.lake.iceberg_catalog import CatalogTables
from cio_replicate.sinks.lake.iceberg_folder import FolderTables
from cio_replicate.sinks.lake.object_files import Files, LocalFiles, named, open_files, region_of
from cio_replicate.sinks.lake.parquet import ParquetBackend

#: What each library calls what reaches a bucket.
_DELTA = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}
_ICEBERG = {
    "access_key_id": "s3.access-key-id",
    "secret_access_key": "s3.secret-access-key",
    "session_token": "s3.session-token",
}


def file_store(address: Address, dataset: str) -> TableBackend:
    """The store for a dataset at an address. Nothing is looked at yet. Raises DestinationUnavailableError."""
    files = open_files(address, dataset)
    match address.kind.engine:
        case SinkFamily.PARQUET:
            return ParquetBackend(files)
        case SinkFamily.DELTA:
            return DeltaBackend(files, _delta_options(address))
        case SinkFamily.ICEBERG:
            return IcebergBackend(_tables(address, named(dataset), files))
        case SinkFamily.DUCKDB | SinkFamily.WAREHOUSE:
            raise ValueError(f"{address.kind.engine} keeps no files")


def _tables(address: Address, dataset: str, files: Files) -> Tables:
    properties = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", **_iceberg_properties(address)}
    catalog = address.options.get("catalog")
    if not catalog:
        return FolderTables(files, properties, time.time)
    scheme = "file" if isinstance(files, LocalFiles) else "s3"
    return CatalogTables(catalog, properties, dataset, f"{scheme}://{files.root}")


def _delta_options(address: Address) -> dict[str, str]:
    if not address.host:
        return {}
    options = {"aws_conditional_put": "etag"}  # two who commit at once cannot both succeed
    endpoint, region = address.options.get("endpoint"), region_of(address)
    if endpoint:
        options |= {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http:")).lower()}
        options["aws_virtual_hosted_style_request"] = "false"
    if region:
        options["aws_region"] = region
    return options | _secrets(address, _DELTA)


def _iceberg_properties(address: Address) -> dict[str, str]:
    if not address.host:
        return {}
    found = {"s3.endpoint": address.options.get("endpoint"), "s3.region": region_of(address)}
    return {name: value for name, value in found.items() if value} | _secrets(address, _ICEBERG)


def _secrets(address: Address, names: dict[str, str]) -> dict[str, str]:
    return {theirs: address.secrets[ours].reveal() for ours, theirs in names.items() if ours in address.secrets}
