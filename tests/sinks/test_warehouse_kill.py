"""A kill in the middle of a write into a SQL database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cio_replicate.sinks.sql.sql_backend import SqlBackend
from tests.sinks import servers
from tests.sinks.places import Place, edit, row, rows_of, shape
from tests.sinks.warehouse_writer import ROWS, STEP, step

ROOT = Path(__file__).parents[2]
MARIADB = pytest.mark.skipif(bool(servers.missing_mariadb()), reason=servers.missing_mariadb() or "there is one")
#: How long after the announcement of a write it is killed, in seconds.
AT_ONCE = [0.0, 0.002, 0.005, 0.01, 0.02, 0.04]
THROUGH_DLT = [0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4]
CASES = [(kind, delay) for kind in ("postgresql", "sqlite") for delay in AT_ONCE]
CASES += [("postgresql+dlt", delay) for delay in THROUGH_DLT]
#: Those that every run of the tests tries.
USUALLY = {("postgresql", 0.02), ("sqlite", 0.005)}
TRIED = [pytest.param(*case, marks=() if case in USUALLY else pytest.mark.destinations) for case in CASES]
MARKED = [pytest.param("mysql", delay, marks=[MARIADB, pytest.mark.destinations]) for delay in AT_ONCE]


@pytest.mark.parametrize(("kind", "delay"), [*TRIED, *MARKED])
def test_a_killed_write_is_there_whole_or_not_at_all(tmp_path: Path, kind: str, delay: float) -> None:
    """After SIGKILL the table is as one and the same write left it, and writing on from there ends right."""
    place = Place(kind, tmp_path)
    killed = _killed(place, after=2, delay=delay)
    store = place.open()  # with an empty folder, as on another machine
    there = _last_whole(store)
    assert there in (killed - 1, killed)
    for number in (killed, killed, killed + 1):
        store.write(step(number))
        assert _last_whole(store) == number
    store.write(edit(shape(), [row("one more")], ["one more row that never was"]))
    assert store.count(shape()) == ROWS + 1
    store.close()


def _killed(place: Place, *, after: int, delay: float) -> int:
    """Let another process write, and kill it in the midst of a write. Returns the number of that write."""
    command = [sys.executable, "-m", "tests.sinks.warehouse_writer", place.kind, str(place.through_dlt), place.dataset]
    command += [place.address.path, str(place.address.port or 0), str(place.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        last = 0
        for line in process.stdout:
            last = int(line)
            if last > after:
                break
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
        rest = [int(line) for line in process.stdout]
    return max([last, *rest])


def _last_whole(store: SqlBackend) -> int:
    """The number of the write that left the table as it is; fails when no single one did."""
    rows = rows_of(store, shape())
    (name,) = {one["name"] for one in rows}
    number = int(name)
    assert sorted(int(one["_cio_key"]) for one in rows) == list(range(number * STEP, number * STEP + ROWS))
    return number
