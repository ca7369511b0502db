"""Writes of several files of which a kill leaves some, and what the next run makes of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.lake.object_files import LocalFiles, NewFile
from cio_replicate.sinks.lake.parquet import ParquetBackend
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Sink
from tests.sinks.copying import alone
from tests.sinks.fragile import Killed
from tests.sinks.mode_model import TREATMENTS, Page, Step
from tests.sinks.played import TABLE, Play, opened
from tests.sinks.real import RealCopy

SMALL = 6000  # bytes; a file of these rows is full with the first


def _named(name: str, *keys: int) -> list[Page]:
    return [Page([{"id": key, "name": name} for key in keys])]


#: Rows in two files, of each of which one is gone then; and what makes of each file another, and a third.
BEFORE = (
    Step(_named("a", 1, 2, 3), absence_deletes=False),
    Step(_named("a", 4, 5, 6), absence_deletes=False),
    Step(_named("a", 2, 3, 5, 6)),
)
AFTER = Step(_named("b", 1, 2, 4, 5, 7), absence_deletes=False)


class MortalFiles(LocalFiles):
    """A folder whose user is killed as a file of the table is to take its place, once some have."""

    def __init__(self, root: Path, lives: int) -> None:
        super().__init__(root)
        self.lives = lives

    def put(self, file: NewFile, *, exclusive: bool = False) -> int:
        """Put the file, or die."""
        if file.name.startswith(f"{TABLE.name}/"):
            self.lives -= 1
            if self.lives < 0:
                raise Killed
        return super().put(file, exclusive=exclusive)


class SmallCopy(RealCopy):
    """A copy in plain Parquet, a new file for each step; how many of its files take their place is bounded."""

    def __init__(self, folder: Path) -> None:
        super().__init__("parquet", folder)
        self._root = folder / "lake" / "customerio"
        self._root.parent.mkdir(exist_ok=True)
        self.lives = 1000

    def open(self, around: Callable[[TableBackend], TableBackend] = alone) -> Sink:
        """A destination that has not looked yet."""
        store = around(ParquetBackend(MortalFiles(self._root, self.lives), full=SMALL))
        return CopySink(store, IndexMerger(store, self._ledger), self._dataset, "a store")


@pytest.mark.parametrize(
    "mode", [pytest.param("apply", marks=pytest.mark.slow), pytest.param("changes", marks=pytest.mark.slow), "history"]
)
def test_some_files_of_a_write(tmp_path: Path, mode: str) -> None:
    """Whichever files a kill leaves, the write again ends as it would have ended, and the copy is proved."""
    treatment = TREATMENTS[mode]
    for lives in count():
        folder = tmp_path / str(lives)
        folder.mkdir()
        copy = SmallCopy(folder)
        play = Play(copy, folder)
        play.play(*BEFORE, treatment=treatment)
        batch = play.batch(AFTER, treatment)
        copy.lives = lives
        destination = opened(copy)
        try:
            destination.write(batch)
        except Killed:
            died = True
        else:
            died = False
        destination.close()
        copy.lives = 1000
        play.modelled(AFTER, treatment)
        destination = opened(copy)
        assert destination.digests(TABLE) == destination.state.expected.get(TABLE.name)
        destination.write(batch)
        play.prove(destination)
        destination.close()
        play.compare()
        if not died:
            break
    assert lives == 3
