"""A store in each kind of database that runs here, and rows to write into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cio_replicate.config.destination_kind import Address
from cio_replicate.schema.table import Column, ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.kinds import schemes
from cio_replicate.sinks.sql.sql_backend import SqlBackend
from cio_replicate.sinks.warehouse.warehouse_kinds import package_store, warehouse_store
from tests.sinks import servers

AT = datetime(2026, 1, 31, 12, 30, 15, 123456, UTC)

#: Of each type one column, among them names that databases are sensitive to.
COLUMNS = {
    "_cio_key": ColumnType.STRING,
    "name": ColumnType.STRING,
    "number": ColumnType.INTEGER,
    "metrics__score": ColumnType.NUMBER,
    "fooBar": ColumnType.BOOLEAN,
    "created": ColumnType.TIMESTAMP,
    "data": ColumnType.JSON,
    "_cio_deleted_at": ColumnType.TIMESTAMP,
}


class Place:
    """A dataset in a database: `open` makes one more store for it, as another process would have."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.through_dlt = kind.removesuffix("+dlt"), kind.endswith("+dlt")
        self.folder = folder
        self.dataset = servers.fresh()
        self.address = address(self.kind, folder)

    def open(self) -> SqlBackend:
        """A store that knows nothing yet, with an empty folder of its own."""
        make = package_store if self.through_dlt else warehouse_store
        store = make(self.address, self.dataset, self.folder / servers.fresh("working"))
        store.open()
        return store


def address(kind: str, folder: Path) -> Address:
    """Where a kind of database can be found."""
    if kind == "sqlite":
        return Address(schemes()[kind], str(folder / "copy.db"))
    if kind == "ducklake":
        return Address(schemes()[kind], str(folder / "lake.sqlite"), options={"catalog": "sqlite"})
    if kind == "mysql":
        return servers.mariadb().address("beginning")
    return servers.postgres().address(_shared_database())


@cache
def has_ducklake() -> bool:
    """Whether a DuckLake can be made here."""
    try:
        with duckdb.connect() as connection:
            connection.execute("LOAD ducklake; LOAD sqlite")
    except duckdb.Error:
        return False
    return True


def _shared_database(made: list[str] = []) -> str:  # noqa: B006 - made once
    if not made:
        made.append(servers.postgres_database(servers.postgres()))
    return made[0]


def shape(called: str = "things", /, *, key: str = "_cio_key", **columns: ColumnType) -> StoredTable:
    """A table with these columns, or with `COLUMNS`."""
    return StoredTable(
        called, tuple(Column(one, kind, "A made-up column.") for one, kind in (columns or COLUMNS).items()), key
    )


def row(key: str, **values: Any) -> dict[str, Any]:
    """A row of the usual table, with the same values for the same key."""
    usual = {
        "name": f"name of {key}",
        "number": 7,
        "metrics__score": 0.5,
        "fooBar": True,
        "created": AT,
        "data": '{"b": 1.00, "a": [null]}',
        "_cio_deleted_at": None,
    }
    return {"_cio_key": key, **usual, **values}


def edit(
    table: StoredTable, rows: Sequence[dict[str, Any]] = (), gone: Iterable[str | int] = (), *, batch: int = 1000
) -> ChangeSet:
    """An edit with these rows, in batches."""
    schema = schema_for(table.columns)
    batches = [pa.RecordBatch.from_pylist(list(rows[at : at + batch]), schema) for at in range(0, len(rows), batch)]
    kind = schema.field(table.key).type
    return ChangeSet(table, pa.RecordBatchReader.from_batches(schema, batches), len(rows), pa.array(list(gone), kind))


def rows_of(store: SqlBackend, table: StoredTable, *conditions: Any) -> list[dict[str, Any]]:
    """All columns of the rows for which the conditions hold, by key."""
    found = store.read(table, [column.name for column in table.columns], conditions).read_all().to_pylist()
    return sorted(found, key=lambda one: str(one[table.key]))


Opener = Callable[[], SqlBackend]
