"""Several destinations that are filled by one read: each has positions of its own; what one refuses, others take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, or_
from typing import Any, TypeVar

import msgspec

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, FanOutFailed, LoadError
from cio_replicate.schema.system_tables import KEY, Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.sinks.backend import NOT_DELETED, Condition, StoredTable
from cio_replicate.sinks.port import (
    NO_COPY,
    Batch,
    Changes,
    CopyIdentity,
    Digests,
    DiscoveredColumn,
    ErasureHits,
    Owner,
    RunRows,
    Sink,
    SinkState,
)

T = TypeVar("T")


class FanOutSink:
    """What a run sees of them is the one that is furthest behind; to load what another has already changes nothing.

    `there` are the members that have a copy: once they were opened for an owner, all of them.
    """

    def __init__(self, members: Mapping[str, Sink]) -> None:
        self.members = dict(members)
        self.there: dict[str, Sink] = {}
        self.batch_rows = min(one.batch_rows for one in members.values())
        self._behind: dict[str, dict[str, str]] = {}  # by table, what members said who refused a batch

    @property
    def state(self) -> SinkState:
        """All of them as one: what all have read, what the first is expected to hold, and columns that any has."""
        every = [one.state for one in self.members.values()]
        there = [one.state for one in self.there.values()]
        if not there:
            return NO_COPY
        names = set.intersection(*(set(one.checkpoints) for one in every)) if len(there) == len(every) else set()
        found: dict[str, dict[str, DiscoveredColumn]] = {}
        for name, columns in ((name, columns) for one in there for name, columns in one.found.items()):
            found[name] = {column.name: column for column in columns} | found.get(name, {})
        return SinkState(
            _together([one.identity for one in every]),
            {name: _least([one.checkpoints[name] for one in every]) for name in names},
            there[0].expected,
            {name: list(columns.values()) for name, columns in found.items()},
        )

    def open(self, owner: Owner | None = None) -> SinkState | None:
        """Open each; None if none of them has a copy. With an owner, make those that are missing."""
        found = {name: one.open(owner) for name, one in self.members.items()}
        self.there = {name: one for name, one in self.members.items() if found[name] is not None}
        return self.state if self.there else None

    def read(
        self, table: Table | StoredTable, columns: Sequence[str], where: Sequence[Condition] = ()
    ) -> list[tuple[Any, ...]]:
        """With a condition on keys, the rows that all members have, so that others are read; else those of any.

        Of a table about runs, the rows of the first.
        """
        if isinstance(table, StoredTable):
            return next(iter(self.members.values())).read(table, columns, where)
        found = [Counter(one.read(table, columns, where)) for one in self.there.values()]
        by_key = any(one.column == KEY.name for one in where)
        return list(reduce(and_ if by_key else or_, found, Counter(found[0])).elements()) if found else []

    def digests(self, table: Table, where: Sequence[Condition] = (NOT_DELETED,), *, keys: bool = True) -> Digests:
        """Return those of the first; a proof looks at each by itself.

        Without `keys`, the most rows that a member has, so that no loss stays unnoticed; with further conditions, the
        fewest.
        """
        if keys:
            return next(iter(self.there.values())).digests(table, where)
        choose = max if all(one == NOT_DELETED for one in where) else min
        return Digests(choose(one.digests(table, where, keys=False).rows for one in self.there.values()))

    def write(self, batch: Batch | RunRows) -> Changes:
        """Write to each; the counts are those of the one that changed most.

        One that refuses a batch of a table gets no other of it, since each stands on those before. Raises LoadError
        when none takes it, FanOutFailed when only some do: to write it to all again is what is left to do.
        """
        if isinstance(batch, RunRows):
            self._each(lambda one: one.write(batch))
            return Changes()
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
            raise FanOutFailed(" ".join(behind.values()), "The other destinations are written.", changed=counts)
        return most

    def probe(self) -> None:
        """Probe each."""
        self._each(lambda one: one.probe(), self.members)

    def erase(self, table: Table, people: Mapping[str, Sequence[str]]) -> dict[str, ErasureHits]:
        """Erase in each; the counts are those of the last."""
        return self._each(lambda one: one.erase(table, people))[-1]

    def drop(self, table: Table | None) -> None:
        """Remove a table, or the tables about the copy, from each."""
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
    position = one.state.checkpoints.get(batch.table.name)
    if close is None or position is None or position.start >= close.position.start:
        return batch
    seen = None if batch.table.partitioned_by else close.seen
    further = msgspec.structs.replace(close.position, start=position.start)
    return replace(batch, close=replace(close, position=further, seen=seen))


def _together(found: Sequence[CopyIdentity]) -> CopyIdentity:
    """All as one, in whatever order they are named; it is another one as long as some are missing."""
    return CopyIdentity("+".join(sorted(one.copy_id for one in found)), sum(one.commits for one in found))


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
    found = destination.open()
    if isinstance(destination, FanOutSink):
        return [name for name in destination.members if name not in destination.there]
    return [] if found is not None else [""]


def members_of(destination: Sink) -> Mapping[str, Sink]:
    """The destinations of which one consists, by name; one that is by itself has none."""
    return destination.members if isinstance(destination, FanOutSink) else {"": destination}
