"""The DuckDB statements of a merge, derived from the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cio_replicate.tables.declare import Column, ColumnType
from cio_replicate.tables.system import SYSTEM_COLUMNS

TYPES = {
    ColumnType.STRING: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    ColumnType.JSON: "JSON",
}
KINDS = {name: kind for kind, name in TYPES.items()}
KEY = "_cio_key"
NOT_COMPARED = frozenset({KEY, "_cio_synced_at", "_cio_deleted_at"})


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant."""
    return "'" + text.replace("'", "''") + "'"


def create(target: str, columns: Sequence[Column]) -> list[str]:
    """The statements that make a table, each column with its explanation."""
    every = [*columns, *SYSTEM_COLUMNS]
    body = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in every)
    return [f"CREATE TABLE {target} ({body})", *(explain(target, column) for column in every)]


def add(target: str, column: Column) -> list[str]:
    """The statements that add a column to a table, with its explanation."""
    return [f"ALTER TABLE {target} ADD COLUMN {quoted(column.name)} {TYPES[column.type]}", explain(target, column)]


def explain(target: str, column: Column) -> str:
    """The statement that says what a column means."""
    return f"COMMENT ON COLUMN {target}.{quoted(column.name)} IS {literal(column.about)}"


def files(paths: Iterable[str]) -> str:
    """A scan of landed pages that also tells from which page and row each record comes.

    A folder called `id=7` on the way to a page is no partition, whose value would replace that of the column.
    """
    listed = ", ".join(literal(path) for path in paths)
    options = "union_by_name = true, filename = '_cio_file', file_row_number = true, hive_partitioning = false"
    return f"read_parquet([{listed}], {options})"


def stage(columns: Sequence[Column], present: frozenset[str], paths: Sequence[str]) -> str:
    """The newest row of each key in the pages, in the types of the table. `present` are the pages' own columns."""
    order = ", ".join(f"({literal(path)}, {number})" for number, path in enumerate(paths))
    chosen = [
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {TYPES[c.type]}) AS {quoted(c.name)}"
        for c in (*columns, *SYSTEM_COLUMNS)
        if c.name != "_cio_deleted_at"
    ]
    return (
        f"CREATE OR REPLACE TEMP TABLE staged AS SELECT {', '.join(chosen)}, NULL::TIMESTAMPTZ AS _cio_deleted_at "
        f"FROM {files(paths)} JOIN (VALUES {order}) AS landed(_cio_name, _cio_number) ON _cio_file = _cio_name "
        f"WHERE NOT _cio_seen_only "
        f"QUALIFY row_number() OVER (PARTITION BY {KEY} ORDER BY _cio_number DESC, file_row_number DESC) = 1"
    )


def merge(target: str, columns: Sequence[Column]) -> str:
    """Insert rows with a new key, update those that differ or come back; returns how many rows that were."""
    names = [column.name for column in (*columns, *SYSTEM_COLUMNS)]
    differs = " OR ".join(
        [f"t.{quoted(n)} IS DISTINCT FROM s.{quoted(n)}" for n in names if n not in NOT_COMPARED]
        + ["t._cio_deleted_at IS NOT NULL"]
    )
    sets = ", ".join(f"{quoted(n)} = s.{quoted(n)}" for n in names if n != KEY)
    return (
        f"MERGE INTO {target} AS t USING staged AS s ON t.{KEY} = s.{KEY} "
        f"WHEN MATCHED AND ({differs}) THEN UPDATE SET {sets} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(map(quoted, names))}) "
        f"VALUES ({', '.join(f's.{quoted(n)}' for n in names)})"
    )


def find(
    target: str, columns: Sequence[str], there: Mapping[str, str], *, by_key: bool, by_time: bool, live: bool
) -> str:
    """Look rows up. Parameters: the list of keys if `by_key`, then the moment in unix seconds if `by_time`."""
    chosen = [quoted(name) if name in there else "NULL" for name in columns]
    conditions = [
        *([f"{KEY} IN (SELECT unnest(?::VARCHAR[]))"] if by_key else ()),
        *(["_cio_synced_at >= to_timestamp(?)"] if by_time else ()),
        *(["_cio_deleted_at IS NULL"] if live else ()),
    ]
    return f"SELECT {', '.join(chosen)} FROM {target} WHERE {' AND '.join(conditions or ['true'])}"


def count_between(target: str, column: str) -> str:
    """Count the rows that exist by a moment. Parameters: the first and the last unix second that belong."""
    return (
        f"SELECT count(*) FROM {target} WHERE _cio_deleted_at IS NULL "
        f"AND {quoted(column)} >= to_timestamp(?) AND {quoted(column)} <= to_timestamp(?)"
    )


def delete_unseen(target: str, paths: Sequence[str]) -> str:
    """Mark as deleted what none of the pages has. Parameter: the moment, in unix seconds."""
    seen = f"(SELECT {KEY} FROM {files(paths)})" if paths else f"(SELECT NULL::VARCHAR AS {KEY} WHERE false)"
    return (
        f"UPDATE {target} AS t SET _cio_deleted_at = to_timestamp(?) WHERE _cio_deleted_at IS NULL "
        f"AND NOT EXISTS (SELECT 1 FROM {seen} AS s WHERE s.{KEY} = t.{KEY})"
    )
