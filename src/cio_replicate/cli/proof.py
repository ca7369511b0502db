"""Whether a copy equals its source: counts and changes side by side, decided without looking at either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.text import number
from cio_replicate.pipeline.report import TableReport


@dataclass(frozen=True, slots=True)
class SourceEdits:
    """What was changed at the source between two runs. `expired` rows left it by age; the copy keeps them."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """One table: rows of the first run, changes by the second, rows in the copy and at the source."""

    table: str
    first: int
    inserted: int
    updated: int
    deleted: int
    copy: int
    source: int
    kept: int  # rows that the copy holds and the source no longer does
    edits: SourceEdits

    @property
    def holds(self) -> bool:
        """Whether the copy has what the source has, and the second run brought exactly the edits."""
        brought = (self.inserted, self.updated, self.deleted)
        return self.copy == self.source + self.kept and brought == (
            self.edits.inserted,
            self.edits.updated,
            self.edits.deleted,
        )


def proofs(
    first: Sequence[TableReport],
    second: Sequence[TableReport],
    *,
    copy: Mapping[str, int],
    source: Mapping[str, int],
    edits: Mapping[str, SourceEdits],
) -> list[Proof]:
    """One proof per table, in the order of the reports."""
    again = {one.name: one for one in second}
    return [
        Proof(
            table=one.name,
            first=one.inserted,
            inserted=again[one.name].inserted,
            updated=again[one.name].updated,
            deleted=again[one.name].deleted,
            copy=copy.get(one.name, 0),
            source=source[one.name],
            kept=edits.get(one.name, SourceEdits()).expired,
            edits=edits.get(one.name, SourceEdits()),
        )
        for one in first
    ]


def proof_grid(every: Sequence[Proof]) -> Grid:
    """The proofs as a table."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    for name in ("first", "new", "changed", "deleted", "copy", "source"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    for one in every:
        counts = (one.first, one.inserted, one.updated, one.deleted, one.copy, one.source)
        mark = Text("equal", "green") if one.holds else Text("differs", "red")
        grid.add_row(one.table, *map(number, counts), mark)
    return grid


def remarks(every: Sequence[Proof]) -> list[str]:
    """What the table of proofs does not explain by itself."""
    return [
        f"{one.table}: {number(one.kept)} of the rows in the copy are too old for the source, which has dropped them."
        for one in every
        if one.kept
    ]
