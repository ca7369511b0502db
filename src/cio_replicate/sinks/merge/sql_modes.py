"""The DuckDB statements of the modes *changes* and *history*, derived from the columns of a table."""

from __future__ import annotations

from collections.abc import Sequence

from cio_replicate.schema.system_tables import CHANGE_COLUMNS, EXTRA
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.merge.statements import KEY, NOT_COMPARED, json_name, literal, quoted

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
