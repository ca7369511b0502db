"""Places for tables in files, edits to try on them, and what a program of the user's own reads there."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address, DestinationKind
from cio_replicate.schema.table import Column, ColumnType, arrow_type, schema_for
from cio_replicate.sinks.backend import ChangeSet, StoredTable, TableBackend
from cio_replicate.sinks.kinds import KINDS
from cio_replicate.sinks.lake.delta import DeltaBackend
from cio_replicate.sinks.lake.iceberg import IcebergBackend
from cio_replicate.sinks.lake.iceberg_folder import FolderTables
from cio_replicate.sinks.lake.object_files import open_files
from cio_replicate.sinks.lake.parquet import ParquetBackend, file_store
from tests.duckdb_files import in_memory
from tests.sinks import s3

DATASET = "customerio"
SHAPE = StoredTable(
    "things",
    (
        Column("key", ColumnType.STRING, "The key."),
        Column("size", ColumnType.INTEGER, "A number."),
        Column("ratio", ColumnType.NUMBER, "Another."),
        Column("live", ColumnType.BOOLEAN, "Whether."),
        Column("at", ColumnType.TIMESTAMP, "When."),
        Column("data", ColumnType.JSON, "Anything."),
    ),
    "key",
)
NOTHING = pa.array([], pa.string())


def moment(day: int, microsecond: int = 0) -> dt.datetime:
    """A moment in January 2024, or later if there are not so many days."""
    return dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=day - 1, microseconds=microsecond)


def thing(key: str, size: int = 1, **others: Any) -> dict[str, Any]:
    """A row of SHAPE."""
    return {"key": key, "size": size, "ratio": size / 2, "live": True, "at": moment(1), "data": "{}", **others}


def edit(
    shape: StoredTable, rows: Sequence[Mapping[str, Any]], gone: Sequence[object] = (), *, at_once: int = 3
) -> ChangeSet:
    """An edit, its rows in batches of a few."""
    schema = schema_for(shape.columns)
    batches = [
        pa.RecordBatch.from_pylist([*rows[first : first + at_once]], schema=schema)
        for first in range(0, len(rows), at_once)
    ]
    key = arrow_type(shape.column(shape.key).type)
    return ChangeSet(shape, pa.RecordBatchReader.from_batches(schema, batches), len(rows), pa.array(gone, key))


def rows(store: TableBackend, shape: StoredTable) -> list[dict[str, Any]]:
    """All rows of a table, by key."""
    found: list[dict[str, Any]] = store.read(shape, [column.name for column in shape.columns]).read_all().to_pylist()
    return sorted(found, key=lambda row: row[shape.key])


@dataclass(frozen=True)
class Lake:
    """A place for one kind of table: a folder, or a prefix of a bucket."""

    scheme: str
    path: str
    endpoint: str = ""

    @property
    def kind(self) -> DestinationKind:
        """The row of the table of destinations."""
        return next(kind for kind in KINDS if kind.scheme == self.scheme)

    @property
    def address(self) -> Address:
        """What `--to` says."""
        if not self.endpoint:
            return Address(self.kind, self.path)
        secrets = {"access_key_id": Secret(s3.KEY), "secret_access_key": Secret(s3.SECRET_KEY)}
        return Address(self.kind, self.path, s3.BUCKET, options={"endpoint": self.endpoint}, secrets=secrets)

    def open(self) -> TableBackend:
        """A store of it, opened."""
        store = file_store(self.address, DATASET)
        store.open()
        return store

    def small(self, full: int) -> TableBackend:
        """A store of it whose files are full at so many bytes."""
        files = open_files(self.address, DATASET)
        if self.scheme == "parquet":
            return ParquetBackend(files, full=full)
        if self.scheme == "delta":
            return DeltaBackend(files, {}, full=full)
        return IcebergBackend(FolderTables(files, {}, time.time), full=full)

    def theirs(self, table: str) -> pa.Table:
        """All rows of a table, as the tool that its users have reads it."""
        place = f"{s3.BUCKET}/{self.path}" if self.endpoint else self.path
        found: pa.Table = getattr(self, f"_{self.scheme}")(f"{place}/{DATASET}/{table}")
        return found

    def _parquet(self, path: str) -> pa.Table:
        if self.endpoint:
            return pq.read_table(path, filesystem=s3.filesystem(self.endpoint))
        with in_memory() as connection:
            return connection.sql("SELECT * FROM read_parquet(?)", params=[f"{path}/*.parquet"]).to_arrow_table()

    def _delta(self, path: str) -> pa.Table:
        from deltalake import DeltaTable  # noqa: PLC0415 - an extra

        options = {
            "aws_access_key_id": s3.KEY,
            "aws_secret_access_key": s3.SECRET_KEY,
            "aws_endpoint": self.endpoint,
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
        }
        if self.endpoint:
            return DeltaTable(f"s3://{path}", storage_options=options).to_pyarrow_table()
        return DeltaTable(path).to_pyarrow_table()

    def _iceberg(self, path: str) -> pa.Table:
        from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra

        properties = {
            "s3.endpoint": self.endpoint,
            "s3.access-key-id": s3.KEY,
            "s3.secret-access-key": s3.SECRET_KEY,
            "s3.region": "us-east-1",
        }
        if self.endpoint:
            return StaticTable.from_metadata(f"s3://{path}", properties).scan().to_arrow()
        return StaticTable.from_metadata(path).scan().to_arrow()


def folder(scheme: str, path: Path) -> Lake:
    """A lake in a folder, which is not there yet."""
    return Lake(scheme, str(path / "lake"))
