"""What the copy knows of people: who is in it as listed, and whom its activity log names as changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from cio_replicate.base.runtime import OnThread
from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import NOT_DELETED, at_least, one_of
from cio_replicate.sinks.port import Sink
from cio_replicate.source.strategies.base import ChangedPeople
from cio_replicate.source.strategies.people import LogEntry, changed_people
from cio_replicate.source.values import key_text, record_of

LISTED_FIELDS = ("email", "id")  # of the identifiers; the third one is the key
JUST_BEFORE = 3_600  # seconds within which a change is in the log, and in what the API says of the person
_LOG_PATHS = (
    ("type",),
    ("timestamp",),
    ("customer_identifiers", "cio_id"),
    ("customer_identifiers", "id"),
    ("customer_id",),
)


class CopyReadState:
    """Answers from the destination what the strategy of people asks.

    `since` (unix seconds) is when people were last read, `log_since` when the log has been read for the first time
    after that. `log_is_read` returns, once the log is in the copy up to now, whether nothing since then is missing from
    it. `new` gathers the people of whom the copy had no row. `people` and `log` are the tables as the copy has them.
    """

    def __init__(
        self,
        destination: Sink,
        *,
        people: Table,
        log: Table,
        since: int,
        log_since: int,
        on_thread: OnThread,
        log_is_read: Callable[[], Awaitable[bool]],
    ) -> None:
        self._destination = destination
        self._people = people
        self._log = log
        self._since = since
        self._log_since = log_since
        self._on_thread = on_thread
        self._log_is_read = log_is_read
        self.new: set[str] = set()

    async def unknown(self, listed: Mapping[str, msgspec.Raw]) -> set[str]:
        """The `cio_id`s whom the copy does not have as they are listed: new, back, or with another email or id."""
        columns = ["_cio_key", *(self._people.name_of("identifiers", name) for name in LISTED_FIELDS)]
        rows = await self._people_rows(columns, listed)
        have = {key: tuple(value or "" for value in values) for key, *values in rows}
        self.new |= listed.keys() - have.keys()
        return {cio_id for cio_id, entry in listed.items() if have.get(cio_id) != _identifiers(entry)}

    async def identifiers(self, cio_ids: Sequence[str]) -> dict[str, msgspec.Raw]:
        """The identifiers of people as the copy has them, each as one JSON object."""
        columns = [self._people.name_of("identifiers", name) for name in ("email", "id", "cio_id")]
        rows = await self._people_rows(["_cio_key", *columns], cio_ids)
        return {
            key: msgspec.Raw(msgspec.json.encode({"email": email, "id": own, "cio_id": cio_id}))
            for key, email, own, cio_id in rows
        }

    async def _people_rows(self, columns: Sequence[str], cio_ids: Iterable[str]) -> list[tuple[Any, ...]]:
        where = (NOT_DELETED, one_of("_cio_key", cio_ids))
        return await self._on_thread(lambda: self._destination.read(self._people, columns, where))

    async def named(self) -> ChangedPeople | None:
        """Whom the log names since people were last read; None when something may be missing from it."""
        if not await self._log_is_read():
            return None
        return await self._on_thread(self._named)

    async def untold(self, began: int) -> int:
        """How many people's rows changed in a whole read since `began` without a word of it in the log."""
        return await self._on_thread(lambda: self._count_untold(began))

    def _named(self) -> ChangedPeople:
        """Who is named by what has come into the log since, or was in it then but had happened just before."""
        read, log, columns = self._destination.read, self._log, log_columns(self._log)
        just_before = at_least(log.name_of("timestamp"), self._since - JUST_BEFORE)
        rows = read(log, columns, [NOT_DELETED, at_least("_cio_synced_at", self._log_since)])
        rows += read(log, columns, [NOT_DELETED, at_least("_cio_synced_at", self._since), just_before])
        return people_named(rows)

    def _count_untold(self, began: int) -> int:
        columns, where = ["_cio_key", self._people.name_of("id")], [NOT_DELETED, at_least("_cio_synced_at", began)]
        rows = self._destination.read(self._people, columns, where)
        named = self._named()
        cio_ids, ids = {*named.cio_ids, *self.new}, set(named.ids)
        return sum(key not in cio_ids and own not in ids for key, own in rows)


def log_columns(log: Table) -> tuple[str, ...]:
    """The columns that tell whom an entry of the log names, as they are called in the copy."""
    return tuple(log.name_of(*path) for path in _LOG_PATHS)


def people_named(rows: Iterable[tuple[Any, ...]]) -> ChangedPeople:
    """The people whom entries of the log name as changed; of each entry the `log_columns`."""
    return changed_people(LogEntry(kind, seconds_of(at), cio_id, own or other) for kind, at, cio_id, own, other in rows)


def _identifiers(entry: msgspec.Raw) -> tuple[str, ...]:
    """Email and id of a person as listed; "" for none, since both `null` and `""` stand for that (live)."""
    record = record_of(entry)
    return tuple(key_text(record, (name,)) for name in LISTED_FIELDS)


def seconds_of(at: datetime | None) -> int | None:
    """A moment of the copy in unix seconds."""
    return None if at is None else int(at.timestamp())
