"""Whom the activity log names as changed: pure decisions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Entries about something that happened to a person, to an object or to a relationship, but not in the person's own
#: record. Of all others, also of types not known yet, it is taken that they changed the person.
_CHANGES_NOBODY = re.compile(
    r"(attempted|bounced|clicked|converted|deferred|delivered|drafted|dropped|failed|opened|sent|undeliverable|viewed)_"
    r"|(event|page|screen|webhook_event|skipped_update)$"
    r"|_[or]:"
)
_GONE = "profile_delete"
PREFIX = "cio_"


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry of the log says of a person: its type, when it happened (unix seconds), and whom it names."""

    type: str | None
    at: int | None
    cio_id: str | None
    id: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """People whom the log names: by `cio_id`, and by their own `id` where an entry lacks the other."""

    cio_ids: tuple[str, ...]
    ids: tuple[str, ...]


def changed_people(entries: Iterable[Entry]) -> Named:
    """The people who were created or changed, or into whom another was merged, but for those deleted later.

    Who is deleted needs no asking: the list of people no longer has them.
    """
    changed: dict[tuple[str, str], int] = {}
    gone: dict[tuple[str, str], int] = {}
    for entry in entries:
        who = _who(entry)
        if who is None or (entry.type is not None and _CHANGES_NOBODY.match(entry.type)):
            continue
        when = gone if entry.type == _GONE else changed
        when[who] = max(when.get(who, 0), entry.at or 0)
    stay = sorted(who for who, at in changed.items() if who not in gone or gone[who] < at)
    return Named(
        tuple(name for kind, name in stay if kind == "cio_id"), tuple(name for kind, name in stay if kind == "id")
    )


def _who(entry: Entry) -> tuple[str, str] | None:
    if entry.cio_id:
        return "cio_id", entry.cio_id.removeprefix(PREFIX)
    return ("id", entry.id) if entry.id else None
