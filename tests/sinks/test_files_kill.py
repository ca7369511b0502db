"""Tables in files that are read while they are written, and whose writer is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from cio_replicate.sinks.backend import StoredTable
from tests.sinks.lakes import SHAPE, Lake, edit, folder, moment, rows, thing

MONTHLY = StoredTable("things", SHAPE.columns, "key", "at")
BEFORE = [thing(f"k{number:03}", 1, at=moment(number), data="{}" * 200) for number in range(1, 181)]
AFTER = [row | {"size": 2, "ratio": 1.0} for row in BEFORE[::3]] + [thing("new", 2, at=moment(400))]
GONE = [str(row["key"]) for row in BEFORE[1::3]]

#: Writes the edit, and dies by its own hand: after some of the rows, or when files take or lose their place.
WRITER = """
import os, signal, sys
import pyarrow as pa
from cio_replicate.sinks.backend import ChangeSet
from tests.sinks.lakes import Lake, edit
from tests.sinks.test_files_kill import AFTER, GONE, MONTHLY

_, scheme, path, event, count = sys.argv
left = int(count)

def die(happened):
    global left
    left -= happened == event
    if left < 0:
        left = 1000  # the kill is an event too
        os.kill(os.getpid(), signal.SIGKILL)

store = Lake(scheme, path).small(full=6000)
store.open()
whole = edit(MONTHLY, AFTER, GONE, at_once=20)

def rows():
    for batch in whole.rows:
        yield batch
        die("row")

sys.addaudithook(lambda happened, arguments: die(happened))
store.write(ChangeSet(MONTHLY, pa.RecordBatchReader.from_batches(whole.rows.schema, rows()), whole.count, whole.gone))
"""
POINTS = {
    "parquet": [("row", 1), ("os.rename", 0), ("os.rename", 3)],
    "delta": [("row", 1), ("os.rename", 0), ("os.rename", 5)],
    "iceberg": [("row", 1), ("os.rename", 0), ("os.link", 0), ("os.remove", 0), ("os.rename", 4)],
}


@pytest.mark.parametrize(
    ("scheme", "event", "count"),
    [
        pytest.param(
            scheme,
            event,
            count,
            id=f"{scheme}-{event}-{count}",
            marks=() if scheme == "parquet" else pytest.mark.destinations,
        )
        for scheme, points in POINTS.items()
        for event, count in points
    ],
)
def test_a_kill_leaves_whole_rows(tmp_path: Path, scheme: str, event: str, count: int) -> None:
    """After SIGKILL each key has its old row or its new one, all or none with a log, and the edit again ends it."""
    lake = folder(scheme, tmp_path)
    lake.small(full=6000).write(edit(MONTHLY, BEFORE))
    command = [sys.executable, "-c", WRITER, scheme, lake.path, event, str(count)]
    killed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {row["key"]: row for row in BEFORE}
    after = {key: row for key, row in before.items() if key not in GONE} | {row["key"]: row for row in AFTER}
    found = lake.theirs("things").to_pylist()
    assert len({row["key"] for row in found}) == len(found)
    assert all(row in (before.get(row["key"]), after.get(row["key"])) for row in found)
    assert {*before} & {*after} <= {row["key"] for row in found}
    if scheme != "parquet":
        assert sorted(found, key=lambda row: str(row["key"])) in (
            [*before.values()],
            [after[key] for key in sorted(after)],
        )
    for left in Path(lake.path).rglob(".unfinished*"):
        os.utime(left, (0, 0))
    for _ in range(2):
        store = lake.small(full=6000)
        store.write(edit(MONTHLY, AFTER, GONE))
        assert rows(store, MONTHLY) == [after[key] for key in sorted(after)]
        assert sorted(lake.theirs("things")["key"].to_pylist()) == sorted(after)
    assert not [*Path(lake.path).rglob(".unfinished*")]


def _look(lake: Lake, stop: threading.Event, seen: list[str]) -> None:
    path = f"{lake.path}/customerio/things"
    query = f"SELECT count(*), count(DISTINCT key), count(*) FILTER (ratio <> size / 2) FROM '{path}/*.parquet'"
    with duckdb.connect() as connection:
        while not stop.is_set():
            # DuckDB opens a file twice: a file that is replaced between both cannot be read, and it says so
            with suppress(duckdb.Error):
                seen.append(str(connection.execute(query).fetchone()))
            keys = [key for file in sorted(Path(path).glob("*.parquet")) for key in _keys(file)]
            seen.append(str((len(keys), len({*keys}), 0)))


def _keys(file: Path) -> list[str]:
    with pq.ParquetFile(file) as opened:  # opens it once: `read_table` opens it twice, and may get two different ones
        keys: list[str] = opened.read(["key"])["key"].to_pylist()
    return keys


def test_readers_see_each_row_once(tmp_path: Path) -> None:
    """Whoever reads plain files while they are replaced sees every key once, with all of its row."""
    lake = folder("parquet", tmp_path)
    store = lake.small(full=6000)
    store.write(edit(MONTHLY, BEFORE[:120]))
    stop, seen = threading.Event(), list[str]()
    thread = threading.Thread(target=_look, args=(lake, stop, seen))
    thread.start()
    try:
        for size in range(2, 25):
            changed = [row | {"size": size, "ratio": size / 2} for row in BEFORE[size % 3 : 120 : 3]]
            store.write(edit(MONTHLY, changed, at_once=50))
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 5
    assert {*seen} == {"(120, 120, 0)"}
