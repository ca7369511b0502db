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


def keys(paths: Sequence[str]) -> str:
    """Set down the keys of the rows in the pages, as `staged_keys`; rows only seen have no part in it."""
    return f"CREATE TEMP TABLE staged_keys AS SELECT {KEY} FROM {files(paths)} WHERE NOT _cio_seen_only"


COUNT_KEYS = f"SELECT count(*), count(DISTINCT {KEY}) FROM staged_keys"


def stale(paths: Sequence[str]) -> str:
    """Set down, as `stale`, where the rows stand whose key comes again later in the pages."""
    order = ", ".join(f"({literal(path)}, {number})" for number, path in enumerate(paths))
    return (
        f"CREATE TEMP TABLE stale AS SELECT _cio_file, file_row_number "
        f"FROM {files(paths)} JOIN (VALUES {order}) AS landed(_cio_name, _cio_number) ON _cio_file = _cio_name "
        f"WHERE NOT _cio_seen_only "
        f"QUALIFY row_number() OVER (PARTITION BY {KEY} ORDER BY _cio_number DESC, file_row_number DESC) > 1"
    )


def stage(columns: Sequence[Column], present: frozenset[str], paths: Sequence[str], *, repeats: bool) -> str:
    """The newest row of each key in the pages, in the types of the table, as the view `staged`.

    `present` are the pages' own columns. With `repeats` the rows in `stale` are left out. It is a view, since most
    statements need one column of it, and a copy of all costs as much as the rest of a merge (measured).
    """
    chosen = [
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {TYPES[c.type]}) AS {quoted(c.name)}"
        for c in (*columns, *SYSTEM_COLUMNS)
        if c.name != "_cio_deleted_at"
    ]
    newest = "ANTI JOIN stale USING (_cio_file, file_row_number) " if repeats else ""
    return (
        f"CREATE OR REPLACE TEMP VIEW staged AS SELECT {', '.join(chosen)}, NULL::TIMESTAMPTZ AS _cio_deleted_at "
        f"FROM {files(paths)} {newest}WHERE NOT _cio_seen_only"
    )


def found(target: str) -> str:
    """How many of the staged keys the table has."""
    return f"SELECT count(DISTINCT {KEY}) FROM staged_keys WHERE {KEY} IN (SELECT {KEY} FROM {target})"


def changed(target: str, columns: Sequence[Column]) -> str:
    """Set down, as `changed`, the staged rows that differ from the table's row of their key, or come back."""
    differs = " OR ".join(
        [
            f"t.{quoted(column.name)} IS DISTINCT FROM s.{quoted(column.name)}"
            for column in (*columns, *SYSTEM_COLUMNS)
            if column.name not in NOT_COMPARED
        ]
        + ["t._cio_deleted_at IS NOT NULL"]
    )
    return (
        f"CREATE TEMP TABLE changed AS SELECT s.* FROM staged AS s JOIN {target} AS t ON t.{KEY} = s.{KEY} "
        f"WHERE {differs}"
    )


def update(target: str, columns: Sequence[Column]) -> str:
    """Give the rows of `changed` to the table; returns how many that were."""
    names = [column.name for column in (*columns, *SYSTEM_COLUMNS) if column.name != KEY]
    sets = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in names)
    return f"UPDATE {target} AS t SET {sets} FROM changed AS s WHERE t.{KEY} = s.{KEY}"


def insert(target: str, columns: Sequence[Column], *, some_found: bool) -> str:
    """Add the staged rows whose key the table lacks, which is all of them unless `some_found`; returns how many."""
    names = ", ".join(quoted(column.name) for column in (*columns, *SYSTEM_COLUMNS))
    new = f" ANTI JOIN (SELECT {KEY} FROM {target}) USING ({KEY})" if some_found else ""
    return f"INSERT INTO {target} ({names}) SELECT {names} FROM staged{new}"


def find(
    target: str,
    columns: Sequence[str],
    there: Mapping[str, str],
    *,
    by_key: bool,
    by_time: bool,
    after: str | None,
    live: bool,
) -> str:
    """Look rows up.

    Parameters: the list of keys if `by_key`, then in unix seconds the moment if `by_time` and that of the column
    `after` if there is one.
    """
    chosen = [quoted(name) if name in there else "NULL" for name in columns]
    conditions = [
        *([f"{KEY} IN (SELECT unnest(?::VARCHAR[]))"] if by_key else ()),
        *(["_cio_synced_at >= to_timestamp(?)"] if by_time else ()),
        *([f"{quoted(after)} >= to_timestamp(?)"] if after is not None else ()),
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
