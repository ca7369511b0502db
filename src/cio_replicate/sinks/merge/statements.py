"""DuckDB statements of a merge, for every write mode."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import duckdb
import msgspec

from cio_replicate.schema.system_tables import CHANGE_COLUMNS, DIGEST, EXTRA, SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import Condition, Operator

TYPES = {
    ColumnType.STRING: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.NUMBER: "DOUBLE",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
    ColumnType.JSON: "JSON",
}
Run = Callable[[str, Sequence[object]], duckdb.DuckDBPyConnection]
KINDS = {name: kind for kind, name in TYPES.items()}
KEY = "_cio_key"
NOT_COMPARED = frozenset({KEY, "_cio_synced_at", "_cio_deleted_at"})
NUL_WRITTEN = "\\u0000"  # how a NUL is written in a key, where no text can hold one
_ESCAPED = re.compile(r"\\\\|\\u0000")


def key_number(key: str = KEY) -> str:
    """The first 64 bits of the MD5 of a key; `md5_number_lower` takes the last ones, and thrice the time (measured)."""
    return f"('0x' || substr(md5({key}), 1, 16))::UBIGINT"


def key_sum() -> str:
    """The sum of such numbers; like a count, it grows and shrinks by what comes and goes."""
    return f"coalesce(sum({key_number()}), 0)"


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant."""
    return "'" + text.replace("'", "''") + "'"


def json_name(name: str) -> str:
    """A name as a JSON text."""
    return msgspec.json.encode(name).decode()


def create(target: str, columns: Sequence[Column], *, temporary: bool = False) -> list[str]:
    """The statements that make a table, each column with its explanation."""
    body = ", ".join(f"{quoted(column.name)} {TYPES[column.type]}" for column in columns)
    if temporary:
        return [f"CREATE OR REPLACE TEMP TABLE {target} ({body})"]
    return [f"CREATE TABLE {target} ({body})", *(explain(target, column) for column in columns)]


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


@dataclass(frozen=True, slots=True)
class ErasedColumns:
    """What is blank in rows about people who were erased: the condition for these rows, and the columns."""

    rows: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class StagedColumns:
    """What staged rows get besides their columns, in places that do not compare by themselves.

    `digest`: the digest of their content. `without_nul`: texts without the character NUL, with the whole text in
    `_cio_extra`. `aside`: columns that the place cannot have, whose values go there too. `wanted_only`: only rows whose
    key is in the table `wanted`. `blanked`, everywhere: what is left out.
    """

    digest: bool = False
    without_nul: bool = False
    aside: tuple[Column, ...] = ()
    wanted_only: bool = False
    blanked: ErasedColumns | None = None


AS_IT_IS = StagedColumns()


def key_of(staging: StagedColumns) -> str:
    """The key of a landed row as it is stored."""
    if not staging.without_nul:
        return KEY
    escaped = f"replace(replace({KEY}, '\\', '\\\\'), chr(0), '{NUL_WRITTEN}')"
    return f"CASE WHEN contains({KEY}, chr(0)) OR contains({KEY}, '{NUL_WRITTEN}') THEN {escaped} ELSE {KEY} END"


def stored_key(key: str) -> str:
    """A key as `key_of` writes it where no text can hold NUL: no two keys are written alike."""
    if "\0" not in key and NUL_WRITTEN not in key:
        return key
    return key.replace("\\", "\\\\").replace("\0", NUL_WRITTEN)


def given_key(stored: str) -> str:
    """The key that `stored_key` wrote."""
    if NUL_WRITTEN not in stored:
        return stored
    return _ESCAPED.sub(lambda found: "\\" if found[0] == "\\\\" else "\0", stored)


def keys(paths: Sequence[str], staging: StagedColumns = AS_IT_IS) -> str:
    """Set down the keys of the rows in the pages, as `staged_keys`; rows only seen have no part in it."""
    semi = f" SEMI JOIN wanted USING ({KEY})" if staging.wanted_only else ""
    landed = f"SELECT {key_of(staging)} AS {KEY} FROM {files(paths)} WHERE NOT _cio_seen_only"
    return f"CREATE TEMP TABLE staged_keys AS SELECT {KEY} FROM ({landed}){semi}"


COUNT_KEYS = f"SELECT count(*), count(DISTINCT {KEY}) FROM staged_keys"


def different_keys(*, repeats: bool) -> str:
    """The different keys that are staged, as the view `different`; to make keys different costs, where they are not."""
    return f"CREATE TEMP VIEW different AS SELECT {'DISTINCT ' if repeats else ''}{KEY} FROM staged_keys"


def stale(paths: Sequence[str], staging: StagedColumns = AS_IT_IS) -> str:
    """Set down, as `stale`, where the rows stand whose key comes again later in the pages."""
    order = ", ".join(f"({literal(path)}, {number})" for number, path in enumerate(paths))
    return (
        f"CREATE TEMP TABLE stale AS SELECT _cio_file, file_row_number "
        f"FROM {files(paths)} JOIN (VALUES {order}) AS landed(_cio_name, _cio_number) ON _cio_file = _cio_name "
        f"WHERE NOT _cio_seen_only "
        f"QUALIFY row_number() OVER (PARTITION BY {key_of(staging)} "
        f"ORDER BY _cio_number DESC, file_row_number DESC) > 1"
    )


def stage(
    columns: Sequence[Column],
    present: frozenset[str],
    paths: Sequence[str],
    *,
    repeats: bool,
    staging: StagedColumns = AS_IT_IS,
) -> str:
    """The newest row of each key in the pages, in the types of the table, as the view `staged`.

    `present` are the pages' own columns. With `repeats` the rows in `stale` are left out. It is a view, since most
    statements need one column of it, and a copy of all costs as much as the rest of a merge (measured).
    """
    chosen = [
        f"CAST({quoted(c.name) if c.name in present else 'NULL'} AS {TYPES[c.type]}) AS {quoted(c.name)}"
        for c in (*columns, *staging.aside, *SYSTEM_COLUMNS)
        if c.name != "_cio_deleted_at"
    ]
    newest = "ANTI JOIN stale USING (_cio_file, file_row_number) " if repeats else ""
    rows = (
        f"SELECT {', '.join(chosen)}, NULL::TIMESTAMPTZ AS _cio_deleted_at "
        f"FROM {files(paths)} {newest}WHERE NOT _cio_seen_only"
    )
    if staging.without_nul or staging.aside:
        left_out = f"EXCLUDE ({', '.join(quoted(c.name) for c in staging.aside)}) " if staging.aside else ""
        rows = f"SELECT * {left_out}REPLACE ({', '.join(_as_it_can_be(columns, staging))}) FROM ({rows})"
    if staging.blanked is not None:
        told = f"SELECT *, coalesce({staging.blanked.rows}, false) AS _cio_is_blank FROM ({rows})"
        rows = f"SELECT * EXCLUDE (_cio_is_blank) REPLACE ({', '.join(_blank(staging.blanked, columns))}) FROM ({told})"
    if staging.wanted_only:
        rows = f"SELECT * FROM ({rows}) SEMI JOIN wanted USING ({KEY})"
    if staging.digest:
        rows = f"SELECT *, {digest(columns)} AS _cio_digest FROM ({rows})"
    return f"CREATE OR REPLACE TEMP VIEW staged AS {rows}"


def _as_it_can_be(columns: Sequence[Column], staging: StagedColumns) -> list[str]:
    """The replacements that take out of a row what its place cannot hold, and keep that in `_cio_extra`, by column."""
    texts = [c.name for c in columns if c.type is ColumnType.STRING] if staging.without_nul else []
    cases = [(name, f"contains({quoted(name)}, chr(0))") for name in texts]
    cases += [(column.name, f"{quoted(column.name)} IS NOT NULL") for column in staging.aside]
    clean = [f"replace({quoted(name)}, chr(0), '') AS {quoted(name)}" for name in texts]
    clean.append(f"{key_of(staging)} AS {KEY}")
    if not cases:
        return clean
    kept = [
        f"CASE WHEN {case} THEN {literal(json_name(name) + ':')} || to_json({quoted(name)})::VARCHAR END"
        for name, case in cases
    ]
    some = f"concat_ws(',', {', '.join(kept)})"
    rest = "CASE WHEN _cio_extra IS NULL THEN '}' ELSE ',' || substr(_cio_extra::VARCHAR, 2) END"
    clean.append(f"CASE WHEN {some} = '' THEN _cio_extra ELSE ('{{' || {some} || {rest})::JSON END AS _cio_extra")
    return clean


def _blank(blanked: ErasedColumns, columns: Sequence[Column]) -> list[str]:
    """The replacements that leave columns empty in rows that are to be blank."""
    names = [column.name for column in (*columns, EXTRA) if column.name in blanked.names]
    return [f"CASE WHEN _cio_is_blank THEN NULL ELSE {quoted(name)} END AS {quoted(name)}" for name in names]


def digest(columns: Sequence[Column]) -> str:
    """The digest of a row: of all values that are not null, each with its column's name and its length.

    A column that is added later and holds null leaves it as it was.
    """
    parts = []
    for column in (*columns, EXTRA):
        name = quoted(column.name)
        text = f"epoch_us({name})::VARCHAR" if column.type is ColumnType.TIMESTAMP else f"{name}::VARCHAR"
        parts.append(f"{literal(column.name + '=')} || length({text}) || ':' || {text}")
    return f"md5(concat_ws(',', {', '.join(parts)}))"


def found(target: str, live: str, *, versions: bool) -> str:
    """How many of the different keys the table has, how many of them in a live row, and the sum of all others.

    The sum is made of those that are not live only, since to add one up costs as much as to look it up (measured).
    """
    rows = f"SELECT {KEY}, {live} AS _cio_live FROM {target}"
    if versions:
        rows = f"SELECT {KEY}, bool_or(_cio_live) AS _cio_live FROM ({rows}) GROUP BY {KEY}"
    return (
        f"SELECT count(t.{KEY}), count(*) FILTER (WHERE t._cio_live), "
        f"coalesce(sum(CASE WHEN t._cio_live THEN 0 ELSE {key_number('s.' + KEY)} END), 0) "
        f"FROM different AS s LEFT JOIN ({rows}) AS t ON t.{KEY} = s.{KEY}"
    )


def changed(target: str, columns: Sequence[Column], *, digest_too: bool = False, current_only: bool = False) -> str:
    """Set down, as `changed`, the staged rows that differ from the table's row of their key, or come back."""
    differs = " OR ".join(
        [
            f"t.{quoted(column.name)} IS DISTINCT FROM s.{quoted(column.name)}"
            for column in (*columns, *SYSTEM_COLUMNS, *((DIGEST,) if digest_too else ()))
            if column.name not in NOT_COMPARED
        ]
        + ["t._cio_deleted_at IS NOT NULL"]
    )
    current = "t._cio_is_current AND " if current_only else ""
    return (
        f"CREATE TEMP TABLE changed AS SELECT s.* FROM staged AS s JOIN {target} AS t ON t.{KEY} = s.{KEY} "
        f"WHERE {current}({differs})"
    )


def update(target: str, names: Sequence[str]) -> str:
    """Give these columns of the rows of `changed` to the table; returns how many rows that were."""
    sets = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in names if name != KEY)
    return f"UPDATE {target} AS t SET {sets} FROM changed AS s WHERE t.{KEY} = s.{KEY}"


def insert(target: str, names: Sequence[str], *, some_found: bool) -> str:
    """Add the staged rows whose key the table lacks, which is all of them unless `some_found`; returns how many."""
    listed = ", ".join(map(quoted, names))
    new = f" ANTI JOIN (SELECT {KEY} FROM {target}) USING ({KEY})" if some_found else ""
    return f"INSERT INTO {target} ({listed}) SELECT {listed} FROM staged{new}"


_CONDITIONS = {
    Operator.IN: "{} IN (SELECT unnest(?::VARCHAR[]))",
    Operator.AT_LEAST: "{} >= ?",
    Operator.AT_MOST: "{} <= ?",
    Operator.NULL: "{} IS NULL",
    Operator.TRUE: "{}",
}


def select(target: str, chosen: str, conditions: Sequence[Condition]) -> str:
    """Select from the rows that meet all conditions. Parameters: the values of the conditions that have one."""
    where = [_CONDITIONS[one.comparison].format(quoted(one.column)) for one in conditions]
    return f"SELECT {chosen} FROM {target} WHERE {' AND '.join(where or ['true'])}"


def live_rows(there: Iterable[str]) -> str:
    """The condition for a row that holds, in a table with these columns."""
    return "_cio_is_current" if "_cio_is_current" in there else "_cio_deleted_at IS NULL"


def gone(live: str, paths: Sequence[str], key: str = KEY) -> str:
    """Set down, as `gone`, the keys of the live rows (a query) that none of the pages has."""
    seen = f"(SELECT {key} AS {KEY} FROM {files(paths)})" if paths else f"(SELECT NULL::VARCHAR AS {KEY} WHERE false)"
    return f"CREATE OR REPLACE TEMP TABLE gone AS SELECT {KEY} FROM ({live}) AS t ANTI JOIN {seen} AS s USING ({KEY})"


def known_gone(live: str) -> str:
    """Set down, as `gone`, those keys of the live rows (a query) that are in a list, which is the parameter."""
    return (
        f"CREATE OR REPLACE TEMP TABLE gone AS SELECT {KEY} FROM ({live}) AS t "
        f"WHERE {KEY} IN (SELECT unnest(?::VARCHAR[]))"
    )


def all_seen(paths: Sequence[str], key: str = KEY) -> str:
    """How many different keys the pages have, their sum, and of how many there is no row: it is only seen."""
    if not paths:
        return "SELECT 0, 0, 0"
    return (
        f"SELECT count(*), {key_sum()}, count(*) FILTER (WHERE no_row) FROM "
        f"(SELECT {key} AS {KEY}, bool_and(_cio_seen_only) AS no_row FROM {files(paths)} GROUP BY 1)"
    )


COUNT_GONE = f"SELECT count(*), {key_sum()} FROM gone"


def mark_gone(target: str) -> str:
    """Mark the rows of the keys in `gone` as deleted. Parameter: the moment, in unix seconds."""
    return (
        f"UPDATE {target} AS t SET _cio_deleted_at = to_timestamp(?) FROM gone AS s "
        f"WHERE t.{KEY} = s.{KEY} AND t._cio_deleted_at IS NULL"
    )


def remove_gone(target: str) -> str:
    """Remove the rows of the keys in `gone`, and those that an earlier mode has left marked as deleted."""
    return f"DELETE FROM {target} WHERE _cio_deleted_at IS NOT NULL OR {KEY} IN (SELECT {KEY} FROM gone)"


# The DuckDB statements of the modes *changes* and *history*, derived from the columns of a table.


#: So many changes of one commit have a sequence number of their own.
ROOM = 100_000_000


def note_updates(target: str, changes: str, columns: Sequence[Column], names: Sequence[str]) -> str:
    """Note the rows of `changed`, with what the table still holds of them; returns how many.

    Parameters: the number before the first, and the run.
    """
    return _note(
        changes,
        names,
        f"SELECT row_number() OVER (ORDER BY s.{KEY}) + ?, "
        "CASE WHEN t._cio_deleted_at IS NULL THEN 'update' ELSE 'insert' END, s._cio_synced_at, ?, "
        f"CASE WHEN t._cio_deleted_at IS NULL THEN {_before(columns)} END, {_listed(names, 's')} "
        f"FROM changed AS s JOIN {target} AS t ON t.{KEY} = s.{KEY}",
    )


def note_inserts(target: str, changes: str, names: Sequence[str], *, some_found: bool) -> str:
    """Note the staged rows whose key the table lacks; returns how many. Parameters as above."""
    new = f" ANTI JOIN (SELECT {KEY} FROM {target}) USING ({KEY})" if some_found else ""
    return _note(
        changes,
        names,
        f"SELECT row_number() OVER (ORDER BY {KEY}) + ?, 'insert', _cio_synced_at, ?, NULL, "
        f"{_listed(names, 's')} FROM staged AS s{new}",
    )


def note_deletes(target: str, changes: str, names: Sequence[str]) -> str:
    """Note the rows of the keys in `gone`, as they were; returns how many.

    Parameters: the number before the first, the moment in unix seconds, the run, and the moment again.
    """
    values = ", ".join("to_timestamp(?)" if name == "_cio_deleted_at" else f"t.{quoted(name)}" for name in names)
    return _note(
        changes,
        names,
        f"SELECT row_number() OVER (ORDER BY t.{KEY}) + ?, 'delete', to_timestamp(?), ?, NULL, {values} "
        f"FROM {target} AS t SEMI JOIN gone USING ({KEY}) WHERE t._cio_deleted_at IS NULL",
    )


def _note(changes: str, names: Sequence[str], rows: str) -> str:
    own = [column.name for column in CHANGE_COLUMNS]
    return f"INSERT INTO {changes} ({', '.join(map(quoted, [*own, *names]))}) {rows}"


def _listed(names: Sequence[str], alias: str) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name in names)


def _before(columns: Sequence[Column]) -> str:
    """The old values of the columns that differ, as one JSON object."""
    parts = []
    for column in (*columns, EXTRA):
        if column.name in NOT_COMPARED:
            continue
        name = quoted(column.name)
        value = f"t.{name}"
        if column.type is ColumnType.TIMESTAMP:  # text in UTC, without the need to know time zones
            value = f"(replace(make_timestamp(epoch_us({value}))::VARCHAR, ' ', 'T') || 'Z')"
        text = f"coalesce(to_json({value})::VARCHAR, 'null')"
        parts.append(
            f"CASE WHEN t.{name} IS DISTINCT FROM s.{name} THEN {literal(json_name(column.name) + ':')} || {text} END"
        )
    return f"('{{' || concat_ws(',', {', '.join(parts)}) || '}}')::JSON"


def end_versions(target: str) -> str:
    """End the current versions of the keys in `changed`; returns how many."""
    return (
        f"UPDATE {target} AS t SET _cio_valid_to = s._cio_synced_at, _cio_is_current = false FROM changed AS s "
        f"WHERE t.{KEY} = s.{KEY} AND t._cio_is_current"
    )


def begin_versions(target: str, names: Sequence[str], source: str) -> str:
    """Add the rows of `source` whose key has no current version, as one; returns how many. Parameter: the commit."""
    own = "_cio_version, _cio_valid_from, _cio_valid_to, _cio_is_current"
    return (
        f"INSERT INTO {target} ({', '.join(map(quoted, names))}, {own}) SELECT {_listed(names, 's')}, "
        f"s.{KEY} || '@' || ?::VARCHAR, s._cio_synced_at, NULL, true FROM {source} AS s "
        f"ANTI JOIN (SELECT {KEY} FROM {target} WHERE _cio_is_current) USING ({KEY})"
    )


def end_gone(target: str) -> str:
    """End the current versions of the keys in `gone`. Parameters: the moment in unix seconds, twice."""
    return (
        f"UPDATE {target} AS t SET _cio_valid_to = to_timestamp(?), _cio_is_current = false, "
        f"_cio_deleted_at = to_timestamp(?) FROM gone AS s WHERE t.{KEY} = s.{KEY} AND t._cio_is_current"
    )


def first_versions(target: str) -> str:
    """Make each row of a table without versions the first version of its key."""
    return (
        f"UPDATE {target} SET _cio_version = {KEY} || '@0', _cio_valid_from = _cio_synced_at, "
        "_cio_valid_to = _cio_deleted_at, _cio_is_current = _cio_deleted_at IS NULL"
    )


def no_versions(target: str) -> str:
    """Take from each row of a table, which has one per key, what makes it a version."""
    return (
        f"UPDATE {target} SET _cio_version = NULL, _cio_valid_from = NULL, _cio_valid_to = NULL, _cio_is_current = NULL"
    )


def count_ended(target: str) -> str:
    """How many versions are not the last of their key: what a table without versions cannot hold."""
    return f"SELECT count(*) - count(DISTINCT {KEY}) FROM {target}"
