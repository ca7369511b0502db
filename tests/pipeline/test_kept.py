"""Pages that are kept fill another destination without a request, and the copy goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from cio_replicate.base.errors import NotFound
from cio_replicate.base.runtime import SystemClock
from cio_replicate.config.table_options import RECENT_DAYS, PeopleRefresh, RereadPolicy, WriteMode, WriteOptions
from cio_replicate.pipeline.replay import reload
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline import syncs
from tests.pipeline.copies import copies, copy, differences

DAY = 86_400
ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("killed_run.py")
SPEC = WorkspaceSpec(seed=4, messages=400, activities=150, people=60)
CHANGES = RereadPolicy(people=PeopleRefresh.CHANGES)
NAMES = ("customers", "segments", "messages", "activities", "topics", "eps_suppression")
CHOSEN = tuple(table(name) for name in NAMES)
sync = partial(syncs.sync, tables=CHOSEN)


def load(
    folder: Path, *, into: str = "other", tables: tuple[Table, ...] = CHOSEN, mode: WriteMode = WriteMode.APPLY
) -> Report:
    """Load what `folder` has kept into another copy."""
    treatments = {one.name: WriteOptions(mode) for one in tables if one.retention_days is None}
    with Staging(folder / "state") as pages:
        destination = DuckDBSink(folder / f"{into}.duckdb", "customerio")
        try:
            return reload(destination, pages, tables, treatments, SystemClock())
        finally:
            destination.close()


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _evolve(simulator: Simulator, seed: int) -> None:
    simulator.evolve(seed, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)


def _equal(folder: Path, other: str = "other.duckdb", names: tuple[str, ...] = NAMES) -> None:
    """Two copies hold the same, rows that are marked deleted too."""
    for deleted in (False, True):
        here, there = (copies(folder / file, names, deleted=deleted) for file in ("copy.duckdb", other))
        for name in names:
            one, another = here[name], there[name]
            if deleted and table(name).absence_deletes:
                assert another <= one, name  # rows that were gone before the oldest page that is kept
            else:
                assert one == another, (name, deleted)


def _pages(folder: Path) -> int:
    return len(list((folder / "state" / "pages").iterdir()))


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(RereadPolicy(), id="everybody", marks=pytest.mark.slow),
        pytest.param(CHANGES, id="some people"),
    ],
)
def test_another_copy_is_equal_and_goes_on(rules: RereadPolicy, tmp_path: Path) -> None:
    """After a first run and after later ones, with deletions among them: equal, proved, and read on from there."""
    with Simulator(SPEC) as simulator:
        begun = simulator.workspace.now
        for number in range(3):
            sync(simulator, tmp_path, keep_landed=True, rules=rules, now=begun + number * DAY)
            simulator.log.reset()
            report = load(tmp_path, into=f"other{number}")
            assert not simulator.requests
            assert {one.proof.verdict for one in report.tables if one.proof is not None} <= {
                VerificationStatus.PROVED,
                VerificationStatus.CONSISTENT,
            }
            assert (report.status, report.notes) == (Status.COMPLETE, [])
            _equal(tmp_path, f"other{number}.duckdb")
            _evolve(simulator, number)
        later = DuckDBSink(tmp_path / "other2.duckdb", "customerio")
        there = sync(simulator, tmp_path, to=lambda: later, state="another", rules=rules, now=begun + 3 * DAY)
        here = sync(simulator, tmp_path, rules=rules, now=begun + 3 * DAY)
        assert there.requests == here.requests
        lists = tuple(name for name in NAMES if name != "activities")
        assert differences(simulator, tmp_path / "other2.duckdb", lists) == {}


def test_pages_of_reads_that_were_replaced_are_removed(tmp_path: Path) -> None:
    """Of lists that are read whole only the newest read is kept, of the others all."""
    with Simulator(SPEC) as simulator:
        whole = (table("topics"), table("segments"), table("customers"))
        sync(simulator, tmp_path, keep_landed=True, tables=whole)
        first = _pages(tmp_path)
        for _ in range(2):
            sync(simulator, tmp_path, keep_landed=True, tables=whole)
            assert _pages(tmp_path) == first
        sync(simulator, tmp_path, keep_landed=True, tables=(table("messages"),))
        second = _pages(tmp_path)
        sync(simulator, tmp_path, keep_landed=True, tables=(table("messages"),))
        assert _pages(tmp_path) > second > first


def test_loading_again_changes_nothing_and_loading_later_adds_what_came(tmp_path: Path) -> None:
    """Only the reads that the destination lacks are loaded; a history has no version too many."""
    with Simulator(SPEC) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, keep_landed=True, rules=CHANGES, now=begun)
        load(tmp_path, mode=WriteMode.HISTORY)
        assert sum(one.read for one in load(tmp_path, mode=WriteMode.HISTORY).tables) == 0
        _evolve(simulator, 3)
        sync(simulator, tmp_path, keep_landed=True, rules=CHANGES, now=begun + DAY)
        added = _of(load(tmp_path, mode=WriteMode.HISTORY), "customers")
    assert (added.inserted, added.deleted) == (3, 3)
    with duckdb_file(tmp_path / "other.duckdb") as connection:
        again = "SELECT count(*) FROM customerio.customers WHERE NOT _cio_is_current AND _cio_deleted_at IS NULL"
        assert connection.execute(again).fetchall() == [(added.updated,)]


def test_a_destination_that_is_ahead_is_left_alone(tmp_path: Path) -> None:
    """Older rows are not put in the place of newer ones."""
    with Simulator(SPEC) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, keep_landed=True, now=begun)
        ahead = DuckDBSink(tmp_path / "other.duckdb", "customerio")
        sync(simulator, tmp_path, to=lambda: ahead, state="another", now=begun + DAY)
        report = load(tmp_path)
    assert {one.status for one in report.tables} == {Status.FAILED}
    assert all("of a later time than the pages" in (one.error or "") for one in report.tables)


def test_a_part_that_is_not_there_deletes_nothing_in_the_other_copy(tmp_path: Path) -> None:
    """The rows of that part were kept by the copy, so they are in the other one too."""
    only = (table("eps_suppression"),)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, keep_landed=True, tables=only)
        path = "/v1/esp/suppression/bounces"
        simulator.faults = Faults((Fault(kind="status", path=path, times=None, params={"status": 404}),))
        sync(simulator, tmp_path, keep_landed=True, tables=only)
        load(tmp_path, tables=only)
    assert copy(tmp_path / "copy.duckdb", "eps_suppression") == copy(tmp_path / "other.duckdb", "eps_suppression")


def test_a_run_that_kept_nothing_breaks_the_chain_and_that_is_said(tmp_path: Path) -> None:
    """What is kept stays as it was, whole, until all is read and kept anew; lists are kept anew by themselves."""
    both = (table("messages"), table("topics"))
    with Simulator(SPEC) as simulator:
        begun = simulator.workspace.now
        sync(simulator, tmp_path, keep_landed=True, tables=both, now=begun)
        _evolve(simulator, 1)
        sync(simulator, tmp_path, tables=both, now=begun + DAY)
        _evolve(simulator, 2)
        report = sync(simulator, tmp_path, keep_landed=True, tables=both, now=begun + 2 * DAY)
        assert "--full-refresh messages" in " ".join(_of(report, "messages").notes)
        assert _of(report, "topics").notes == []
        assert _of(load(tmp_path, into="old", tables=both), "messages").status is Status.COMPLETE
        assert copy(tmp_path / "old.duckdb", "topics") == copy(tmp_path / "copy.duckdb", "topics")
        assert copy(tmp_path / "old.duckdb", "messages").total() == SPEC.messages
        again = sync(
            simulator, tmp_path, keep_landed=True, tables=both, now=begun + 2 * DAY + 60, refresh=("messages",)
        )
        assert _of(again, "messages").notes == []
        load(tmp_path, into="new", tables=both)
        assert differences(simulator, tmp_path / "new.duckdb", ("messages", "topics")) == {}


def test_pages_that_were_loaded_before_they_were_to_be_kept_are_missed(tmp_path: Path) -> None:
    """A read that began in a run without --keep-landed is not kept in part."""
    only = (table("messages"),)
    with Simulator(WorkspaceSpec(seed=8, messages=12_000, start=SPEC.now - 30 * DAY)) as simulator:
        simulator.faults = Faults((Fault(kind="status", table="messages", nth=6, times=None),))
        assert sync(simulator, tmp_path, tables=only, now=SPEC.now).tables[0].read > 0
        simulator.faults = Faults()
        report = sync(simulator, tmp_path, tables=only, now=SPEC.now, keep_landed=True)
        assert (report.status, "--full-refresh messages" in " ".join(report.tables[0].notes)) == (Status.COMPLETE, True)
        assert _pages(tmp_path) == 0
        with pytest.raises(NotFound, match="No landed pages are kept"):
            load(tmp_path, tables=only)
    assert not (tmp_path / "other.duckdb").exists()


@pytest.mark.parametrize(
    ("point", "number"),
    [
        pytest.param("before commit", 18, marks=pytest.mark.slow),
        ("after commit", 19),
        pytest.param("after commit", 36, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_keeps_all_that_its_copy_has(point: str, number: int, tmp_path: Path) -> None:
    """Killed around a commit and started again, the other copy lacks nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CIO_ACCESS_TOKEN": "simulator-token", "KEEP_LANDED": "1"}
    with Simulator(SPEC) as simulator:
        if number > len(TABLES) + 5:
            sync(simulator, tmp_path, keep_landed=True, tables=TABLES)
            number -= len(TABLES)
        command = [sys.executable, str(DRIVER), simulator.url, str(tmp_path), point, str(number)]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        assert sync(simulator, tmp_path, keep_landed=True, tables=TABLES).status is Status.COMPLETE
        assert load(tmp_path, tables=TABLES).status is Status.COMPLETE
        _equal(tmp_path, names=syncs.ALL)


def _damaged(folder: Path) -> tuple[Table, ...]:
    for page in (folder / "state" / "pages").iterdir():
        page.write_bytes(b"PAR1 nothing of this")
    return (table("topics"),)


def _other_rules(folder: Path) -> tuple[Table, ...]:
    _ = folder
    return (replace(table("topics"), rules="others"),)


@pytest.mark.parametrize(
    ("spoil", "said"), [(_damaged, "--full-refresh topics"), (_other_rules, "Give the same options as then.")]
)
def test_what_cannot_be_loaded_fails_with_the_reason(
    spoil: Callable[[Path], tuple[Table, ...]], said: str, tmp_path: Path
) -> None:
    """The table fails, and nothing of it is in the other copy."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, keep_landed=True, tables=(table("topics"),))
    report = load(tmp_path, tables=spoil(tmp_path))
    assert report.exit_code == 1
    assert said in (report.tables[0].error or "")


def test_a_table_of_which_nothing_is_kept_is_named(tmp_path: Path) -> None:
    """The others are loaded."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, keep_landed=True, tables=(table("topics"),))
    report = load(tmp_path, tables=(table("topics"), table("segments")))
    assert ([one.name for one in report.tables], report.notes) == (["topics"], ["Nothing is kept of segments."])
