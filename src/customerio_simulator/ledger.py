"""A list of records computed from an index, with edits laid over it, read in order from any position."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

Position = tuple[int, int]
"""Where a record stands: its time (unix seconds, 0 where the list has none) and its sequence number."""


class Entry(NamedTuple):
    """A record and where it stands."""

    position: Position
    record: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """The untouched list: pure functions of the index, `time_of` never decreasing."""

    size: int
    time_of: Callable[[int], int]
    record_of: Callable[[int], bytes]
    key_of: Callable[[int], str]
    index_of: Callable[[str], int | None]
    run_of: Callable[[range], tuple[Sequence[int], list[bytes]]] | None = None
    """Times and records of neighbouring indexes, rising or falling, where making many at once is cheaper."""

    def run(self, indexes: range) -> tuple[Sequence[int], list[bytes]]:
        """Times and records of these indexes."""
        if self.run_of is not None:
            return self.run_of(indexes)
        return [self.time_of(index) for index in indexes], [self.record_of(index) for index in indexes]


@dataclass(frozen=True, slots=True)
class Range:
    """What to read: times from `low` to `high`, both included, strictly beyond `after` in reading order."""

    low: int = -(1 << 62)
    high: int = 1 << 62
    after: Position | None = None
    descending: bool = False


@dataclass(slots=True)
class Ledger:
    """Memory grows with the edits made, never with the size of the source. `version` grows with every edit."""

    source: Source
    _replaced: dict[int, bytes] = field(default_factory=dict)
    _gone: list[int] = field(default_factory=list)
    _added: list[Position] = field(default_factory=list)
    _added_keys: dict[str, int] = field(default_factory=dict)
    _key_by_seq: dict[int, str] = field(default_factory=dict)
    _next: int = -1
    version: int = 0

    def __post_init__(self) -> None:
        self._next = self.source.size

    def __len__(self) -> int:
        return self.source.size + len(self._added) - len(self._gone)

    @property
    def next_seq(self) -> int:
        """The sequence number that the next insert takes: an index that the source's functions never served."""
        return self._next

    def seq_of(self, key: str) -> int | None:
        """Where the record with this key is, or None when no record has it now."""
        if (seq := self._added_keys.get(key)) is not None:
            return seq
        seq = self.source.index_of(key)
        present = seq is not None and 0 <= seq < self.source.size and not self._is_gone(seq)
        return seq if present and seq is not None and self.source.key_of(seq) == key else None

    def key_of(self, seq: int) -> str:
        """The key of the record at this sequence number."""
        return self._key_by_seq.get(seq) or self.source.key_of(seq)

    def record(self, seq: int) -> bytes:
        """The exact JSON of the record as it is now."""
        replaced = self._replaced.get(seq)
        return self.source.record_of(seq) if replaced is None else replaced

    def present(self, seq: int) -> bool:
        """Whether a record stands at this sequence number now."""
        return seq in self._key_by_seq or (0 <= seq < self.source.size and not self._is_gone(seq))

    def edited(self, seq: int) -> bytes | None:
        """The record if it was added or replaced, None if it is the source's own."""
        return self._replaced.get(seq)

    def get(self, key: str) -> bytes | None:
        """The record under this key, or None."""
        seq = self.seq_of(key)
        return None if seq is None else self.record(seq)

    def insert(self, key: str, record: bytes, time: int = 0) -> int:
        """Adds a record under a key that must be free; `time` may lie anywhere in the past."""
        if self.seq_of(key) is not None:
            message = f"a record with key {key!r} is there already"
            raise ValueError(message)
        seq, self._next = self._next, self._next + 1
        self.version += 1
        insort(self._added, (time, seq))
        self._replaced[seq] = record
        self._added_keys[key] = seq
        self._key_by_seq[seq] = key
        return seq

    def replace(self, seq: int, record: bytes) -> None:
        """Puts another record in the same place."""
        self.version += 1
        self._replaced[seq] = record

    def delete(self, seq: int) -> None:
        """Takes the record away; its sequence number is not used again."""
        key = self.key_of(seq)
        self.version += 1
        self._replaced.pop(seq, None)
        if seq >= self.source.size:
            self._added = [position for position in self._added if position[1] != seq]
            del self._added_keys[key], self._key_by_seq[seq]
        elif not self._is_gone(seq):
            insort(self._gone, seq)

    def positions(self, span: Range) -> Iterator[Position]:
        """Positions of the records in the span, in order; records are not computed."""
        base = self._base_run(span)
        time_of, present = self.source.time_of, self._is_gone
        indexes = reversed(base) if span.descending else iter(base)
        untouched = ((time_of(index), index) for index in indexes if not present(index))
        added = self._added_run(span)
        if not added:
            return untouched
        return merge(untouched, reversed(added) if span.descending else added, reverse=span.descending)

    def first(self, span: Range, count: int) -> tuple[list[Position], list[bytes]]:
        """Positions and records of the first `count` of `entries`, or as many as there are, made together."""
        base, added = self._base_run(span), self._added_run(span)
        if span.descending:
            base, added = base[::-1], added[::-1]
        part = base[:count]
        while (lost := self._gone_among(part)) > len(part) - count and len(part) < len(base):
            part = base[: count + lost]
        times, records = self.source.run(part)
        positions = list(zip(times, part, strict=True))
        if not (self._replaced or lost):
            return positions, records
        own = self._replaced
        entries = [
            Entry(position, own.get(position[1], record))
            for position, record in zip(positions, records, strict=True)
            if not (lost and self._is_gone(position[1]))
        ]
        if added:
            more = [Entry(position, own[position[1]]) for position in added[:count]]
            entries = list(merge(entries, more, key=_position, reverse=span.descending))
        return [entry.position for entry in entries[:count]], [entry.record for entry in entries[:count]]

    def _gone_among(self, indexes: range) -> int:
        if not self._gone or not indexes:
            return 0
        low, high = min(indexes[0], indexes[-1]), max(indexes[0], indexes[-1])
        return bisect_left(self._gone, high + 1) - bisect_left(self._gone, low)

    def entries(self, span: Range) -> Iterator[Entry]:
        """As `positions`, with the records."""
        return (Entry(position, self.record(position[1])) for position in self.positions(span))

    def nth(self, offset: int) -> Position | None:
        """The position just before the record that has `offset` records before it, in ascending order of insertion."""
        if offset <= 0:
            return None
        low, high = 0, self.source.size
        while low < high:
            middle = (low + high) // 2
            if middle - bisect_left(self._gone, middle) < offset:
                low = middle + 1
            else:
                high = middle
        remaining = offset - (self.source.size - len(self._gone)) if low >= self.source.size else 0
        if remaining <= 0:
            return (self.source.time_of(low - 1), low - 1)
        return self._added[min(remaining, len(self._added)) - 1] if self._added else (1 << 62, 0)

    def _is_gone(self, index: int) -> bool:
        at = bisect_left(self._gone, index)
        return at < len(self._gone) and self._gone[at] == index

    def _base_run(self, span: Range) -> range:
        low, high = _bounds(span)
        place = self.source.time_of
        every = range(self.source.size)

        def position(index: int) -> Position:
            return place(index), index

        first = bisect_left(every, low, key=position)
        return range(first, max(first, bisect_left(every, high, key=position)))

    def _added_run(self, span: Range) -> list[Position]:
        low, high = _bounds(span)
        return self._added[bisect_left(self._added, low) : bisect_left(self._added, high)]


def _position(entry: Entry) -> Position:
    return entry.position


def _bounds(span: Range) -> tuple[Position, Position]:
    """First position inside and first position beyond, in ascending order."""
    low, high = (span.low, -1), (span.high + 1, -1)
    if span.after is None:
        return low, high
    if span.descending:
        return low, min(high, span.after)
    return max(low, (span.after[0], span.after[1] + 1)), high
