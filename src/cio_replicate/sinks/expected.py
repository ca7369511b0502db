"""What a copy must hold by what was loaded into it: per table how many live rows, and a sum over their keys.

Both are counted from landed pages, commit by commit, and kept with the copy; to count the copy itself must give the
same.
"""

from __future__ import annotations

import msgspec

from cio_replicate.schema.table import Column, ColumnType

_WRAP = 2**64


class Digests(msgspec.Struct, frozen=True):
    """Live rows: how many, and the sum of the first 64 bits of the MD5 of their keys, modulo 2**64."""

    rows: int = 0
    total: int = 0

    def __add__(self, other: Digests) -> Digests:
        return Digests(self.rows + other.rows, (self.total + other.total) % _WRAP)

    def __sub__(self, other: Digests) -> Digests:
        return Digests(self.rows - other.rows, (self.total - other.total) % _WRAP)

    @property
    def digest(self) -> str:
        """The sum as 16 hexadecimal digits."""
        return f"{self.total % _WRAP:016x}"


class DiscoveredColumn(msgspec.Struct, frozen=True):
    """A column that was found in what the API sent."""

    name: str
    type: ColumnType
    path: tuple[str, ...]


class PendingCommit(msgspec.Struct, frozen=True):
    """A commit that has begun: the table it writes, its name in the store, and what it must hold afterwards."""

    table: str
    target: str
    after: Digests


class CopyFacts(msgspec.Struct):
    """What a copy knows of itself, kept in it as JSON. `versions` are the tables that have a row per version."""

    expected: dict[str, Digests] = msgspec.field(default_factory=dict)
    found: dict[str, list[DiscoveredColumn]] = msgspec.field(default_factory=dict)
    versions: list[str] = msgspec.field(default_factory=list)
    turning: list[str] = msgspec.field(
        default_factory=list
    )  # those that are being brought from one layout to the other
    pending: PendingCommit | None = None

    def note_found(self, table: str, columns: list[Column]) -> None:
        """Remember the columns of a table that were found; those that were found before are in its rows, and stay."""
        now = {column.name: DiscoveredColumn(column.name, column.type, column.path) for column in columns}
        every = {one.name: one for one in self.found.get(table, [])} | now
        if every:
            self.found[table] = list(every.values())


def to_text(facts: CopyFacts) -> str:
    """The facts as JSON."""
    return msgspec.json.encode(facts).decode()


def from_text(text: str | None) -> CopyFacts:
    """The facts in a JSON text that `to_text` wrote; none in a copy that never had any."""
    return msgspec.json.decode(text, type=CopyFacts) if text else CopyFacts()
