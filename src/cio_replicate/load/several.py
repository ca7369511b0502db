"""Several destinations that are filled by one read: each has positions of its own; what one refuses, others take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cio_replicate.base.errors import LoadError
from cio_replicate.landing.position import Position
from cio_replicate.load.destination import Batch, Changes, Destination, Identity
from cio_replicate.load.expected import Keys
from cio_replicate.load.store import Shape
from cio_replicate.tables.declare import Column, Table

T = TypeVar("T")


class SeveralDestinations:
    """What a run sees of them is the one that is furthest behind; to load what another has already changes nothing."""

    def __init__(self, members: Mapping[str, Destination]) -> None:
        self.members = dict(members)
        self.batch_rows = min(one.batch_rows for one in members.values())

    def look(self) -> Identity | None:
        """Look at each; None while one of them has no copy, since that one needs everything."""
        found = [one.look() for one in self.members.values()]
        return _together([one for one in found if one is not None]) if all(found) else None

    def prepare(self, now: int) -> Identity:
        """Make those that are missing."""
        return _together([one.prepare(now) for one in self.members.values()])

    def identity(self) -> Identity:
        """All of them as one."""
        return _together([one.identity() for one in self.members.values()])

    def positions(self) -> Mapping[str, Position]:
        """Of each table that all of them have read, how far at least."""
        every = [one.positions() for one in self.members.values()]
        names = set.intersection(*(set(one) for one in every))
        return {name: _least([one[name] for one in every]) for name in names}

    def discovered(self, table: Table) -> Sequence[Column]:
        """The columns that any of them has besides the declared ones."""
        found: dict[str, Column] = {}
        for one in self.members.values():
            for column in one.discovered(table):
                found.setdefault(column.name, column)
        return list(found.values())

    def find(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        keys: Sequence[str] | None = None,
        synced_since: int | None = None,
        after: tuple[str, int] | None = None,
        live: bool = True,
    ) -> list[tuple[Any, ...]]:
        """The rows of the one with the fewest of them, so that what it lacks is asked for."""
        return min(
            (
                one.find(table, columns, keys=keys, synced_since=synced_since, after=after, live=live)
                for one in self.members.values()
            ),
            key=len,
        )

    def count(self, table: Table, column: str, first: int, last: int) -> int:
        """As many as the one that has the fewest."""
        return min(one.count(table, column, first, last) for one in self.members.values())

    def live(self, table: Table) -> int:
        """As many as the one that has the most: what all of them lose would be lost for good."""
        return max(one.live(table) for one in self.members.values())

    def held(self, table: Table) -> Keys:
        """Of the first; a proof looks at each by itself."""
        return next(iter(self.members.values())).held(table)

    def expected(self, table: Table) -> Keys | None:
        """Of the first; a proof looks at each by itself."""
        return next(iter(self.members.values())).expected(table)

    def write(self, batch: Batch) -> Changes:
        """Write to each; the counts are those of the one that changed most. Raises LoadError when any refused.

        The others hold the batch then, and the next run loads it to all again.
        """
        done: list[Changes] = []
        refused: list[str] = []
        for name, one in self.members.items():
            try:
                done.append(one.write(batch))
            except LoadError as error:
                refused.append(f"{name}: {error.message}")
        if refused:
            raise LoadError(" ".join(refused), "The rows stay landed; mend the cause and run again.")
        return max(done, key=lambda one: one.inserted + one.updated + one.deleted)

    def try_out(self) -> None:
        """Try each."""
        self._each(lambda one: one.try_out())

    def record(self, shape: Shape, rows: Sequence[Mapping[str, object]]) -> None:
        """Put rows about runs into each."""
        self._each(lambda one: one.record(shape, rows))

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
        self._each(lambda one: one.close())

    def _each(self, call: Callable[[Destination], T]) -> list[T]:
        return [call(one) for one in self.members.values()]


def _together(found: Sequence[Identity]) -> Identity:
    return Identity("+".join(one.copy_id for one in found), sum(one.commits for one in found))


def _least(positions: Sequence[Position]) -> Position:
    """What all of these positions cover."""
    behind = min(positions, key=lambda one: one.through)
    latest = [one.latest for one in positions if one.latest is not None]
    return Position(
        read=behind.read,
        start=max(one.start for one in positions),
        through=behind.through,
        latest=min(latest) if len(latest) == len(positions) else None,
        whole=min(one.last_whole for one in positions),
        rules=behind.rules,
    )


def members_of(destination: Destination) -> Mapping[str, Destination]:
    """The destinations of which one consists, by name; one that is by itself has none."""
    return destination.members if isinstance(destination, SeveralDestinations) else {"": destination}
