"""Tables and backfill ranges as the user selects them: columns, names, redaction, times."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config import connection_options
from cio_replicate.config.column_rules import ColumnPath, ColumnRules, RedactionKind
from cio_replicate.config.table_options import AS_IS, RESERVED, Naming, SchemaChanges
from cio_replicate.schema.system_tables import KEY
from cio_replicate.schema.table import LONGEST_NAME, TAKEN, Column, ColumnType, Redaction, Table
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies import strategy_class

NO_RULES = ColumnRules()
_DONE = {RedactionKind.EXCLUDE: "excluded", RedactionKind.HASH: "hashed", RedactionKind.MASK: "masked"}

#: What a reader of people who changed needs from the copy as the API sends it, by table.
NEEDED_FOR_CHANGES = {
    "customers": ("cio_id", "id", "identifiers__email", "identifiers__id", "identifiers__cio_id"),
    "activities": ("type", "timestamp", "customer_id", "customer_identifiers__id", "customer_identifiers__cio_id"),
}


def chosen(
    table: Table,
    rules: ColumnRules = NO_RULES,
    naming: Naming = AS_IS,
    schema_changes: SchemaChanges = SchemaChanges.EVOLVE,
) -> Table:
    """The declared `table` by these rules: everything that reads, stages and loads it follows from what is returned.

    A column that is left out is `hidden`: it is not in the copy, and its values are taken out of records. One that is
    hashed or masked is text. A name given by `rename` is final, every other follows the naming rule. Without any rule
    the table is returned as it is. Raises InvalidSettings for rules that cannot be followed.
    """
    if rules == NO_RULES and naming == AS_IS:
        return table if schema_changes is table.schema_changes else replace(table, schema_changes=schema_changes)
    _require_possible(table, rules)
    wanted = None if rules.include is None else {*rules.include, *_needed(table)}
    out = {
        spot.column for spot, action in rules.actions.items() if action is RedactionKind.EXCLUDE and spot.key is None
    }
    included: list[Column] = []
    hidden: list[Column] = []
    for column in table.columns:
        gone = column.name in out or (wanted is not None and column.name not in wanted)
        (hidden if gone else included).append(column)
    names = {one.name: rules.renamed.get(one.name) or naming.column(one.name) for one in included}
    _require_names(table, names.values())
    texts = {
        spot.column
        for spot, action in rules.actions.items()
        if spot.key is None and action is not RedactionKind.EXCLUDE
    }
    return replace(
        table,
        columns=tuple(
            replace(one, name=names[one.name], type=ColumnType.STRING if one.name in texts else one.type)
            for one in included
        ),
        hidden=tuple(hidden),
        replication_key=names[table.replication_key] if table.replication_key else None,
        start_date_column=names[table.start_date_column] if table.start_date_column else None,
        partitioned_by=names[table.partitioned_by] if table.partitioned_by else None,
        person=names.get(table.person, table.person if table.person == KEY.name else None) if table.person else None,
        redaction=_redaction(table, rules, included if wanted is not None else None),
        naming=naming,
        schema_changes=schema_changes,
        rules=_fingerprint(rules, naming),
    )


def named(table: Table, naming: Naming) -> Table:
    """The declared `table` with the names that it and its columns have in the copy. Raises InvalidSettings."""
    return chosen(table, NO_RULES, naming)


def require_readable_changes(tables: Iterable[Table], rules: Mapping[str, ColumnRules]) -> None:
    """Raise InvalidSettings when rules take from the copy what ‹customers› changes finds changed people by.

    `tables` are the declared ones. Renaming is no obstacle. Everything else about `customers` and `activities` may be
    excluded, hashed and masked.
    """
    for table in tables:
        needed = NEEDED_FOR_CHANGES.get(table.name, ())
        one = rules.get(table.name, NO_RULES)
        for spot, action in one.actions.items():
            if spot.column in needed:
                raise InvalidSettings(
                    f"‹customers› changes finds people by {spot.column!r} of {table.name}, "
                    f"which is not to be {_DONE[action]}.",
                    "Choose ‹customers› full, or take back that rule of ‹columns›.",
                )
        lost = [name for name in needed if one.include is not None and name not in {*one.include, *_needed(table)}]
        if lost:
            raise InvalidSettings(
                f"‹customers› changes finds people by {lost[0]!r} of {table.name}, which is not included.",
                f"Choose ‹customers› full, or include {', '.join(lost)}.",
            )


def require_erasable(tables: Iterable[Table], rules: Mapping[str, ColumnRules]) -> None:
    """Raise InvalidSettings when rules keep rows about an erased person from being found; `tables` are declared ones.

    They are found by the person's `cio_id`, which each table must have, and in the same form.
    """
    forms: dict[str, RedactionKind | None] = {}
    for table in tables:
        one = rules.get(table.name, NO_RULES)
        name = table.key[0] if table.person == KEY.name else table.person
        if name is None:
            continue
        action = one.actions.get(ColumnPath(name))
        included = one.include is None or name in {*one.include, *_needed(table)}
        if action in (RedactionKind.EXCLUDE, RedactionKind.MASK) or not included:
            raise InvalidSettings(
                f"‹erase› finds rows by {name!r} of {table.name}, "
                f"which is {'not included' if action is None else _DONE[action]}.",
                "Keep that column, or hash it in every table.",
            )
        forms[f"{name} of {table.name}"] = action
    if len(set(forms.values())) > 1:
        hashed = ", ".join(name for name, action in forms.items() if action is RedactionKind.HASH)
        raise InvalidSettings(
            "‹erase› finds rows by people's cio_id, which is hashed in some tables only.",
            f"Hash it in all tables or in none; now it is hashed as {hashed}.",
        )


def _needed(table: Table) -> tuple[str, ...]:
    names = (*table.key, table.replication_key, table.start_date_column)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _require_possible(table: Table, rules: ColumnRules) -> None:
    times = {table.replication_key, table.start_date_column}
    for spot, action in rules.actions.items():
        done = _DONE[action]
        if spot.key is not None and spot.known and table.column(spot.column).type is not ColumnType.JSON:
            raise InvalidSettings(
                f"The column {spot.column} of {table.name} holds no objects that {spot.key!r} could be a key of.",
                "Name the whole column, or a key in a JSON column.",
            )
        if spot.column in table.key and action is not RedactionKind.HASH:
            raise InvalidSettings(
                f"The column {spot.column} is the key of {table.name} and cannot be {done}: "
                "rows could not be told apart.",
                "Hash it instead, which keeps them apart.",
            )
        if spot.column in times:
            raise InvalidSettings(
                f"The column {spot.column} of {table.name} cannot be {done}: its times tell what has been read.",
                "Take the column out of the rule; it may be renamed.",
            )
    _require_key_kept_secret(table, rules)


def _require_key_kept_secret(table: Table, rules: ColumnRules) -> None:
    """Raise InvalidSettings when a value that is not to be seen can be read in the key."""
    if any(rules.actions.get(ColumnPath(name)) is RedactionKind.HASH for name in table.key):
        return
    for name in table.key_holds:
        action = rules.actions.get(ColumnPath(name))
        left_out = rules.include is not None and rules.include.isdisjoint((name, *table.key))
        if action is not None or left_out:
            raise InvalidSettings(
                f"The column {name} of {table.name} is {_DONE[action] if action else 'not included'}, but the key "
                f"{table.key[0]} holds it too.",
                f"Hash the key as well, by ‹columns› {table.name}:hash={table.key[0]}.",
            )


def _require_names(table: Table, names: Iterable[str]) -> None:
    seen: set[str] = {TAKEN}
    for name in names:
        if name.casefold().startswith(RESERVED):
            raise InvalidSettings(
                f"A column of {table.name} would be called {name!r}, and {RESERVED} begins the program's own names.",
                "Choose another name or prefix.",
            )
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise InvalidSettings(
                f"A column of {table.name} cannot be called {name!r}.",
                f"Choose up to {LONGEST_NAME} characters that can be printed.",
            )
        if name.casefold() in seen:
            raise InvalidSettings(
                f"Two columns of {table.name} would be called {name!r} (upper and lower case count as the same).",
                "Choose another name.",
            )
        seen.add(name.casefold())


def _redaction(table: Table, rules: ColumnRules, only: Iterable[Column] | None) -> Redaction | None:
    if not rules.actions and only is None:
        return None
    actions: dict[tuple[str, ...], RedactionKind] = {}
    for spot, action in rules.actions.items():
        path = table.column(spot.column).path if spot.known else table.path_of(spot.column)
        actions[path if spot.key is None else (*path, spot.key)] = action
    paths = None if only is None else frozenset(column.path for column in only)
    return Redaction(actions, paths, rules.salt)


def _fingerprint(rules: ColumnRules, naming: Naming) -> str:
    """A text that differs for other rules, names or salt, and tells no more of the salt than a hashed value does."""
    parts = [repr((spot, action)) for spot, action in rules.actions.items()]
    parts += [repr(pair) for pair in rules.renamed.items()]
    parts += [f"include {name}" for name in (rules.include or ())]
    parts += [repr(naming)]
    if rules.salt is not None:
        parts.append(hmac.digest(rules.salt.reveal().encode(), b"salt", "sha256").hex())
    return hashlib.sha256("\n".join(sorted(parts)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class BackfillRange:
    """A stretch of time of a table, in unix seconds."""

    table: str
    begin: int
    end: int


def stretch(table: str, first: str, until: str | None, now: float) -> BackfillRange:
    """The stretch of time of a table to read once more, until now if nothing else. Raises InvalidSettings."""
    windowed = [one.name for one in TABLES if strategy_class(one).by_time]
    if table not in windowed:
        raise InvalidSettings(
            f"{table!r} cannot be read by time.",
            f"Name one that can: {', '.join(windowed)}; `resync` reads any other anew.",
        )
    begin = connection_options.start_date(first, now, "‹first›")
    end = int(now) if until is None else connection_options.start_date(until, now, "‹until›")
    if end < begin:
        raise InvalidSettings("‹until› lies before ‹first›.", "Turn them round.")
    return BackfillRange(table, begin, end)
