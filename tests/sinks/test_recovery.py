"""A commit to a store that is broken off at any moment, what the next run makes of it, and what is written at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from cio_replicate.config.table_options import WriteOptions
from cio_replicate.sinks.backend import TableBackend
from cio_replicate.sinks.port import Batch, Changes, Owner, Sink
from tests.sinks.copies import COPIES, STORES, StoreCopy, tried
from tests.sinks.fragile import FragileStore, Killed
from tests.sinks.mode_model import TREATMENTS, Page, Step
from tests.sinks.pages import AT, Pages, close
from tests.sinks.played import TABLE, Play, opened

BASE = Step([Page([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}])])
CHANGED = Step(
    [Page([{"id": 1, "name": "changed"}, {"id": 3, "name": "c"}, {"id": 4, "name": "d"}, {"id": 5, "surprise": 5}])]
)
MOVED_ON = Step([Page([{"id": 1, "name": "again"}, {"id": 2, "name": "b"}, {"id": 5, "surprise": 6}])])
LAST = Step([Page([{"id": 1, "name": "a"}, {"id": 6, "name": "f"}])])
#: What the next run finds at the source.
NEXT = {"as it was read": CHANGED, "moved on": MOVED_ON, "back to what it was": BASE}
#: Those that are tried each time; the others are slow together.
QUICK = {("changes", "moved on")}
TRIED = [
    pytest.param(name, following, marks=() if (name, following) in QUICK else pytest.mark.slow)
    for name in TREATMENTS
    for following in NEXT
]


@pytest.fixture(params=tried(STORES, "twin"))
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> StoreCopy:
    """An empty copy in each kind of store."""
    return STORES[request.param](tmp_path)


def broken(copy: StoreCopy, lives: int, *, late: bool, act: Callable[[Sink], object]) -> list[str] | None:
    """Do something with the store, which is killed at a write; what was written before. None: it lived on."""
    stores: list[FragileStore] = []

    def around(store: TableBackend) -> TableBackend:
        stores.append(FragileStore(store, lives, late=late))
        return stores[0]

    destination = copy.open(around)
    try:
        destination.open()
        destination.open(Owner(AT))
        act(destination)
    except Killed:
        return stores[0].writes
    finally:
        destination.close()
    return None


def writing(batch: Batch) -> Callable[[Sink], object]:
    """To write the batch."""
    return lambda destination: destination.write(batch)


def written(writes: list[str]) -> bool:
    """Whether the table has got its rows, so that the commit came true."""
    return TABLE.name in writes


@pytest.mark.parametrize(("treatment", "following"), TRIED)
def test_a_commit_broken_off_anywhere(copy: StoreCopy, tmp_path: Path, treatment: str, following: str) -> None:
    """Nothing is lost, nothing is there twice, and exactly what the table went through is noted, whatever comes next.

    The ledger is kept and lost in turn.
    """
    play, mode = Play(copy, tmp_path), TREATMENTS[treatment]
    play.play(Step([Page([{"id": 4, "name": "d"}])]), treatment=mode)
    for lives in count():
        play.play(BASE, treatment=mode)
        batch = play.batch(CHANGED, mode)
        # before the first write, then after each one, which is before the next one too
        writes = broken(copy, max(lives - 1, 0), late=lives > 0, act=writing(batch))
        if writes is None:
            break
        if (lives + list(NEXT).index(following)) % 2:
            copy.forget()
        counted = play.modelled(CHANGED, mode) if written(writes) else None
        settled(play)
        if following == "as it was read":
            again(play, batch, Changes() if counted else play.modelled(CHANGED, mode))
        else:
            play.play(NEXT[following], treatment=mode)
    moments = (7 if copy.transactional else 5) if treatment.startswith("changes") else 4
    assert lives == 1 + moments


def again(play: Play, batch: Batch, counted: Changes) -> None:
    """The batch comes again, and counts what the model says."""
    destination = opened(play.copy)
    assert destination.write(batch) == counted
    assert batch.close is not None
    assert destination.state.checkpoints[TABLE.name] == batch.close.position
    play.prove(destination)
    destination.close()
    play.compare()


def settled(play: Play) -> None:
    """The next run has begun: the copy is as the model says, and proves it."""
    destination = opened(play.copy)
    play.prove(destination)
    destination.close()
    play.compare()


@pytest.mark.parametrize(
    ("old", "new", "then"),
    [
        pytest.param("apply", "history", "history", marks=pytest.mark.slow),
        pytest.param("apply", "history", "apply", marks=pytest.mark.slow),
        pytest.param("history", "changes", "changes", marks=pytest.mark.slow),
        pytest.param("changes", "apply-hard", "changes", marks=pytest.mark.slow),
    ],
)
def test_a_change_of_mode_broken_off_anywhere(tmp_path: Path, old: str, new: str, then: str) -> None:
    """Rows and proof are right in the mode in which the next run comes: the new one, or the old one after all."""
    for lives in count():
        folder = tmp_path / str(lives)
        folder.mkdir()
        copy = STORES["twin"](folder)
        play = Play(copy, folder)
        play.play(BASE, Step([Page([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])]), treatment=TREATMENTS[old])
        step = Step([Page([{"id": 2, "name": "b"}, {"id": 6, "name": "f"}])])
        batch = play.batch(step, TREATMENTS[new])
        writes = broken(copy, lives, late=False, act=writing(batch))
        if writes is None:
            break
        turned = "history" in (old, new)
        if writes.count(TABLE.name) > turned:
            play.modelled(step, TREATMENTS[new])
        destination = opened(copy)
        play.prove(destination)
        destination.close()
        back = then == old and writes.count(TABLE.name) > turned
        play.play(step if back else LAST, treatment=TREATMENTS[new if back and turned else then])


def test_the_first_commit_broken_off_anywhere(tmp_path: Path) -> None:
    """A copy that was only begun is begun again, or goes on."""
    for lives in count():
        folder = tmp_path / str(lives)
        folder.mkdir()
        copy = STORES["twin"](folder)
        play = Play(copy, folder)
        batch = play.batch(BASE, TREATMENTS["changes"])
        writes = broken(copy, lives, late=False, act=writing(batch))
        if writes is None:
            break
        counted = play.modelled(BASE, TREATMENTS["changes"])
        again(play, batch, Changes() if written(writes) else counted)
    assert lives == 6


@pytest.mark.parametrize("treatment", ["changes", pytest.param("history", marks=pytest.mark.slow)])
def test_a_drop_broken_off_anywhere(tmp_path: Path, treatment: str) -> None:
    """The table is read whole by the next run, and nothing is taken to be there that is not."""
    for lives in count():
        folder = tmp_path / str(lives)
        folder.mkdir()
        copy = STORES["twin"](folder)
        play, mode = Play(copy, folder), TREATMENTS[treatment]
        play.play(BASE, CHANGED, treatment=mode)
        writes = broken(copy, lives, late=False, act=lambda one: one.drop(TABLE))
        destination = opened(copy)
        assert (TABLE.name in destination.state.checkpoints) == (writes == [])
        file = Pages(folder / "again").land(*CHANGED.pages[0].records, at=AT + 10_000)
        destination.write(replace(play.batch(CHANGED, mode), files=[file], close=close(file, at=AT + 10_060)))
        assert destination.digests(TABLE) == destination.state.expected.get(TABLE.name) == play.model.keys
        destination.close()
        live = [row for row in copy.every(TABLE.name) if row["_cio_deleted_at"] is None and row["_cio_key"] != "2"]
        names = {row["_cio_key"]: row["name"] for row in live if row.get("_cio_is_current") is not False}
        assert names == {"1": "changed", "3": "c", "4": "d", "5": None}
        if writes is None:
            break
    assert lives == 5


@pytest.mark.parametrize("treatment", ["apply", "history"])
@pytest.mark.parametrize("kind", ["duckdb", "twin"])
def test_a_row_that_somebody_removed_is_missed(tmp_path: Path, kind: str, treatment: str) -> None:
    """What the copy holds is then not what was loaded, and more reads of the same do not hide it."""
    copy, mode = COPIES[kind](tmp_path), TREATMENTS[treatment]
    play = Play(copy, tmp_path)
    play.play(BASE, treatment=mode)
    copy.tamper(TABLE.name, "2")
    for step in (Step([Page([{"id": 1, "name": "a"}])], absence_deletes=False), Step(closes=False)):
        destination = opened(copy)
        destination.write(play.batch(step, mode))
        assert destination.digests(TABLE) != destination.state.expected.get(TABLE.name) == play.model.keys
        destination.close()


@pytest.mark.parametrize("kind", ["duckdb", "twin"])
def test_rows_that_a_killed_run_spilled_do_not_stay(tmp_path: Path, kind: str) -> None:
    """What DuckDB wrote beside its file for want of memory is removed by the next run; what is not DuckDB's stays."""
    copy = COPIES[kind](tmp_path)
    folder = tmp_path / ("copy.duckdb.tmp" if kind == "duckdb" else "ledger.duckdb.tmp")
    Play(copy, tmp_path).play(BASE, treatment=WriteOptions())
    folder.mkdir()
    (folder / "duckdb_temp_1_0_storage_DEFAULT-0.tmp").write_bytes(b"rows")
    (folder / "mine").write_bytes(b"")
    pages = Pages(tmp_path / "more")
    copy.write(pages.batch(pages.land({"id": 9})))
    assert [one.name for one in folder.iterdir()] == ["mine"]


def unchanged(folder: Path, rows: int) -> tuple[float, float]:
    """Load a list and load it again, which must write nothing but the position; seconds and CPU seconds of that."""
    pages = Pages(folder / "pages")
    at_once = 5_000
    files = [
        pages.land(*({"id": one, "name": f"name {one}"} for one in range(first, first + at_once)))
        for first in range(0, rows, at_once)
    ]
    copy, treatment = STORES["twin"](folder), WriteOptions()
    first = replace(pages.batch(*files, close=close(*files)), treatment=treatment)
    assert copy.write(first) == Changes(inserted=rows)
    stores: list[FragileStore] = []

    def around(store: TableBackend) -> TableBackend:
        stores.append(FragileStore(store, 100))
        return stores[0]

    destination = copy.open(around)
    destination.open()
    destination.open(Owner(AT))
    began, used = time.perf_counter(), time.process_time()
    assert destination.write(first) == Changes()
    spent = time.perf_counter() - began, time.process_time() - used
    assert stores[0].writes == ["_cio_positions", "_cio_copy"]
    destination.close()
    return spent


def test_an_unchanged_list_writes_nothing(tmp_path: Path) -> None:
    """Of a hundred thousand rows that are as they were, none travels: the position does, and the copy's own row."""
    unchanged(tmp_path, 100_000)


@pytest.mark.slow
def test_a_large_unchanged_list_writes_nothing(tmp_path: Path) -> None:
    """Nor does any of a million, in less than a minute of CPU time."""
    elapsed, used = unchanged(tmp_path, 1_000_000)
    print(f"1,000,000 unchanged rows: {elapsed:.1f} s, {used:.1f} CPU s")  # noqa: T201 - the measurement
    assert used < 60
