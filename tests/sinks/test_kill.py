"""A kill in the middle of a write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cio_replicate.source.catalog import table
from tests.sinks.copies import DuckDBCopy

TABLE = table("campaigns")
ROOT = Path(__file__).parents[2]
ROWS = 300
WRITER = f"""
import sys
from dataclasses import replace
from pathlib import Path
from cio_replicate.config.table_options import WriteMode, WriteOptions
from cio_replicate.sinks.port import Owner
from tests.sinks.copies import DuckDBCopy
from tests.sinks.pages import AT, Pages, close

folder, treatment = Path(sys.argv[1]), WriteOptions(WriteMode(sys.argv[2]))
pages = Pages(folder / "pages")
destination = DuckDBCopy(folder).open()
destination.open()
destination.open(Owner(AT))
for number in range(10_000):
    fields = {{f"new{{number // 3}}": number}}
    records = [{{"id": one, "name": str(number), **fields}} for one in range({ROWS} + number)]
    file = pages.land(*records[number:])
    print("writing", flush=True)
    batch = pages.batch(file, close=close(file, at=AT + number, read=str(number)))
    destination.write(replace(batch, treatment=treatment))
    print(number, flush=True)
"""


@pytest.mark.parametrize(
    ("mode", "writes", "delay"),
    [
        pytest.param("apply", 0, 0.0, marks=pytest.mark.slow),
        ("apply", 1, 0.004),
        pytest.param("full", 2, 0.008, marks=pytest.mark.slow),
        ("changes", 3, 0.012),
        pytest.param("changes", 5, 0.03, marks=pytest.mark.slow),
        pytest.param("history", 3, 0.02, marks=pytest.mark.slow),
        pytest.param("history", 5, 0.04, marks=pytest.mark.slow),
    ],
)
def test_a_killed_write_is_there_whole_or_not_at_all(tmp_path: Path, mode: str, writes: int, delay: float) -> None:
    """After SIGKILL rows, versions, changes, deletions, position and counter are those of one and the same write."""
    command = [sys.executable, "-c", WRITER, str(tmp_path), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"{writes - 1}\n" or (writes == 0 and line == "writing\n"):
                break
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
    copy = DuckDBCopy(tmp_path)
    destination = copy.open()
    state = destination.open()
    assert state is not None
    position = destination.state.checkpoints.get("campaigns")
    assert position is None or destination.digests(TABLE) == destination.state.expected.get(TABLE.name)
    destination.close()
    last = state.identity.commits - 1
    assert last >= writes - 1
    if last < 0:
        assert position is None
        return
    assert position is not None
    assert position.read == str(last)
    rows = copy.every("campaigns")
    there = [row for row in rows if (row["_cio_is_current"] if mode == "history" else row["_cio_deleted_at"] is None)]
    assert {row["name"] for row in there} == {str(last)}
    assert sorted(row["id"] for row in there) == list(range(last, ROWS + last))
    assert len(rows) == {"full": ROWS, "history": ROWS + last * ROWS}.get(mode, ROWS + last)
    notes = copy.every("campaigns__changes")
    assert (
        len({row["_cio_sequence"] for row in notes}) == len(notes) == (mode == "changes") * (ROWS + last * (ROWS + 1))
    )
