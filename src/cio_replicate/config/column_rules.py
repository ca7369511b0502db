"""What `--columns` says of the columns of each table, parsed and checked against the names there are.

A rule is written `TABLE:ACTION=NAMES`, names separated by commas; the option may be given any number of times:

    customers:exclude=devices,timestamps         never written anywhere
    customers:hash=identifiers__email,attributes.email
    customers:mask=attributes.phone
    messages:include=id,created,type             only these
    messages:rename=created:sent_at              another name in the copy
    *:exclude=tags                               in all tables that have the column

What follows the first dot of a name is a key in the objects of a JSON column, or in the objects of its arrays; it may
hold any characters, dots included. A backslash takes a comma, a colon or a space at an end as part of a name. `+name`
is a field that Customer.io sends though its documentation does not know it. A rule concerns the column that it names
and no other: people's identifiers also stand in columns of other names and in other tables (`customers.attributes`,
`messages.recipient`, `activities.data`), and a `deduplicate_id` begins with the row's id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.config.table_options import RESERVED

EVERY = "*"
UNDOCUMENTED = "+"
FORM = "Write it as TABLE:ACTION=NAMES, such as customers:exclude=devices,timestamps."
SHORTEST_SALT = 16
_NAME = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_COLON = re.compile(r"((?:\\.|[^\\:])*):(.*)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_STRIP = re.compile(r"\s*((?:\\.|[^\\])*?)\s*", re.DOTALL)


class RedactionKind(StrEnum):
    """What is done to the values of a column."""

    EXCLUDE = "exclude"
    HASH = "hash"
    MASK = "mask"


INCLUDE, RENAME = "include", "rename"
ACTIONS = (INCLUDE, *RedactionKind, RENAME)
_DONE = {
    RedactionKind.EXCLUDE: "excluded",
    RedactionKind.HASH: "hashed",
    RedactionKind.MASK: "masked",
    INCLUDE: "included",
}


@dataclass(frozen=True, slots=True)
class ColumnPath:
    """What a rule concerns: a column, or with `key` only that key of its objects; `known` unless written with a `+`."""

    column: str
    key: str | None = None
    known: bool = True

    def __str__(self) -> str:
        name = self.column if self.key is None else f"{self.column}.{self.key}"
        return name if self.known else UNDOCUMENTED + name


@dataclass(slots=True)
class ColumnRules:
    """The rules of one table. `include`: the only columns wanted; None for all. `salt` is there if any are hashed."""

    include: set[str] | None = None
    actions: dict[ColumnPath, RedactionKind] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    salt: Secret | None = None


def column_rules(
    texts: Sequence[str], salt: Secret | None, columns: Mapping[str, Sequence[str]]
) -> dict[str, ColumnRules]:
    """The rules by table, of the tables that have any; `columns` are the names of all columns by table.

    Raises InvalidSettings for what cannot be read, for names that are not there, for rules that contradict one another,
    and for hashing without a salt, or with one that is short enough to be guessed.
    """
    rules: dict[str, ColumnRules] = {}
    for text in texts:
        table, action, names = _read(text)
        if table != EVERY and table not in columns:
            raise InvalidSettings(f"There is no table {table!r} (‹columns›).", _instead(table, columns, "table"))
        if table == EVERY and action == INCLUDE:
            raise InvalidSettings("‹columns› *:include would empty most tables.", "Name the table before the colon.")
        for name in names:
            for one, spot, other in _meant(table, action, name, columns):
                _add(rules.setdefault(one, ColumnRules()), one, action, spot, other)
    for table, its in rules.items():
        _agree(table, its)
        if RedactionKind.HASH in its.actions.values():
            its.salt = _usable(salt)
    return rules


def _read(text: str) -> tuple[str, str, list[str]]:
    head, equals, listed = text.partition("=")
    table, colon, action = (part.strip() for part in head.partition(":"))
    if not (equals and colon and table):
        raise InvalidSettings(f"‹columns› {text!r} is no rule.", FORM)
    if action not in ACTIONS:
        raise InvalidSettings(f"‹columns› {text!r} names no action.", f"Choose from: {', '.join(ACTIONS)}.")
    names = [name for name in _NAME.findall(listed) if name.strip()]
    if not names:
        raise InvalidSettings(f"‹columns› {text!r} names no column.", FORM)
    return table, action, names


def _meant(
    table: str, action: str, written: str, columns: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, ColumnPath, str]]:
    """The tables, the place in each and the new name that one name of a rule stands for."""
    new = ""
    if action == RENAME:
        both = _COLON.fullmatch(written)
        if both is None or not both[2].strip():
            raise InvalidSettings(
                f"‹columns› {f'{table}:rename={written}'!r} names no new name.", "Write it as old:new."
            )
        written, new = both[1], _plain(both[2])
    spot = _spot(written)
    if spot.column.casefold().startswith(RESERVED):
        raise InvalidSettings(
            f"The column {spot.column!r} is one of the program's own (‹columns›).", "Leave it out of the rules."
        )
    if (spot.key is not None or not spot.known) and action in (INCLUDE, RENAME):
        raise InvalidSettings(f"‹columns› cannot {action} {str(spot)!r}.", f"Name a column as it stands in {table}.")
    found = [one for one in (columns if table == EVERY else [table]) if not spot.known or spot.column in columns[one]]
    if not found:
        every = {name for names in columns.values() for name in names}
        where = "any table" if table == EVERY else table
        known = every if table == EVERY else columns[table]
        raise InvalidSettings(
            f"There is no column {spot.column!r} in {where} (‹columns›).", _instead(str(spot), known, "column")
        )
    for one in found:
        yield one, ColumnPath(spot.column, spot.key, known=spot.column in columns[one]), new


def _spot(written: str) -> ColumnPath:
    text = _plain(written)
    known = not text.startswith(UNDOCUMENTED)
    column, dot, key = text.removeprefix(UNDOCUMENTED).partition(".")
    return ColumnPath(column, key if dot else None, known)


def _plain(written: str) -> str:
    """A name without the spaces around it and without the backslashes that protect its characters."""
    inner = _STRIP.fullmatch(written)
    return _ESCAPED.sub(r"\1", inner[1] if inner else written)


def _add(rules: ColumnRules, table: str, action: str, spot: ColumnPath, new: str) -> None:
    if action == INCLUDE:
        rules.include = {*(rules.include or ()), spot.column}
    elif action == RENAME:
        if rules.renamed.setdefault(spot.column, new) != new:
            raise _contradiction(table, spot, "renamed", "renamed otherwise")
    else:
        before = rules.actions.setdefault(spot, RedactionKind(action))
        if before != action:
            raise _contradiction(table, spot, _DONE[before], _DONE[RedactionKind(action)])


def _agree(table: str, rules: ColumnRules) -> None:
    """Raise InvalidSettings when two rules of a table contradict one another."""
    for spot, action in rules.actions.items():
        whole = ColumnPath(spot.column, known=spot.known)
        if spot.key is not None and whole in rules.actions:
            raise _contradiction(table, spot, f"{_DONE[rules.actions[whole]]} with all of {spot.column}", _DONE[action])
        if action is RedactionKind.EXCLUDE and spot.key is None and spot.column in rules.renamed:
            raise _contradiction(table, spot, "excluded", "renamed")
        if action is RedactionKind.EXCLUDE and spot.key is None and spot.column in (rules.include or ()):
            raise _contradiction(table, spot, "excluded", "included")


def _contradiction(table: str, spot: ColumnPath, one: str, other: str) -> InvalidSettings:
    return InvalidSettings(
        f"The column {str(spot)!r} of {table} is both {one} and {other} (‹columns›).", "Keep one of the two rules."
    )


def _usable(salt: Secret | None) -> Secret:
    if salt is None:
        raise InvalidSettings(
            "‹columns› hashes values, and there is no salt: without one, hashes of known values can be guessed.",
            "Give a secret text by ‹salt› env:NAME, and keep it: another salt gives other hashes.",
        )
    if len(salt.reveal()) < SHORTEST_SALT:
        raise InvalidSettings(
            f"The salt is shorter than {SHORTEST_SALT} characters, so it can be guessed.",
            "Use a long random text, such as the output of openssl rand -hex 32.",
        )
    return salt


def _instead(name: str, known: Mapping[str, object] | Sequence[str] | set[str], kind: str) -> str:
    close = get_close_matches(name.replace(".", "__"), list(known), n=1) or get_close_matches(name, list(known), n=1)
    return f"Perhaps {close[0]} is meant." if close else f"The {kind}s are: {', '.join(sorted(known))}."
