"""How changes reach the copy: the change mode of each table, checked once, with one sentence for what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cio_replicate.base.errors import SettingsError


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
    Raises SettingsError.
    """
    mode = _given(modes, names, "--mode", [one.value for one in WriteMode])
    deleted = _given(deletes, names, "--deletes", [one.value for one in Deletes])
    for name in forgetting:
        if mode.get(name) == WriteMode.FULL:
            raise SettingsError(
                f"--mode {name}=full would throw away rows of {name} that Customer.io no longer has.",
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
            raise SettingsError(f"{option} {text!r} names no way that there is.", f"Choose {_listed(values)}.")
        if table != _FOR_ALL and table not in names:
            near = difflib.get_close_matches(table, names, 1)
            fix = f"Perhaps {near[0]} is meant." if near else f"The tables are: {', '.join(names)}."
            raise SettingsError(f"{option} names the table {table!r}, which is not copied here.", fix)
        if given.setdefault(table, value) != value:
            about = "all tables" if table == _FOR_ALL else table
            raise SettingsError(f"{option} names two ways for {about}: {given[table]} and {value}.", "Leave one out.")
    return given


def _listed(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"
