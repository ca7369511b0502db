"""Any sequence of batches ends as a simple model of a copy says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_replicate.sinks.port import Changes, Owner
from tests.sinks.copies import COPIES, tried
from tests.sinks.pages import AT, Pages, close


class Row(NamedTuple):
    """A landed row."""

    id: int
    name: str
    only_seen: bool


class Step(NamedTuple):
    """A batch: its pages, and whether and how it closes the read."""

    pages: list[list[Row]]
    closes: bool
    absence_deletes: bool


@dataclass
class Model:
    """What a copy is: a name and a mark per key."""

    rows: dict[int, tuple[str, bool]] = field(default_factory=dict)

    def write(self, step: Step, seen: set[int]) -> Changes:
        """The same batch, one row at a time."""
        newest = {row.id: row.name for page in step.pages for row in page if not row.only_seen}
        inserted = len(newest.keys() - self.rows.keys())
        updated = sum(self.rows[key] != (name, False) for key, name in newest.items() if key in self.rows)
        self.rows |= {key: (name, False) for key, name in newest.items()}
        gone = [key for key, (_, mark) in self.rows.items() if not mark and key not in seen]
        if not (step.closes and step.absence_deletes):
            gone = []
        self.rows |= {key: (self.rows[key][0], True) for key in gone}
        return Changes(inserted, updated, len(gone))


ROW = st.builds(Row, st.integers(1, 4), st.sampled_from("ab"), st.integers(0, 3).map(lambda one: one == 0))
PAGE = st.lists(ROW, max_size=4).map(lambda rows: sorted(rows, key=lambda row: row.only_seen))
STEPS = st.lists(st.builds(Step, st.lists(PAGE, max_size=3), st.booleans(), st.booleans()), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", tried(COPIES, "duckdb", "twin"))
@settings(max_examples=15, deadline=None)
@given(steps=STEPS)
def test_a_copy_is_as_the_model_says(kind: str, steps: list[Step]) -> None:
    """Counts agree after every batch, content and marks at the end, and each batch written again changes nothing."""
    with TemporaryDirectory() as folder:
        copy, pages, model = COPIES[kind](Path(folder)), Pages(Path(folder) / "pages"), Model()
        destination = copy.open()
        destination.open()
        destination.open(Owner(AT))
        landed: list[Path] = []
        seen: set[int] = set()
        for step in steps:
            files = [_land(pages, page) for page in step.pages]
            landed += files
            seen |= {row.id for page in step.pages for row in page}
            end = close(*landed, absence_deletes=step.absence_deletes) if step.closes else None
            batch = pages.batch(*files, close=end)
            assert destination.write(batch) == model.write(step, seen)
            assert destination.write(batch) == Changes()
            if step.closes:
                landed, seen = [], set()
        destination.close()
        rows = copy.rows("campaigns").values()
        assert {row["id"]: (row["name"], row["_cio_deleted_at"] is not None) for row in rows} == model.rows


def _land(pages: Pages, rows: list[Row]) -> Path:
    records = [[{"id": row.id, "name": row.name} for row in rows if row.only_seen is seen] for seen in (False, True)]
    return pages.land(*records[0], seen=records[1], at=AT)
