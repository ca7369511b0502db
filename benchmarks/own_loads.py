"""The bulk load that each engine itself offers for an Arrow table: what a destination's speed is held against."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.places import Place

TABLE = "own_load"


def into_duckdb(place: Place, rows: pa.Table) -> None:
    """INSERT from Arrow, into a file."""
    with duckdb.connect(str(place.folder / "own.duckdb")) as connection:
        connection.register("given", rows)
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM given")


def into_postgresql(place: Place, rows: pa.Table) -> None:
    """ADBC's ingest, which is COPY in its binary form."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - slow to import

    with dbapi.connect(place.uri) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(TABLE, rows, mode="create")
        connection.commit()


def into_sqlite(place: Place, rows: pa.Table) -> None:
    """One transaction of prepared inserts."""
    names = rows.column_names
    with sqlite3.connect(place.folder / "own.db") as connection:
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(json.dumps(name) for name in names)})")
        marks = ", ".join("?" for _ in names)
        for batch in rows.to_batches(20_000):
            values = zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True)
            connection.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", values)


def into_mysql(place: Place, rows: pa.Table) -> None:
    """One transaction of inserts of many rows each."""
    import pymysql  # noqa: PLC0415 - an extra

    types = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
    fields = ", ".join(f"`{field.name}` {types.get(field.type, 'LONGTEXT')}" for field in rows.schema)
    marks = ", ".join("%s" for _ in rows.column_names)
    login = {"host": "127.0.0.1", "port": place.port, "user": place.user, "password": place.password}
    with pymysql.connect(**login, database=place.database, charset="utf8mb4") as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
            cursor.execute(f"CREATE TABLE {TABLE} ({fields}) CHARACTER SET utf8mb4")
            for batch in rows.to_batches(5_000):
                values = list(zip(*(_plain(column).to_pylist() for column in batch.columns), strict=True))
                cursor.executemany(f"INSERT INTO {TABLE} VALUES ({marks})", values)
        connection.commit()


def into_parquet(place: Place, rows: pa.Table) -> None:
    """One file."""
    pq.write_table(rows, place.folder / "own.parquet", compression="zstd")


def into_delta(place: Place, rows: pa.Table) -> None:
    """Deltalake's own writer."""
    from deltalake import write_deltalake  # noqa: PLC0415 - an extra

    write_deltalake(str(place.folder / "own-delta"), rows)


def into_iceberg(place: Place, rows: pa.Table) -> None:
    """Pyiceberg's append, with a catalog in a file."""
    from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415 - an extra

    warehouse = place.folder / "own-iceberg"
    warehouse.mkdir()
    catalog = SqlCatalog("own", uri=f"sqlite:///{warehouse / 'catalog.db'}", warehouse=f"file://{warehouse}")
    catalog.create_namespace("own")
    catalog.create_table(f"own.{TABLE}", schema=rows.schema).append(rows)


def _plain(column: pa.Array) -> pa.Array:
    """A column in a type that a driver takes: moments as whole microseconds."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


OWN: dict[str, Callable[[Place, pa.Table], None]] = {
    "duckdb": into_duckdb,
    "postgresql": into_postgresql,
    "sqlite": into_sqlite,
    "mysql": into_mysql,
    "parquet": into_parquet,
    "delta": into_delta,
    "iceberg": into_iceberg,
}
