"""Several destinations that are filled by one read: each has positions of its own; what one refuses, others take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

import msgspec

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError, PartlyLoadedError
from cio_replicate.schema.system_tables import KEY, Checkpoint
from cio_replicate.schema.table import Column, Reading, Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, StoredTable
from cio_replicate.sinks.port import Batch, Changes, CopyIdentity, Digests, ErasureHits, Sink

T = TypeVar("T")


class FanOutSink:
    """What a run sees of them is the one that is furthest behind; to load what another has already changes nothing.

    `there` are the members that have a copy: after `prepare` all of them.
    """

    def __init__(self, members: Mapping[str, Sink]) -> None:
        self.members = dict(members)
        self.there: dict[str, Sink] = {}
        self.batch_rows = min(one.batch_rows for one in members.values())
        self._behind: dict[str, dict[str, str]] = {}  # by table, what members said who refused a batch

    def look(self) -> CopyIdentity | None:
        """Look at each; None if none of them has a copy."""
        found = {name: one.look() for name, one in self.members.items()}
        self.there = {name: one for name, one in self.members.items() if found[name] is not None}
        return _together(list(found.values())) if self.there else None

    def prepare(self, now: int) -> CopyIdentity:
        """Make those that are missing."""
        made = [one.prepare(now) for one in self.members.values()]
        self.there = self.members
        return _together(made)

    def identity(self) -> CopyIdentity:
        """All of them as one."""
        return _together([one.identity() for one in self.there.values()])

    def positions(self) -> Mapping[str, Checkpoint]:
        """Of each table that all of them have read, how far at least; of none while one of them has no copy."""
        if len(self.there) < len(self.members):
            return {}
        every = [one.positions() for one in self.members.values()]
        names = set.intersection(*(set(one) for one in every))
        return {name: _least([one[name] for one in every]) for name in names}

    def discovered(self, table: Table) -> Sequence[Column]:
        """The columns that any of them has besides the declared ones."""
        found: dict[str, Column] = {}
        for one in self.there.values():
            for column in one.discovered(table):
                found.setdefault(column.name, column)
        return list(found.values())

    def read(self, table: Table, columns: Sequence[str], where: Sequence[Condition] = ()) -> list[tuple[Any, ...]]:
        """With a condition on keys, the rows that all members have, so that others are read; else those of any."""
        found = [Counter(one.read(table, columns, where)) for one in self.there.values()]
        by_key = any(one.column == KEY.name for one in where)
        return list(reduce(and_ if by_key else or_, found, Counter(found[0])).elements()) if found else []

    def count(self, table: Table, where: Sequence[Condition] = ()) -> int:
        """The most rows that a member has, so that no loss stays unnoticed; with further conditions, the fewest."""
        choose = max if all(one == NOT_DELETED for one in where) else min
        return choose(one.count(table, where) for one in self.there.values())

    def held(self, table: Table) -> Digests:
        """Of the first; a proof looks at each by itself."""
        return next(iter(self.there.values())).held(table)

    def expected(self, table: Table) -> Digests | None:
        """Of the first; a proof looks at each by itself."""
        return next(iter(self.there.values())).expected(table)

    def write(self, batch: Batch) -> Changes:
        """Write to each; the counts are those of the one that changed most.

        One that refuses a batch of a table gets no other of it, since each stands on those before. Raises LoadError
        when none takes it, PartlyLoadedError when only some do: to write it to all again is what is left to do.
        """
        behind = self._behind.setdefault(batch.table.name, {})
        done: list[Changes] = []
        for name, one in self.members.items():
            if name in behind:
                continue
            try:
                done.append(one.write(_own(batch, one)))
            except (LoadError, DestinationUnavailableError) as error:
                behind[name] = f"{name}: {error.cause} {error.fix}".strip()
        if not done:
            raise LoadError(" ".join(behind.values()), "The rows stay landed.")
        most = max(done, key=lambda one: one.inserted + one.updated + one.deleted)
        if behind:
            counts = (most.inserted, most.updated, most.deleted)
            raise PartlyLoadedError(" ".join(behind.values()), "The other destinations are written.", changed=counts)
        return most

    def try_out(self) -> None:
        """Try each."""
        self._each(lambda one: one.try_out(), self.members)

    def record(self, shape: StoredTable, rows: Sequence[Mapping[str, object]]) -> None:
        """Put rows about runs into each."""
        self._each(lambda one: one.record(shape, rows))

    def recorded(self, shape: StoredTable) -> list[dict[str, Any]]:
        """Of the first; what is recorded of people is asked of each by itself."""
        return next(iter(self.members.values())).recorded(shape)

    def blank(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Blank in each; the counts are those of the last."""
        return self._each(lambda one: one.blank(table, people))[-1]

    def recount(self, table: Table) -> None:
        """Recount in each."""
        self._each(lambda one: one.recount(table))

    def end(self) -> None:
        """End each."""
        self._each(lambda one: one.end())

    def drop(self, table: Table) -> None:
        """Remove a table from each."""
        self._each(lambda one: one.drop(table))

    def close(self) -> None:
        """Let go of all."""
        self._each(lambda one: one.close(), self.members)

    def _each(self, call: Callable[[Sink], T], among: Mapping[str, Sink] | None = None) -> list[T]:
        """Call all that are there, also when one of them fails; the first failure is raised then."""
        results, failed = [], None
        for one in (self.there if among is None else among).values():
            try:
                results.append(call(one))
            except CioReplicateError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return results


def _own(batch: Batch, one: Sink) -> Batch:
    """The batch as it is for a member that goes back further than the others: it keeps what it has of that time."""
    close = batch.close
    position = None if close is None else one.positions().get(batch.table.name)
    if close is None or position is None or position.start >= close.position.start:
        return batch
    seen = None if batch.table.reading is Reading.WINDOWS else close.seen
    further = msgspec.structs.replace(close.position, start=position.start)
    return replace(batch, close=replace(close, position=further, seen=seen))


def _together(found: Sequence[CopyIdentity | None]) -> CopyIdentity:
    """All as one, in whatever order they are named; it is another one as long as some are missing."""
    return CopyIdentity(
        "+".join(sorted("" if one is None else one.copy_id for one in found)),
        sum(one.commits for one in found if one is not None),
    )


def _least(positions: Sequence[Checkpoint]) -> Checkpoint:
    """What all of these positions cover; by rules that are nobody's where they came by different ones."""
    behind = min(positions, key=lambda one: one.through)
    latest = [one.latest for one in positions if one.latest is not None]
    return Checkpoint(
        read=behind.read,
        start=max(one.start for one in positions),
        through=behind.through,
        latest=min(latest) if len(latest) == len(positions) else None,
        whole=min(one.last_whole for one in positions),
        rules="+".join(sorted({one.rules for one in positions})),
        target=behind.target,
    )


def missing_in(destination: Sink) -> list[str]:
    """Look at a destination; the names of those of which it consists that have no copy, or "" for one by itself."""
    found = destination.look()
    if isinstance(destination, FanOutSink):
        return [name for name in destination.members if name not in destination.there]
    return [] if found is not None else [""]


def members_of(destination: Sink) -> Mapping[str, Sink]:
    """The destinations of which one consists, by name; one that is by itself has none."""
    return destination.members if isinstance(destination, FanOutSink) else {"": destination}
