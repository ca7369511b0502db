"""Options for tables: what later runs read again, write modes, names in the copy, schema changes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cio_replicate.base.errors import InvalidSettings

RECENT_DAYS = 30
FULL_EVERY_DAYS = 7
LONGEST_RECENT, LONGEST_BETWEEN = 180, 30  # days; the log of activities is kept for 30


class PeopleRefresh(StrEnum):
    """How people are read."""

    FULL = "full"  # everybody, with all attributes
    CHANGES = "changes"  # everybody's id; the attributes of those who are new or whom the activity log names


@dataclass(frozen=True, slots=True)
class RereadPolicy:
    """What is read again.

    `recent_days`: deliveries created within so many days are read on every run. `people`: how people are read.
    `full_every_days`: the log, and people in mode `changes`, are read whole at least so often.
    """

    recent_days: int = RECENT_DAYS
    people: PeopleRefresh = PeopleRefresh.FULL
    full_every_days: int = FULL_EVERY_DAYS


def rules(customers: str, recent_days: int, full_every_days: int, tables: Collection[str]) -> RereadPolicy:
    """The rules that the options name, for these tables. Raises InvalidSettings."""
    if customers not in list(PeopleRefresh):
        raise InvalidSettings(f"There is no way {customers!r} to read people.", "Choose ‹customers› full or changes.")
    if not 1 <= recent_days <= LONGEST_RECENT:
        raise InvalidSettings(
            f"‹recent_days› {recent_days} is out of range.",
            f"Choose 1 to {LONGEST_RECENT} days: opens and clicks are recorded for six months.",
        )
    if not 1 <= full_every_days <= LONGEST_BETWEEN:
        raise InvalidSettings(
            f"‹full_every› {full_every_days} is out of range.",
            f"Choose 1 to {LONGEST_BETWEEN} days: the activity log is kept no longer.",
        )
    mode = PeopleRefresh(customers)
    if mode is PeopleRefresh.CHANGES and "customers" in tables and "activities" not in tables:
        raise InvalidSettings(
            "‹customers› changes goes by the activity log, which is not among the tables to copy.",
            "Copy the table activities too, or choose ‹customers› full.",
        )
    return RereadPolicy(recent_days, mode, full_every_days)


class WriteMode(StrEnum):
    """What a change at the source does to a table of the copy."""

    FULL = "full"  # the table is replaced, in one commit, by what a whole read brought
    APPLY = "apply"  # rows are inserted, updated and marked deleted
    CHANGES = "changes"  # as apply, and each change is a row in a table of changes beside it
    HISTORY = "history"  # each version of a row is kept, with the time in which it held


class Deletes(StrEnum):
    """What becomes of a row that no longer exists at the source."""

    SOFT = "soft"  # it stays, with `_cio_deleted_at` set
    HARD = "hard"  # it is removed


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a table takes in what changed."""

    mode: WriteMode = WriteMode.APPLY
    deletes: Deletes = Deletes.SOFT

    @property
    def removes(self) -> bool:
        """Whether rows that are gone leave the table."""
        return self.mode is WriteMode.FULL or (self.deletes is Deletes.HARD and self.mode is not WriteMode.HISTORY)

    @property
    def marking(self) -> WriteOptions:
        """The same, but that rows that are gone stay, marked."""
        return WriteOptions(WriteMode.APPLY if self.mode is WriteMode.FULL else self.mode)

    @property
    def versions(self) -> bool:
        """Whether the table has a row per version."""
        return self.mode is WriteMode.HISTORY


USUAL = WriteOptions()


def as_shown(*, versions: bool, noted: bool) -> WriteOptions:
    """The treatment of a table of which is known only whether it has versions, and whether its changes are noted."""
    return WriteOptions(WriteMode.HISTORY if versions else WriteMode.CHANGES if noted else WriteMode.APPLY)


_FOR_ALL = "*"


def treatments(
    modes: Sequence[str], deletes: Sequence[str], names: Sequence[str], forgetting: Collection[str] = ()
) -> dict[str, WriteOptions]:
    """The treatment of each table, from texts such as `history` (all tables) and `customers=changes` (that one).

    A text for one table stands before one for all. The tables `forgetting` are those of which the source forgets rows:
    to replace one would throw away what cannot be read again, so `full` for all leaves them as they usually are.
    Raises InvalidSettings.
    """
    mode = _given(modes, names, "‹mode›", [one.value for one in WriteMode])
    deleted = _given(deletes, names, "‹deletes›", [one.value for one in Deletes])
    for name in forgetting:
        if mode.get(name) == WriteMode.FULL:
            raise InvalidSettings(
                f"‹mode› {name}=full would throw away rows of {name} that Customer.io no longer has.",
                "Choose apply, changes or history for it.",
            )
    for_all, deleted_for_all = mode.get(_FOR_ALL, WriteMode.APPLY), deleted.get(_FOR_ALL, Deletes.SOFT)
    usual = {name: WriteMode.APPLY if name in forgetting and for_all == WriteMode.FULL else for_all for name in names}
    return {
        name: WriteOptions(WriteMode(mode.get(name, usual[name])), Deletes(deleted.get(name, deleted_for_all)))
        for name in names
    }


def _given(texts: Sequence[str], names: Sequence[str], option: str, values: Sequence[str]) -> Mapping[str, str]:
    """What the texts say by table, and of all of them."""
    given: dict[str, str] = {}
    for text in (one.strip() for many in texts for one in many.split(",")):
        table, separator, value = text.partition("=")
        table, value = (table.strip(), value.strip()) if separator else (_FOR_ALL, text)
        if value not in values:
            raise InvalidSettings(
                f"Unknown value {text!r} for {option}.", f"Use {', '.join(values[:-1])} or {values[-1]}."
            )
        if table != _FOR_ALL and table not in names:
            near = difflib.get_close_matches(table, names, 1)
            fix = f"Perhaps {near[0]} is meant." if near else f"The tables are: {', '.join(names)}."
            raise InvalidSettings(f"{option} names the table {table!r}, which is not copied here.", fix)
        if given.setdefault(table, value) != value:
            about = "all tables" if table == _FOR_ALL else table
            raise InvalidSettings(f"{option} names two ways for {about}: {given[table]} and {value}.", "Leave one out.")
    return given


RESERVED = "_cio_"  # begins the names of our own
_PREFIX = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,29}|")


class LetterCase(StrEnum):
    """The naming rule for letters."""

    AS_IS = "as-is"
    LOWER = "lower"
    UPPER = "upper"


@dataclass(frozen=True, slots=True)
class Naming:
    """How names in the copy are made from ours. The program's own columns and tables keep their names."""

    table_prefix: str = ""
    column_prefix: str = ""
    case: LetterCase = LetterCase.AS_IS

    def table(self, name: str) -> str:
        """What a table is called in the copy."""
        return self._cased(self.table_prefix + name)

    def column(self, name: str) -> str:
        """What a column is called in the copy."""
        return self._cased(self.column_prefix + name)

    def field(self, name: str) -> str:
        """The likeliest field for a column that is called so in the copy: the API writes its fields in lower case."""
        plain = name[len(self.column_prefix) :] if name.startswith(self._cased(self.column_prefix)) else name
        return plain.lower() if self.case is LetterCase.UPPER else plain

    def _cased(self, name: str) -> str:
        match self.case:
            case LetterCase.AS_IS:
                return name
            case LetterCase.LOWER:
                return name.lower()
            case LetterCase.UPPER:
                return name.upper()


AS_IS = Naming()


def naming(table_prefix: str = "", column_prefix: str = "", case: str = LetterCase.AS_IS) -> Naming:
    """The naming that the options name. Raises InvalidSettings."""
    for option, prefix in (("‹table_prefix›", table_prefix), ("‹column_prefix›", column_prefix)):
        if not _PREFIX.fullmatch(prefix):
            raise InvalidSettings(
                f"{option} {prefix!r} cannot begin a name.",
                "Use up to 30 letters, digits and underscores, and no digit first.",
            )
        if prefix.casefold().startswith(RESERVED):
            raise InvalidSettings(
                f"{option} {prefix!r} begins like the names of the program's own ({RESERVED}).", "Choose another."
            )
    if case not in list(LetterCase):
        raise InvalidSettings(f"There is no naming rule {case!r}.", f"Choose ‹column_case› {', '.join(LetterCase)}.")
    return Naming(table_prefix, column_prefix, LetterCase(case))


class SchemaChanges(StrEnum):
    """What is done when the API sends what a table does not know."""

    EVOLVE = "evolve"  # a new field becomes a column, a value of another type is kept in `_cio_extra`
    FREEZE = "freeze"  # either fails the table, before the page is landed
    IGNORE = "ignore"  # a new field is left out and counted, a value of another type is kept in `_cio_extra`


def schema_changes(texts: Sequence[str], tables: Sequence[str]) -> dict[str, SchemaChanges]:
    """The policy of each table: `freeze` sets that of all, `messages=freeze` that of one, wherever it stands.

    Raises InvalidSettings.
    """
    given: dict[str, str] = {}  # without a name: what holds for all other tables
    for text in texts:
        name, separator, policy = (part.strip() for part in text.rpartition("="))
        if policy not in list(SchemaChanges):
            raise InvalidSettings(
                f"There is no policy {policy!r} for changes of schema.",
                f"Choose ‹schema_changes› {', '.join(SchemaChanges)}, or TABLE=POLICY for one table.",
            )
        if separator and name not in tables:
            raise InvalidSettings(
                f"There is no table {name!r} (‹schema_changes›).", f"The tables are: {', '.join(tables)}."
            )
        if given.setdefault(name, policy) != policy:
            raise InvalidSettings(
                f"‹schema_changes› gives {name or 'all tables'} two policies.", "Keep one of the two."
            )
    usual = given.get("", SchemaChanges.EVOLVE)
    return {name: SchemaChanges(given.get(name, usual)) for name in tables}
