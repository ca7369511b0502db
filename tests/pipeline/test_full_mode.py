"""The mode *full*, from end to end: each run replaces a table in one commit by what the source has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cio_replicate.config.table_options import RECENT_DAYS, WriteMode, WriteOptions
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import Batch, Changes, RunRows, count_rows
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline.copies import copies, copy, differences, truth
from tests.pipeline.syncs import ALL, sync

DAY = 86_400
ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_run.py")
SPEC = WorkspaceSpec(seed=4, messages=2_400, activities=150, people=130)
FULL = {one.name: WriteOptions(WriteMode.FULL) for one in TABLES if one.retention_days is None}
LISTS = tuple(FULL)
SOME = tuple(table(name) for name in ("messages", "customers", "newsletters", "topics"))


def _this(copy: DuckDBSink) -> DuckDBSink:
    return copy


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _marked(folder: Path) -> int:
    """How many rows are marked as deleted."""
    return sum(found.total() for found in copies(folder / "copy.duckdb", ALL, deleted=True).values())


def test_each_run_leaves_what_the_source_has(tmp_path: Path) -> None:
    """Rows that are gone are gone from the table, changed ones changed; nothing stays as deleted."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, treatments=FULL)
        changes = simulator.evolve(1, metrics_within=400 * DAY, backdated_within=LOOKBACK)
        report = sync(simulator, tmp_path, treatments=FULL)
        assert report.status is Status.COMPLETE
        assert differences(simulator, tmp_path / "copy.duckdb", LISTS) == {}
        assert _of(report, "customers").deleted == len(changes["customers"].deleted)
        assert _marked(tmp_path) == 0


def test_messages_are_read_whole_by_every_run(tmp_path: Path) -> None:
    """A change of a hundred days ago, which no other mode would look for, is found."""
    only = (table("messages"),)
    with Simulator(SPEC) as simulator:
        first = sync(simulator, tmp_path, tables=only, treatments=FULL)
        simulator.evolve(1, metrics_within=400 * DAY)
        again = sync(simulator, tmp_path, tables=only, treatments=FULL)
        assert _of(again, "messages").read >= _of(first, "messages").read
        assert differences(simulator, tmp_path / "copy.duckdb", ("messages",)) == {}


class Watched(DuckDBSink):
    """A copy that is looked at after each commit, as somebody who reads it all the time would."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, "customerio")
        self.batch_rows = 100
        self.seen: dict[str, set[int]] = {one.name: set() for one in SOME}

    def write(self, batch: Batch | RunRows) -> Changes:
        """Write, and look."""
        changes = super().write(batch)
        for name, seen in self.seen.items() if isinstance(batch, Batch) else ():
            if self.backend.columns(name):
                seen.add(count_rows(self, table(name)))
        return changes


def test_a_reader_never_sees_a_part_of_a_table(tmp_path: Path) -> None:
    """However many pages a table has: before a commit it is the old one, after it the new one, and never between."""
    with Simulator(SPEC) as simulator:
        before: dict[str, set[int]] = {one.name: set() for one in SOME}
        for seed in range(2):
            watched = Watched(tmp_path / "copy.duckdb")
            sync(simulator, tmp_path, tables=SOME, treatments=FULL, to=partial(_this, watched))
            now = {one.name: {truth(simulator, one.name).total()} for one in SOME}
            assert all(now[name] <= seen <= now[name] | before[name] for name, seen in watched.seen.items())
            before = now
            simulator.evolve(seed, metrics_within=RECENT_DAYS * DAY)


def test_a_failed_read_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    """Not one row comes, changes or goes until a read has all of them."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=SOME, treatments=FULL)
        before = copies(tmp_path / "copy.duckdb", [one.name for one in SOME])
        simulator.evolve(2, metrics_within=RECENT_DAYS * DAY)
        simulator.faults = Faults(tuple(Fault(kind="status", table=one.name, nth=2, times=None) for one in SOME[:3]))
        report = sync(simulator, tmp_path, tables=SOME, treatments=FULL)
        assert [one.status for one in report.tables].count(Status.FAILED) == 3
        for name in ("messages", "customers", "newsletters"):
            assert copy(tmp_path / "copy.duckdb", name) == before[name]
        simulator.faults = Faults()
        sync(simulator, tmp_path, tables=SOME, treatments=FULL)
        assert differences(simulator, tmp_path / "copy.duckdb", tuple(one.name for one in SOME)) == {}


@pytest.mark.parametrize(
    ("point", "number"),
    [
        pytest.param("page on disk", 25, marks=pytest.mark.slow),
        pytest.param("before commit", 9, marks=pytest.mark.slow),
        ("after commit", 9),
    ],
)
def test_killed_and_started_again_it_goes_on(point: str, number: int, tmp_path: Path) -> None:
    """What was replaced before is not read again, what had landed neither."""
    with Simulator(SPEC) as simulator:
        whole = sync(simulator, tmp_path, treatments=FULL).requests
        simulator.evolve(3, metrics_within=400 * DAY, backdated_within=LOOKBACK)
        done = subprocess.run(
            [sys.executable, str(DRIVER), simulator.url, str(tmp_path), point, str(number)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CIO_ACCESS_TOKEN": "simulator-token", "FULL": " ".join(FULL)},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        report = sync(simulator, tmp_path, treatments=FULL)
        assert (report.status, report.requests < whole) == (Status.COMPLETE, True)
        assert differences(simulator, tmp_path / "copy.duckdb", LISTS) == {}
        assert _marked(tmp_path) == 0


def test_a_later_start_date_keeps_what_lies_before_it(tmp_path: Path) -> None:
    """Of that time the read says nothing; the report says that it is kept."""
    only = (table("messages"),)
    with Simulator(SPEC) as simulator:
        now = simulator.workspace.now
        sync(simulator, tmp_path, tables=only, treatments=FULL, now=now)
        report = sync(simulator, tmp_path, tables=only, treatments=FULL, now=now, start=now - 50 * DAY)
    assert "goes back further than the start date" in " ".join(_of(report, "messages").notes)
    with duckdb_file(tmp_path / "copy.duckdb") as connection:
        assert connection.execute("SELECT count(*) FROM customerio.messages").fetchall() == [(SPEC.messages,)]
