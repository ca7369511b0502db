"""Whom the activity log names as changed: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

#: Entries about something that happened to a person, to an object or to a relationship, but not in the person's own
#: record. Of all others, also of types not known yet, it is taken that they changed the person.
_CHANGES_NOBODY = re.compile(
    r"(attempted|bounced|clicked|converted|deferred|delivered|drafted|dropped|failed|opened|sent|undeliverable|viewed)_"
    r"|(event|page|screen|webhook_event|skipped_update)$"
    r"|_[or]:"
)
DELETED, MERGED = "profile_delete", "profile_merge"
PREFIX = "cio_"

_roles = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What an entry of the log says of a person: its type, when it happened (unix seconds), and whom it names."""

    type: str | None
    at: int | None
    cio_id: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class ChangedPeople:
    """People whom the log names: by `cio_id`, and by their own `id` where an entry lacks the other."""

    cio_ids: tuple[str, ...]
    ids: tuple[str, ...]


def changed_people(entries: Iterable[LogEntry]) -> ChangedPeople:
    """The people who were created or changed, or into whom another was merged, but for those deleted later.

    Who is deleted needs no asking: the list of people no longer has them.
    """
    changed: dict[tuple[str, str], int] = {}
    gone: dict[tuple[str, str], int] = {}
    for entry in entries:
        who = _who(entry)
        if who is None or (entry.type is not None and _CHANGES_NOBODY.match(entry.type)):
            continue
        when = gone if entry.type == DELETED else changed
        when[who] = max(when.get(who, 0), entry.at or 0)
    stay = sorted(who for who, at in changed.items() if who not in gone or gone[who] < at)
    return ChangedPeople(
        tuple(name for kind, name in stay if kind == "cio_id"), tuple(name for kind, name in stay if kind == "id")
    )


def _who(entry: LogEntry) -> tuple[str, str] | None:
    if entry.cio_id:
        return "cio_id", entry.cio_id.removeprefix(PREFIX)
    return ("id", entry.id) if entry.id else None


@dataclass(frozen=True, slots=True)
class DeletedPerson:
    """A person who is gone by the log's word: when (unix seconds), and into whom, if it was a merge; by which entry."""

    cio_id: str
    at: int
    into: str | None
    entry: str


def departure(
    entry: LogEntry, key: str, data: str | None, as_copied: Callable[[str], str] = lambda name: name
) -> DeletedPerson | None:
    """Who is gone by an entry of the log; None where it does not tell.

    Whom it names is deleted by `profile_delete`. Of `profile_merge` the API's description has no more than the name:
    in its `data` the one who was merged is called `secondary` and the one who stays `primary`, as where merges are
    asked for, and whoever is not there is the one whom the entry names. Where neither is there, nobody is known to be
    gone. `as_copied` makes of a `cio_id` in `data` what the copy has of it, such as a hash, as the entry's own is.
    """
    named = entry.cio_id.removeprefix(PREFIX) if entry.cio_id else ""
    if entry.type == DELETED and named:
        return DeletedPerson(named, entry.at or 0, None, key)
    if entry.type != MERGED:
        return None
    primary, secondary = (as_copied(one) if one else "" for one in (_in(data, "primary"), _in(data, "secondary")))
    gone, into = secondary or (named if primary else ""), primary or named
    return DeletedPerson(gone, entry.at or 0, into or None, key) if gone and gone != into else None


def alive_after(entries: Iterable[LogEntry]) -> dict[str, int]:
    """Until when the log shows people to be there: the last moment (unix seconds) at which it names each as changed."""
    last: dict[str, int] = {}
    for entry in entries:
        who = _who(entry)
        changes = entry.type is None or not (entry.type == DELETED or _CHANGES_NOBODY.match(entry.type))
        if who is not None and who[0] == "cio_id" and changes:
            last[who[1]] = max(last.get(who[1], 0), entry.at or 0)
    return last


def _in(data: str | None, role: str) -> str:
    """The `cio_id` of the person in this role of a merge; "" where `data` does not tell."""
    try:
        who = _roles.decode(data or "").get(role)
    except msgspec.DecodeError:
        return ""
    cio_id = who.get("cio_id") if isinstance(who, dict) else who
    return cio_id.removeprefix(PREFIX) if isinstance(cio_id, str) else ""
