"""Several destinations are filled by one read; what one refuses, the others take, and the next run makes up for it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cio_replicate.app.verify import Nowhere
from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.config.column_rules import column_rules
from cio_replicate.config.table_options import RECENT_DAYS, WriteMode, WriteOptions
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus
from cio_replicate.sinks.backend import NOT_DELETED, ChangeSet, at_least, one_of
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.fan_out import FanOutSink, members_of, missing_in
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Batch, Changes, Owner, RunRows, Sink, count_rows
from cio_replicate.source.catalog import table
from cio_replicate.source.catalog.selection import chosen
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline import syncs
from tests.pipeline.copies import copy, differences, truth
from tests.sinks.twin import TwinStore

DAY = 86_400
SPEC = WorkspaceSpec(seed=4, messages=400, activities=150, people=60)
NAMES = ("customers", "segments", "messages", "activities", "topics", "newsletters")
LISTS = tuple(name for name in NAMES if name != "activities")
sync = partial(syncs.sync, tables=tuple(table(name) for name in NAMES))
TWO = ("a", "b")
SOME = (table("topics"), table("messages"))


class FullStore(TwinStore):
    """A store that has no room for a table."""

    def __init__(self, file: Path, refuses: str) -> None:
        super().__init__(file)
        self._refuses = refuses

    def write(self, edit: ChangeSet) -> None:
        """Write, or say that there is no room."""
        if edit.shape.name == self._refuses:
            raise LoadError(f"There is no room for {edit.shape.name}.", "Make room.")
        super().write(edit)


class Choosy(DuckDBSink):
    """A copy that refuses the batches of some tables from a certain one on."""

    def __init__(self, file: Path, refuses: tuple[str, ...], after: int, error: type[Exception]) -> None:
        super().__init__(file, "customerio")
        self.batch_rows = 150
        self._refuses, self._left, self._error = refuses, after, error

    def write(self, batch: Batch | RunRows) -> Changes:
        """Write, or refuse."""
        if isinstance(batch, Batch) and batch.table.name in self._refuses:
            self._left -= 1
            if self._left < 0:
                raise self._error(f"No room for {batch.table.name}.")
        return super().write(batch)


def several(folder: Path, *names: str) -> FanOutSink:
    """Copies in DuckDB files of these names."""
    return FanOutSink({name: DuckDBSink(folder / f"{name}.duckdb", "customerio") for name in names})


def _of(report: Report, name: str) -> TableReport:
    return next(one for one in report.tables if one.name == name)


def _same(folder: Path, simulator: Simulator, *names: str) -> None:
    """Each of these copies is the workspace."""
    for name in names:
        assert differences(simulator, folder / f"{name}.duckdb", LISTS) == {}, name
        assert truth(simulator, "activities") <= copy(folder / f"{name}.duckdb", "activities")


def test_one_read_fills_all(tmp_path: Path) -> None:
    """Two copies cost the requests of one, in the first run and in those that follow, and each is proved."""
    with Simulator(SPEC) as simulator:
        (tmp_path / "alone").mkdir()
        alone = sync(simulator, tmp_path / "alone").requests
        simulator.log.reset()
        report = sync(simulator, tmp_path, to=lambda: several(tmp_path, *TWO))
        assert (report.status, report.requests) == (Status.COMPLETE, alone)
        assert report.requests == len(simulator.requests)
        _same(tmp_path, simulator, *TWO)
        simulator.evolve(5, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        later = sync(simulator, tmp_path, to=lambda: several(tmp_path, *TWO))
        once = sync(simulator, tmp_path / "alone")
        assert (later.status, later.requests) == (Status.COMPLETE, once.requests)
        _same(tmp_path, simulator, *TWO)
    for name in TWO:
        with duckdb_file(tmp_path / f"{name}.duckdb") as connection:
            runs = connection.execute("SELECT run_id FROM customerio._cio_runs").fetchall()
            proofs = connection.execute(
                "SELECT count(*) FROM customerio._cio_proof WHERE verdict != 'short'"
            ).fetchall()
        assert {run for (run,) in runs} == {report.run_id, later.run_id}
        assert proofs == [(2 * len(NAMES),)]


def test_a_destination_that_comes_later_gets_everything(tmp_path: Path) -> None:
    """The one that was there keeps what it has, and how far it goes back."""
    with Simulator(SPEC) as simulator:
        start = simulator.workspace.now - 100 * DAY
        sync(simulator, tmp_path, to=lambda: several(tmp_path, "a"))
        simulator.evolve(5, metrics_within=RECENT_DAYS * DAY, backdated_within=LOOKBACK)
        report = sync(simulator, tmp_path, to=lambda: several(tmp_path, *TWO), state="both")
        assert report.status is Status.COMPLETE
        _same(tmp_path, simulator, *TWO)
        sync(simulator, tmp_path, to=lambda: several(tmp_path, *TWO, "c"), state="three", start=start)
    one, another = (_positions(tmp_path, name) for name in ("a", "c"))
    assert one["messages"] < another["messages"] == start


def test_one_that_was_filled_by_other_rules_is_filled_anew(tmp_path: Path) -> None:
    """Whichever is behind, no copy keeps values that the rules of this run take away."""
    only = (table("messages"),)
    masked = (chosen(only[0], column_rules(["messages:mask=subject"], None, {"messages": ["subject"]})["messages"]),)
    with Simulator(SPEC) as simulator:
        now = simulator.workspace.now
        sync(simulator, tmp_path, tables=masked, to=lambda: several(tmp_path, "a"), state="one", now=now)
        sync(simulator, tmp_path, tables=only, to=lambda: several(tmp_path, "b"), state="another", now=now + DAY)
        report = sync(simulator, tmp_path, tables=masked, to=lambda: several(tmp_path, *TWO), now=now + 2 * DAY)
    assert report.status is Status.COMPLETE
    for name in TWO:
        with duckdb_file(tmp_path / f"{name}.duckdb") as connection:
            subjects = connection.execute("SELECT DISTINCT subject FROM customerio.messages").fetchall()
        assert {subject for (subject,) in subjects} <= {None, "", "***"}, name


def _positions(folder: Path, name: str) -> dict[str, int]:
    """Since when each table of a copy is replicated."""
    destination = DuckDBSink(folder / f"{name}.duckdb", "customerio")
    destination.open()
    positions = {name: position.start for name, position in destination.state.checkpoints.items()}
    destination.close()
    return positions


def test_an_odd_empty_list_is_asked_for_again_though_one_destination_is_new(tmp_path: Path) -> None:
    """Else it would delete every row of the one that has them."""
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=SOME, to=lambda: several(tmp_path, "a"))
        simulator.faults = Faults((Fault(kind="wrong_type", table="topics", params={"value": []}),))
        report = sync(simulator, tmp_path, tables=SOME, to=lambda: several(tmp_path, *TWO), state="both")
        assert (report.status, _of(report, "topics").deleted) == (Status.COMPLETE, 0)
        assert all(copy(tmp_path / f"{name}.duckdb", "topics") == truth(simulator, "topics") for name in TWO)


@pytest.mark.parametrize(
    ("mode", "error", "after", "first"),
    [
        pytest.param(WriteMode.APPLY, LoadError, 0, True, marks=pytest.mark.slow),
        (WriteMode.APPLY, LoadError, 1, False),
        (WriteMode.APPLY, DestinationUnavailableError, 1, True),
        pytest.param(WriteMode.FULL, LoadError, 0, False, marks=pytest.mark.slow),
        (WriteMode.FULL, DestinationUnavailableError, 0, True),
    ],
)
def test_what_one_refuses_the_others_take(
    mode: WriteMode, error: type[Exception], after: int, *, first: bool, tmp_path: Path
) -> None:
    """The run fails, the other copy is complete, and the next run brings the failed one up without a second read."""
    treatments = {"messages": WriteOptions(mode)}

    def both() -> Sink:
        members = {
            "a": DuckDBSink(tmp_path / "a.duckdb", "customerio"),
            "b": Choosy(tmp_path / "b.duckdb", ("messages",), after, error),
        }
        return FanOutSink(dict(reversed(members.items())) if first else members)

    with Simulator(WorkspaceSpec(seed=4, messages=6_000)) as simulator:
        report = sync(simulator, tmp_path, tables=SOME, to=both, treatments=treatments)
        found = _of(report, "messages")
        assert (report.exit_code, found.status, _of(report, "topics").status) == (1, Status.FAILED, Status.COMPLETE)
        assert found.error == "b: No room for messages. The other destinations are written."
        assert differences(simulator, tmp_path / "a.duckdb", ("topics", "messages")) == {}
        simulator.log.reset()
        again = sync(simulator, tmp_path, tables=SOME, to=lambda: several(tmp_path, *TWO), treatments=treatments)
        assert (again.status, _of(again, "messages").deleted) == (Status.COMPLETE, 0)
        assert _of(again, "messages").read <= 1  # what has been sent meanwhile
        assert differences(simulator, tmp_path / "b.duckdb", ("topics", "messages")) == {}
        assert _of(again, "messages").proof is not None
        assert not list((tmp_path / "state" / "pages").iterdir())


def test_a_store_without_room_for_a_table_holds_up_no_other(tmp_path: Path) -> None:
    """A database and a store side by side: the store lacks one table, the database none."""

    def both() -> Sink:
        store = FullStore(tmp_path / "b.duckdb", "segments")
        remote = CopySink(store, IndexMerger(store, tmp_path / "ledger.duckdb"), "customerio", "twin")
        return FanOutSink({"a": DuckDBSink(tmp_path / "a.duckdb", "customerio"), "b": remote})

    with Simulator(SPEC) as simulator:
        report = sync(simulator, tmp_path, to=both)
        _same(tmp_path, simulator, "a")
    failed = {one.name: one.error for one in report.tables if one.status is not Status.COMPLETE}
    assert failed == {"segments": "b: There is no room for segments. Make room. The other destinations are written."}
    with duckdb_file(tmp_path / "b.duckdb") as connection:
        runs = connection.execute("SELECT status FROM _cio_runs").fetchall()
    assert runs == [("failed",)]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_file_that_is_removed_meanwhile_fails_its_copy_alone(tmp_path: Path) -> None:
    """The other copy is whole; the next run makes the lost one anew."""

    class Vanishing(DuckDBSink):
        def write(self, batch: Batch | RunRows) -> Changes:
            if isinstance(batch, Batch):
                self.backend.file.unlink(missing_ok=True)
            return super().write(batch)

    def both() -> Sink:
        lost = Vanishing(tmp_path / "a.duckdb", "customerio")
        return FanOutSink({"a": lost, "b": DuckDBSink(tmp_path / "b.duckdb", "customerio")})

    with Simulator(SPEC) as simulator:
        report = sync(simulator, tmp_path, to=both)
        assert report.exit_code == 1
        assert all("was removed or replaced" in (one.error or "") for one in report.tables)
        _same(tmp_path, simulator, "b")
        assert sync(simulator, tmp_path, to=lambda: several(tmp_path, *TWO)).status is Status.COMPLETE
        _same(tmp_path, simulator, *TWO)


def test_the_proof_is_that_of_the_worst_and_names_it(tmp_path: Path) -> None:
    """A row that somebody took from one copy makes the table short, and it is said in which."""
    only = (table("messages"),)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=only, to=lambda: several(tmp_path, *TWO))
        with duckdb_file(tmp_path / "b.duckdb") as connection:
            connection.execute(
                "DELETE FROM customerio.messages WHERE id = (SELECT arg_min(id, created) FROM customerio.messages)"
            )
        proof = sync(simulator, tmp_path, tables=only, to=lambda: several(tmp_path, *TWO)).tables[0].proof
    assert proof is not None
    assert proof.verdict is VerificationStatus.SHORT
    assert proof.why.startswith("b: The copy has 1 row fewer")


def test_what_is_asked_of_several_is_what_a_run_must_know(tmp_path: Path) -> None:
    """Of keys what all have, else what any has; as many rows as the one with the most; the furthest behind."""
    only = (table("segments"),)
    with Simulator(SPEC) as simulator:
        sync(simulator, tmp_path, tables=only, to=lambda: several(tmp_path, *TWO))
    for name, gone in (("a", 1), ("b", 2)):
        with duckdb_file(tmp_path / f"{name}.duckdb") as connection:
            connection.execute(f"DELETE FROM customerio.segments WHERE id <= {gone}")
            if name == "b":
                connection.execute("DELETE FROM customerio._cio_positions")
    both = several(tmp_path, *TWO, "c")
    assert missing_in(both) == ["c"]
    assert count_rows(both, only[0], [NOT_DELETED]) == SPEC.segments - 1
    assert [key for (key,) in both.read(only[0], ["_cio_key"], [one_of("_cio_key", ["1", "2", "3"])])] == ["3"]
    assert Counter(both.read(only[0], ["id"], [at_least("_cio_synced_at", 0)])).total() == SPEC.segments - 1
    assert both.state.checkpoints == {}
    assert set(members_of(both)) == {*TWO, "c"}
    both.close()


def test_nowhere_is_a_destination_that_holds_nothing() -> None:
    """It takes everything, is never short of room, and is always missing."""
    nowhere = Nowhere()
    assert missing_in(nowhere) == [""]
    made = nowhere.open(Owner(0))
    assert made is not None
    assert made.identity.copy_id == "nowhere"
    assert members_of(nowhere) == {"": nowhere}
    calls: list[Callable[[], object]] = [
        lambda: nowhere.state.checkpoints,
        lambda: nowhere.read(table("topics"), ["id"]),
        lambda: nowhere.state.discovered(table("topics")),
    ]
    assert [len(call()) for call in calls] == [0, 0, 0]  # type: ignore[arg-type] # each is a collection
    assert (count_rows(nowhere, table("topics")), nowhere.state.expected.get("topics")) == (0, None)
