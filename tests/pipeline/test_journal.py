"""The journal: what it has said it remembers, whatever happens after."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import StagingFailed, StateFolderError
from cio_replicate.pipeline.journal import VERSION, Journal
from cio_replicate.schema.system_tables import Checkpoint, from_text, to_text
from cio_replicate.schema.table import ColumnType
from cio_replicate.source.pages import Cursor
from cio_replicate.source.strategies.base import ReadStats
from tests.pipeline.reads import BEGAN, column, read_of, stage

ROOT = Path(__file__).parents[2]
BASE = Checkpoint(read="earlier", start=5, through=7, latest=6)
TALLY = ReadStats(rows=9, misfits=2, left_out=1, latest=8, earliest=-3, skipped=["One.", "Twö 😀."])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(file: Path) -> Iterator[Journal]:
    """An empty journal."""
    made = Journal(file)
    yield made
    made.close()


def test_a_read_comes_back_as_it_began(journal: Journal) -> None:
    """Start, base and every part in its order come back."""
    read = read_of(base=BASE, parts=12)
    journal.begin(read)
    assert journal.read_of("campaigns") == read
    assert journal.read_of("segments") is None


def test_page_place_and_tally_land_together_and_last(journal: Journal, file: Path) -> None:
    """After a landing a journal opened anew has the page, the place and the counts, and other parts as they were."""
    read = read_of()
    journal.begin(read)
    read.parts[1].cursor = Cursor(token='a"\\😀', offset=70, empty_pages=3, done=True)
    read.tally, read.touched = TALLY, BEGAN + 50
    stage(journal, read, "one.parquet", 7, [], read.touched)
    journal.close()
    again = Journal(file)
    assert again.read_of("campaigns") == read
    assert [(page.file, page.rows, page.loaded) for page in again.pages(read)] == [("one.parquet", 7, False)]
    assert again.files() == {"one.parquet"}
    again.close()


def test_what_fails_leaves_neither_page_nor_place(journal: Journal) -> None:
    """A landing that the disk has no room for moves nothing, and later ones are not hindered by it."""
    read = read_of()
    journal.begin(read)
    pages = journal._sqlite.execute("PRAGMA page_count").fetchone()[0]
    journal._sqlite.execute(f"PRAGMA max_page_count = {pages}")
    before = journal.read_of("campaigns")
    moved = read_of()
    moved.recorded = True
    moved.parts[0].cursor = Cursor(token="b" * 100_000)
    with pytest.raises(StagingFailed, match="Make room"):
        stage(journal, moved, "one.parquet", 7, [column("new")], BEGAN + 1)
    assert journal.read_of("campaigns") == before
    assert journal.pages(read) == []
    assert journal.discovered("campaigns") == []
    journal._sqlite.execute("PRAGMA max_page_count = 100000")
    stage(journal, moved, "one.parquet", 7, [], BEGAN + 1)
    assert len(journal.pages(read)) == 1


def test_a_killed_process_leaves_whole_landings(file: Path) -> None:
    """What a process had been told is landed is there after a SIGKILL, and what it was at is there whole or not."""
    script = (
        "import sys, pathlib\n"
        "from cio_replicate.source.pages import Cursor\n"
        "from cio_replicate.pipeline.journal import Journal\n"
        "from tests.pipeline.reads import read_of, stage\n"
        "journal, read = Journal(pathlib.Path(sys.argv[1])), read_of()\n"
        "journal.begin(read)\n"
        "for number in range(1_000_000):\n"
        "    read.parts[0].cursor, read.tally.rows = Cursor(token=str(number)), number\n"
        "    stage(journal, read, f'{number}.parquet', 1, [], number)\n"
        "    print(number, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(25)]
        process.kill()
    journal = Journal(file)
    read = journal.read_of("campaigns")
    assert read is not None
    pages = journal.pages(read)
    journal.close()
    assert [page.file for page in pages] == [f"{number}.parquet" for number in range(len(pages))]
    assert len(pages) > told[-1]
    assert read.parts[0].cursor.token == str(len(pages) - 1)
    assert read.tally.rows == len(pages) - 1


def test_a_part_moves_without_a_page(journal: Journal) -> None:
    """An empty page, a skipped part and a part that starts again are remembered with the counts."""
    read = read_of()
    journal.begin(read)
    read.tally = TALLY
    for place in (Cursor(token="t", empty_pages=1), Cursor(), Cursor(done=True)):
        read.parts[0].cursor, read.touched = place, read.touched + 1
        stage(journal, read, at=read.touched)
        assert journal.read_of("campaigns") == read
    assert journal.pages(read) == []


def test_parts_are_added_once(journal: Journal) -> None:
    """A part that is there already keeps its place."""
    read = read_of()
    journal.begin(read)
    read.parts[0].cursor = Cursor(done=True)
    stage(journal, read, at=BEGAN)
    journal.extend(read, read_of(parts=3).parts)
    (first, second, third) = (journal.read_of("campaigns") or read).parts
    assert (first.cursor.done, second.cursor.done, third.name) == (True, False, "part 2")


def test_a_table_has_one_read(journal: Journal) -> None:
    """A second read of a table is a mistake of the program and changes nothing."""
    journal.begin(read_of())
    with pytest.raises(sqlite3.IntegrityError):
        journal.begin(read_of())
    assert journal.read_of("campaigns") == read_of()


@pytest.mark.parametrize("drop", [True, False])
def test_loaded_pages_are_marked_or_forgotten(journal: Journal, *, drop: bool) -> None:
    """With the pages the number of the commit is noted; pages that tell what is gone stay until the end."""
    read = read_of()
    journal.begin(read)
    numbers = [stage(journal, read, f"{n}.parquet", n, [], BEGAN) for n in range(3)]
    journal.loaded(numbers[:2], 17, drop=drop)
    left = [(page.file, page.loaded) for page in journal.pages(read)]
    assert left == ([] if drop else [("0.parquet", True), ("1.parquet", True)]) + [("2.parquet", False)]
    assert journal.fact("commit") == "17"


def test_page_numbers_do_not_come_again(journal: Journal) -> None:
    """A number says which page is newer, so none is given twice, not even after the newest page went."""
    read = read_of()
    journal.begin(read)
    first = stage(journal, read, "a.parquet", 1, [], BEGAN)
    journal.loaded([first], 1, drop=True)
    assert stage(journal, read, "b.parquet", 1, [], BEGAN) > first


def test_forgetting_a_read_takes_its_parts_and_pages(journal: Journal, file: Path) -> None:
    """Nothing of it is left, and nothing of another read goes with it."""
    gone, kept = read_of(), read_of("segments")
    for read in (gone, kept):
        journal.begin(read)
        stage(journal, read, f"{read.table}.parquet", 1, [column("new")], BEGAN)
    journal.forget(gone)
    assert journal.read_of("campaigns") is None
    assert journal.files() == {"segments.parquet"}
    assert len((journal.read_of("segments") or gone).parts) == 2
    assert len(journal.discovered("campaigns")) == 1
    with sqlite3.connect(file) as sql:
        assert sql.execute("SELECT count(*) FROM parts WHERE read_id = ?", (gone.id,)).fetchone() == (0,)
    sql.close()
    journal.begin(gone)


def test_a_closed_read_is_remembered_until_the_run_ends(journal: Journal) -> None:
    """A run that is killed knows which tables it was done with; one that ended leaves no such mark."""
    read, other = read_of(), read_of("segments")
    for one in (read, other):
        journal.begin(one)
        stage(journal, one, f"{one.table}.parquet", 1, [], BEGAN)
    journal.closed(read, 5, BEGAN + 10)
    assert journal.read_of("campaigns") is None
    assert journal.files() == {"segments.parquet"}
    assert journal.fact("commit") == "5"
    assert journal.done() == {"campaigns": (read.id, BEGAN + 10)}
    journal.run_ended()
    assert journal.done() == {}
    assert journal.read_of("segments") == other


def test_the_last_sign_of_life(journal: Journal) -> None:
    """It is the latest of what landed and what was closed, and there is none in an empty journal."""
    assert journal.last_sign_of_life() == 0
    read, other = read_of(), read_of("segments")
    journal.begin(read)
    journal.begin(other)
    assert journal.last_sign_of_life() == BEGAN
    stage(journal, other, at=BEGAN + 7)
    assert journal.last_sign_of_life() == BEGAN + 7
    journal.closed(read, 1, BEGAN + 9)
    assert journal.last_sign_of_life() == BEGAN + 9


def test_discovered_columns_come_back_in_their_order(journal: Journal) -> None:
    """Name, type and path come back; a column found twice keeps the first type; tables do not share theirs."""
    read, other = read_of(), read_of("segments")
    found = [column("z", ColumnType.JSON), column("metrics__waved", ColumnType.INTEGER, ("metrics", "waved"))]
    journal.begin(read)
    journal.begin(other)
    stage(journal, read, "a", 1, found, BEGAN)
    stage(journal, read, "b", 1, [column("z", ColumnType.STRING), column('a"b', path=("a.b",))], BEGAN)
    assert journal.discovered("campaigns") == [*found, column('a"b', path=("a.b",))]
    assert journal.discovered("segments") == []
    journal.forget_copy()
    assert journal.discovered("campaigns") == []


def test_facts(journal: Journal) -> None:
    """A fact is remembered until it is set anew."""
    assert journal.fact("copy") is None
    journal.remember("copy", "one")
    journal.remember("copy", "two")
    assert journal.fact("copy") == "two"


def test_the_newest_hundred_runs_are_kept(journal: Journal) -> None:
    """The history does not grow without end; a run recorded twice counts once, and the newest come first."""
    for number in range(130):
        journal.record_run(f"run {number}", BEGAN + number // 2, f"report {number}")
    journal.record_run("run 129", BEGAN + 64, "report 129 again")
    assert journal.runs(2) == ["report 129 again", "report 128"]
    assert len(journal.runs(1000)) == 100


@given(
    position=st.builds(
        Checkpoint, read=st.text(), start=st.integers(), through=st.integers(), latest=st.none() | st.integers()
    )
)
def test_a_position_comes_back_from_its_text(position: Checkpoint) -> None:
    """Positions travel as text and arrive the same."""
    assert from_text(to_text(position)) == position


@pytest.mark.parametrize("kept", [50, 100, 1000, 4096, 5000])
def test_a_truncated_journal_is_one_sentence(file: Path, kept: int) -> None:
    """What is left of a journal is no reason for a traceback: the error names the file and what to do."""
    whole = Journal(file)
    whole.begin(read_of())
    whole.close()
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(StateFolderError, match=r"journal\.sqlite is damaged .*Remove the folder"):
        Journal(file)


@pytest.mark.parametrize("content", [b"garbage", b"\x00" * 5000, b"SQLite format 3\x00" + b"\xff" * 4080])
def test_a_garbage_journal_is_one_sentence(file: Path, content: bytes) -> None:
    """A file of something else is not taken for a journal."""
    file.write_bytes(content)
    with pytest.raises(StateFolderError, match="is damaged"):
        Journal(file)


def test_damage_found_later_is_one_sentence(file: Path) -> None:
    """A journal that opens and has a broken page says so when that page is read."""
    whole = Journal(file)
    whole.begin(read_of(parts=2000))
    whole.close()
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xab" * (len(content) - 8192)
    file.write_bytes(content)
    with pytest.raises(StateFolderError, match="is damaged"):
        Journal(file).read_of("campaigns")


def test_a_journal_of_another_version_is_refused(file: Path) -> None:
    """A newer program's journal is not read as if it were ours."""
    Journal(file).close()
    with sqlite3.connect(file) as sql:
        sql.execute(f"PRAGMA user_version = {VERSION + 1}")
    sql.close()
    with pytest.raises(StateFolderError, match="another version"):
        Journal(file)
