"""How far a table has been read, as it is stored with the data and in the journal."""

from __future__ import annotations

import msgspec


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What complete reads of a table cover. All times are unix seconds.

    `start`: the earliest moment replicated. `through`: when the last complete read began; everything that the source
    held then is in the copy, but for what its rules leave to a later read. `latest`: the highest value of the
    replication key (or of the start date's column) seen. `whole`: when the last read began that left out nothing; in
    positions of earlier versions, whose reads never did, it is missing. `read`: the read that brought this position,
    so that two positions are the same only if one read made them. `rules`: the rules for columns and names by which it
    was landed. `target`: what the table is called in the copy; "" in positions of earlier versions.
    """

    read: str
    start: int
    through: int
    latest: int | None = None
    whole: int | None = None
    rules: str = ""
    target: str = ""

    @property
    def last_whole(self) -> int:
        """When the last read began that left out nothing."""
        return self.through if self.whole is None else self.whole


_decoder = msgspec.json.Decoder(Checkpoint)


def to_text(position: Checkpoint) -> str:
    """The position as JSON."""
    return msgspec.json.encode(position).decode()


def from_text(text: str) -> Checkpoint:
    """The position in a JSON text that `to_text` wrote."""
    return _decoder.decode(text)
