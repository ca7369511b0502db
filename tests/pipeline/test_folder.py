"""The state folder: private, held by one, and gone again when nothing came of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cio_replicate.base.errors import StagingFailed, StateFolderError, TaskBusyError
from cio_replicate.base.runtime import default_root
from cio_replicate.pipeline.staging import Staging, task_folder
from tests.pipeline.reads import BEGAN, read_of, rows, stage

HOLD = (
    "import sys, pathlib\n"
    "from cio_replicate.pipeline.staging import Staging\n"
    "with Staging(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.read()\n"
)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_kept_is_private(tmp_path: Path) -> None:
    """Nobody else may look into the folder, and the journal with the files beside it is the user's own."""
    path = tmp_path / "root" / "task"
    with Staging(path) as folder:
        folder.journal.remember("a", "b")
        assert _mode(path) == _mode(path / "pages") == 0o700
        journals = list(path.glob("journal.sqlite*"))
        assert len(journals) > 1
        assert {_mode(file) for file in journals} == {0o600}


def test_a_second_holder_is_refused(tmp_path: Path) -> None:
    """Another process on the same task is an error that says so, and after that process ended there is none."""
    path = tmp_path / "task"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TaskBusyError, match="Another process is running this task"), Staging(path):
            pass
        assert (path / "pages").is_dir()
        other.kill()
    with Staging(path) as folder:
        folder.journal.remember("a", "b")


def test_a_second_holder_in_the_same_process_is_refused(tmp_path: Path) -> None:
    """Two runs in one process exclude each other just the same."""
    with Staging(tmp_path / "task"), pytest.raises(TaskBusyError), Staging(tmp_path / "task"):
        pass


def test_other_tasks_are_not_in_the_way(tmp_path: Path) -> None:
    """Each task has a folder and a lock of its own."""
    with Staging(tmp_path / "one"), Staging(tmp_path / "two"):
        pass


def test_an_untouched_folder_goes_again(tmp_path: Path) -> None:
    """A run that was refused leaves no trace, whether the folder is new or was left empty."""
    path = tmp_path / "task"
    for _ in range(2):
        with Staging(path) as folder:
            assert not folder.has_journal
        assert not path.exists()


def test_a_folder_with_a_journal_stays(tmp_path: Path) -> None:
    """What has been remembered is there the next time, though that run touches nothing."""
    path = tmp_path / "task"
    with Staging(path) as folder:
        folder.journal.remember("copy", "one")
    with Staging(path) as folder:
        assert folder.has_journal
    with Staging(path) as folder:
        assert folder.journal.fact("copy") == "one"


@pytest.mark.parametrize("strange", ["notes.txt", "pages/notes.txt"])
def test_a_folder_with_other_things_stays(tmp_path: Path, strange: str) -> None:
    """What somebody else has put there is neither removed nor a reason to fail."""
    path = tmp_path / "task"
    (path / strange).parent.mkdir(parents=True)
    (path / strange).write_text("mine")
    for _ in range(2):
        with Staging(path):
            pass
        assert (path / strange).read_text() == "mine"


def test_pages_survive_and_orphans_go(tmp_path: Path) -> None:
    """A file that the journal knows is there after reopening; one whose landing was cut short is not."""
    path, read = tmp_path / "task", read_of()
    with Staging(path) as folder:
        folder.journal.begin(read)
        folder.write("known.parquet", rows("a", "b"))
        stage(folder.journal, read, "known.parquet", 2, [], BEGAN)
        folder.write("orphan.parquet", rows("c"))
    with Staging(path) as folder:
        assert folder.journal.files() == {"known.parquet"}
        assert [file.name for file in (path / "pages").iterdir()] == ["known.parquet"]
        assert pq.read_table(folder.file("known.parquet")).to_pylist() == [{"id": "a"}, {"id": "b"}]


def test_dropped_files_are_gone(tmp_path: Path) -> None:
    """Dropping is done once or twice with the same result."""
    with Staging(tmp_path / "task") as folder:
        folder.write("a.parquet", rows("a"))
        folder.write("b.parquet", rows("b"))
        folder.drop(["a.parquet", "never.parquet"])
        folder.drop(["a.parquet"])
        assert not folder.file("a.parquet").exists()
        assert folder.file("b.parquet").exists()
        folder.drop(["b.parquet"])


def test_a_page_is_never_written_over(tmp_path: Path) -> None:
    """A name that is taken is an error that stops the run, and the first page stays."""
    with Staging(tmp_path / "task") as folder:
        folder.write("a.parquet", rows("first"))
        with pytest.raises(StagingFailed, match=r"could not be written.*what is landed is kept"):
            folder.write("a.parquet", rows("second"))
        assert pq.read_table(folder.file("a.parquet")).to_pylist() == [{"id": "first"}]
        folder.drop(["a.parquet"])


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """When the folder went away under a run the error names it and what to do."""
    with Staging(tmp_path / "task") as folder:
        (tmp_path / "task" / "pages").rmdir()
        with pytest.raises(StagingFailed, match=r"pages.*‹state_dir›"):
            folder.write("a.parquet", rows("a"))


@pytest.mark.parametrize("below", ["", "task", "a/b/task"])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, below: str) -> None:
    """A file in the way is named, with the option that leads elsewhere."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / below
    with pytest.raises(StateFolderError, match=r"cannot be written.*‹state_dir›") as caught, Staging(path):
        pass
    assert str(path) in str(caught.value)


def test_a_name_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    """The system's reason is repeated in words."""
    with pytest.raises(StateFolderError, match="too long"), Staging(tmp_path / ("x" * 300)):
        pass


def test_a_damaged_journal_lets_go_of_the_folder(tmp_path: Path) -> None:
    """After the error the folder can be opened again at once."""
    path = tmp_path / "task"
    path.mkdir()
    (path / "journal.sqlite").write_bytes(b"garbage")
    for _ in range(2):
        with pytest.raises(StateFolderError, match="is damaged"), Staging(path) as folder:
            folder.journal.fact("copy")


def test_each_task_has_its_folder() -> None:
    """Destination and dataset name it: readable, safe as a file name, and different for every task."""
    root = default_root()
    tasks = [("duckdb:///a/copy.duckdb", "x"), ("duckdb:///b/copy.duckdb", "x"), ("duckdb:///a/copy.duckdb", "y"),
             ("duckdb:///a/../ü /" + "z" * 300, "x")]  # fmt: skip
    folders = [task_folder(root, *task) for task in tasks]
    assert len(set(folders)) == len(tasks)
    assert folders[0].name.startswith("copy-x-")
    assert all(folder.parent == root and folder.name.isascii() and len(folder.name) < 100 for folder in folders)
    assert folders == [task_folder(root, *task) for task in tasks]
