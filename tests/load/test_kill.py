"""A kill in the middle of a write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.load.copies import DuckDBCopy

ROOT = Path(__file__).parents[2]
ROWS = 300
WRITER = f"""
import sys
from pathlib import Path
from tests.load.copies import DuckDBCopy
from tests.load.pages import AT, Pages, close

folder = Path(sys.argv[1])
pages = Pages(folder / "pages")
destination = DuckDBCopy(folder).open()
destination.look()
destination.prepare(AT)
for number in range(10_000):
    fields = {{f"new{{number // 3}}": number}}
    records = [{{"id": one, "name": str(number), **fields}} for one in range({ROWS} + number)]
    file = pages.land(*records[number:])
    print("writing", flush=True)
    destination.write(pages.batch(file, close=close(file, at=AT + number, read=str(number))))
    print(number, flush=True)
"""


@pytest.mark.parametrize(("writes", "delay"), [(0, 0.0), (1, 0.004), (3, 0.012), (5, 0.03)])
def test_a_killed_write_is_there_whole_or_not_at_all(tmp_path: Path, writes: int, delay: float) -> None:
    """After SIGKILL rows, deletions, position and counter are those of one and the same write."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
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
    identity = destination.look()
    assert identity is not None
    position = destination.positions().get("campaigns")
    destination.close()
    last = identity.commits - 1
    assert last >= writes - 1
    if last < 0:
        assert position is None
        return
    assert position is not None
    assert position.read == str(last)
    rows = copy.rows("campaigns").values()
    there = [row for row in rows if row["_cio_deleted_at"] is None]
    assert {row["name"] for row in there} == {str(last)}
    assert {row["id"] for row in there} == set(range(last, ROWS + last))
    assert len(rows) == ROWS + last
