"""People who are deleted or merged at the source: what becomes of them in the copy, and how they are erased."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from cio_replicate.base.text import Secret
from cio_replicate.config.table_options import USUAL, Deletes, WriteMode, WriteOptions
from cio_replicate.pipeline.report import Report, Status, VerificationStatus
from cio_replicate.pipeline.run import Run
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.addresses import destination as address
from cio_replicate.sinks.copy import CopySink
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.fan_out import FanOutSink
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.sinks.merge.index_merger import IndexMerger
from cio_replicate.sinks.port import Owner, Sink
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.client import Client
from cio_replicate.source.rate_limiter import RateLimiter
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.pipeline.syncs import QUICK, ShiftedClock
from tests.sinks.twin import TwinStore

NOW = WorkspaceSpec().now
ADDRESS, OWN_ID = "marked-5c1d@example.com", "marked-id-77"
ABOUT_PEOPLE = tuple(table(name) for name in ("customers", "messages", "activities"))
FAILED_LIST = Faults((Fault(kind="status", table="customers", times=None, params={"status": 500}),))


class Copied:
    """A copy of a kind in a folder, filled by runs, and what is in its tables."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder

    def open(self) -> Sink:
        """The destination, not yet looked at."""
        if self.kind == "several":
            kinds = ("duckdb", "twin")
            return FanOutSink({kind: Copied(kind, self._folder).open() for kind in kinds})
        if self.kind == "duckdb":
            return DuckDBSink(self._folder / "copy.duckdb", "customerio")
        if self.kind == "parquet":
            return destination_at(address(f"parquet:///{self._folder}/lake"), "customerio", self._folder)
        store = TwinStore(self._folder / "twin.duckdb")
        return CopySink(store, IndexMerger(store, self._folder / "ledger.duckdb"), "customerio", "a twin")

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table, that of the program's own too, but for when a run was."""
        with self._reading() as (connection, found):
            return {name: _ask(connection, f"SELECT * FROM {one}") for name, one in found.items()}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Every row of a table; none when it is not there."""
        with self._reading() as (connection, found):
            return _ask(connection, f"SELECT * FROM {found[name]}") if name in found else []

    @contextmanager
    def _reading(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
        """A connection, and what each table is called there."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if self.kind == "parquet":
                folders = (self._folder / "lake" / "customerio").iterdir()
                yield connection, {one.name: f"'{one}/*.parquet'" for one in folders if one.is_dir()}
                return
            file = self._folder / ("copy.duckdb" if self.kind in ("duckdb", "several") else "twin.duckdb")
            connection.execute(f"ATTACH '{file}' AS c (READ_ONLY)")
            names = "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'c'"
            found = connection.execute(names).fetchall()
            yield connection, {name: f"c.{schema}.{name}" for schema, name in found}

    def sync(
        self,
        simulator: Simulator,
        *,
        tables: tuple[Table, ...] = ABOUT_PEOPLE,
        treatment: WriteOptions = USUAL,
        later: int = 0,
        **order: Any,  # Any: fields of an order
    ) -> Report:
        """Run once, `later` seconds after the workspace was made."""
        clock = ShiftedClock(NOW + later)
        others = tuple(one for one in TABLES if one.name not in {table.name for table in tables})
        treatments = {one.name: treatment for one in tables}
        asked = replace(RunSpec(tables, NOW - 30 * 86_400, others=others, treatments=treatments), **order)

        async def scenario() -> Report:
            token = Secret(simulator.behaviour.tokens[0])
            budget = RateLimiter(5_000.0, clock)
            async with Client(simulator.url, token, budget, clock, policy=QUICK) as client:
                with Staging(self._folder / "state") as held:
                    destination = self.open()
                    try:
                        return await Run(asked, client, destination, held, clock, lambda _event: None).execute()
                    finally:
                        destination.close()

        return asyncio.run(scenario())


def _ask(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    result = connection.execute(query)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A small workspace with one marked person, who is named in every way that there is."""
    spec = WorkspaceSpec(seed=5, people=40, messages=200, activities=120, start=NOW - 25 * 86_400)
    with Simulator(spec) as running:
        _mark_somebody(running)
        yield running


def _mark_somebody(simulator: Simulator) -> str:
    """Give somebody marked identifiers, and deliveries and entries of the log that hold them; the `cio_id`."""
    cio_id = _person(simulator, 7)
    who = {"email": ADDRESS, "id": OWN_ID, "cio_id": cio_id}
    attributes = {"email": ADDRESS, "first_name": OWN_ID, "cio_id": cio_id}
    device = {"id": f"device-{OWN_ID}", "platform": "ios", "attributes": {"name": ADDRESS}}
    put = simulator.workspace.put
    put(
        "customers", {"id": OWN_ID, "identifiers": who, "attributes": attributes, "timestamps": {}, "devices": [device]}
    )
    common = {"created": NOW - 5_000, "type": "email", "recipient": ADDRESS, "metrics": {"sent": NOW - 4_900}}
    full = {"customer_id": OWN_ID, "customer_identifiers": who, "subject": f"Dear {OWN_ID}", "unheard_of": ADDRESS}
    put("messages", {"id": "marked-1", **common, **full})
    put("messages", {"id": "marked-2", **common, "customer_id": OWN_ID, "failure_message": f"550 {ADDRESS}"})
    put("messages", {"id": "marked-3", **common, **full, "campaign_id": {"odd": ADDRESS}})
    entry = {"timestamp": NOW - 4_000, "customer_id": OWN_ID, "customer_identifiers": who}
    put("activities", {"id": "01ZZMARKED1", "type": "event", "name": OWN_ID, "data": {"to": ADDRESS}, **entry})
    put("activities", {"id": "01ZZMARKED2", "type": "page", "url": f"https://x.com/?e={ADDRESS}", "data": {}, **entry})
    return cio_id


def _person(simulator: Simulator, number: int) -> str:
    keys = [key for key, _ in simulator.workspace.truth_items("customers")]
    return keys[number]


def _delete(simulator: Simulator, cio_id: str, *, logged_at: int | None = NOW + 60, into: str | None = None) -> None:
    """Take a person away, as deleted or merged into another, with its entry of the log unless that is not wanted."""
    simulator.workspace.delete("customers", cio_id)
    if logged_at is not None:
        _tell(simulator, cio_id, logged_at, into)


def _tell(simulator: Simulator, cio_id: str, at: int, into: str | None = None) -> None:
    named = {"email": None, "id": None, "cio_id": into or cio_id}
    kind, data = ("profile_merge", {"secondary": {"cio_id": cio_id}}) if into else ("profile_delete", {})
    entry = {
        "id": f"01ZZ{kind}{cio_id}{at}",
        "type": kind,
        "timestamp": at,
        "customer_identifiers": named,
        "data": data,
    }
    simulator.workspace.put("activities", entry)


def _marked(tables: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Which tables hold a marked text anywhere."""
    texts = {name: json.dumps(rows, default=str) for name, rows in tables.items()}
    return sorted(name for name, text in texts.items() if ADDRESS in text or OWN_ID in text)


def _of_others(tables: dict[str, list[dict[str, Any]]], cio_id: str) -> dict[str, list[str]]:
    """The rows about people but for one, as texts."""
    found = {}
    for name in sorted(name for name in tables if not name.startswith("_cio_")):
        rows = [row for row in tables[name] if cio_id not in json.dumps(row, default=str)]
        found[name] = sorted(
            json.dumps(row, default=str) for row in rows if not str(row["_cio_key"]).startswith("marked")
        )
    return found


def _changed(report: Report) -> list[tuple[int, int, int]]:
    return [(one.inserted, one.updated, one.deleted) for one in report.tables]


def _said(value: object) -> str:
    return f"{value.mode}-{value.deletes}" if isinstance(value, WriteOptions) else str(value)


TREATMENTS = [
    pytest.param("duckdb", WriteOptions(WriteMode.APPLY), marks=pytest.mark.slow),
    ("duckdb", WriteOptions(WriteMode.APPLY, Deletes.HARD)),
    pytest.param("duckdb", WriteOptions(WriteMode.CHANGES), marks=pytest.mark.slow),
    pytest.param("duckdb", WriteOptions(WriteMode.CHANGES, Deletes.HARD), marks=pytest.mark.slow),
    ("duckdb", WriteOptions(WriteMode.HISTORY)),
    ("twin", WriteOptions(WriteMode.CHANGES, Deletes.HARD)),
    pytest.param("twin", WriteOptions(WriteMode.HISTORY), marks=pytest.mark.slow),
    ("parquet", WriteOptions(WriteMode.APPLY)),
]


@pytest.mark.parametrize(("kind", "treatment"), TREATMENTS, ids=_said)
def test_nothing_is_left_of_an_erased_person(
    simulator: Simulator, tmp_path: Path, kind: str, treatment: WriteOptions
) -> None:
    """No table holds the address or the id any more, others are as they were, and later runs leave it so."""
    copied, gone = Copied(kind, tmp_path), _person(simulator, 7)
    copied.sync(simulator, treatment=treatment)
    simulator.workspace.put("messages", _moved(simulator, "marked-1"))
    copied.sync(simulator, treatment=treatment, later=30)
    before = copied.tables()
    noted = ["activities__changes", "customers__changes", "messages__changes"]
    assert _marked(before) == sorted(
        ["activities", "customers", "messages", *(noted if treatment.mode == "changes" else [])]
    )
    _delete(simulator, gone, logged_at=None)
    report = copied.sync(simulator, treatment=treatment, later=100, erase=True)
    after = copied.tables()
    assert (report.status, report.erased) == (Status.COMPLETE, 1)
    assert _marked(after) == []
    assert _of_others(after, gone) == _of_others(before, gone)
    assert {one.proof.verdict for one in report.tables if one.proof} <= {
        VerificationStatus.PROVED,
        VerificationStatus.CONSISTENT,
    }
    assert [row["_cio_key"] for row in after["customers"] if row["_cio_key"] == gone] == (
        [] if treatment.removes else [gone]
    )
    (audit,) = after["_cio_erasures"]
    assert (audit["cio_id"], audit["run_id"], audit["returned_at"]) == (gone, report.run_id, None)
    assert json.loads(audit["rows_blanked"]).keys() == _tables_of(treatment)
    assert "marked-2" in json.loads(audit["named_otherwise"])["messages"]
    again = copied.sync(simulator, treatment=treatment, later=200, erase=True)
    plain = copied.sync(simulator, treatment=treatment, later=300)
    assert (_changed(again), _changed(plain)) == ([(0, 0, 0)] * 3, [(0, 0, 0)] * 3)
    assert again.erased == plain.erased == 0
    assert _marked(copied.tables()) == []
    assert copied.rows("_cio_erasures") == [audit]


def _moved(simulator: Simulator, key: str) -> dict[str, Any]:
    record = next(one for found, one in simulator.workspace.truth_items("messages") if found == key)
    return {**msgspec.json.decode(record), "metrics": {"sent": NOW - 4_900, "opened": NOW}}


def _tables_of(treatment: WriteOptions) -> set[str]:
    names = {"customers", "messages", "activities"}
    return names | ({f"{name}__changes" for name in names} if treatment.mode is WriteMode.CHANGES else set())


def test_a_delivery_that_changes_later_stays_erased(simulator: Simulator, tmp_path: Path) -> None:
    """What happened to the delivery arrives, whom it went to does not."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator)
    _delete(simulator, gone)
    copied.sync(simulator, later=100, erase=True)
    simulator.workspace.put("messages", _moved(simulator, "marked-1"))
    report = copied.sync(simulator, later=200)
    assert {one.name: one.updated for one in report.tables}["messages"] == 1
    (row,) = [row for row in copied.rows("messages") if row["id"] == "marked-1"]
    assert row["metrics__opened"] is not None
    assert _marked(copied.tables()) == []


def test_a_page_that_waited_to_be_loaded_stays_erased(simulator: Simulator, tmp_path: Path) -> None:
    """Pages that had landed before the erasure bring nothing back when they are loaded after it."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator)
    _delete(simulator, gone)
    copied.sync(simulator, later=50, tables=(table("customers"),), erase=True)
    assert _marked(copied.tables()) == []
    copied.sync(simulator, later=100, tables=(table("messages"),), refresh=("messages",))
    assert _marked(copied.tables()) == []


def test_without_erase_everything_stays(simulator: Simulator, tmp_path: Path) -> None:
    """A deleted person's row is marked, and holds what it held; a later run with the option erases it."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator)
    _delete(simulator, gone)
    assert copied.sync(simulator, later=100).erased == 0
    assert _marked(copied.tables()) == ["activities", "customers", "messages"]
    assert copied.sync(simulator, later=200, erase=True).erased == 1
    assert _marked(copied.tables()) == []


def test_who_returns_has_values_again(simulator: Simulator, tmp_path: Path) -> None:
    """A person who is listed again has a row with values; the record stays and says when, and can come again."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator)
    person = next(one for key, one in simulator.workspace.truth_items("customers") if key == gone)
    _delete(simulator, gone)
    copied.sync(simulator, later=100, erase=True)
    simulator.workspace.put("customers", bytes(person))
    copied.sync(simulator, later=200, erase=True)
    (row,) = [row for row in copied.rows("customers") if row["_cio_key"] == gone]
    assert row["identifiers__email"] == ADDRESS
    (audit,) = copied.rows("_cio_erasures")
    assert audit["returned_at"].timestamp() >= NOW + 200
    simulator.workspace.delete("customers", gone)
    assert copied.sync(simulator, later=300, erase=True).erased == 1
    assert _marked(copied.tables()) == []
    assert sorted(one["returned_at"] is None for one in copied.rows("_cio_erasures")) == [False, True]


def test_a_merged_person_is_told_and_is_erased_with_whom_it_lives_on_in(simulator: Simulator, tmp_path: Path) -> None:
    """Who was merged lives on; when that one is deleted, both are erased, whoever it went by way of."""
    copied = Copied("duckdb", tmp_path)
    gone, middle, last = (_person(simulator, number) for number in (7, 9, 11))
    copied.sync(simulator)
    _delete(simulator, gone, logged_at=NOW + 50, into=middle)
    _delete(simulator, middle, logged_at=NOW + 60, into=last)
    assert copied.sync(simulator, later=100, erase=True).erased == 0
    merged = {row["cio_id"]: row["into_cio_id"] for row in copied.rows("_cio_merges")}
    assert (merged[gone], merged[middle]) == (middle, last)
    assert _marked(copied.tables()) == ["activities", "customers", "messages"]
    _delete(simulator, last, logged_at=NOW + 150)
    assert copied.sync(simulator, later=200, erase=True).erased == 3
    assert _marked(copied.tables()) == []


@pytest.mark.parametrize(
    "selected", [pytest.param(True, id="failed"), pytest.param(False, id="not selected", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        pytest.param("duckdb", WriteMode.APPLY, marks=pytest.mark.slow),
        ("duckdb", WriteMode.CHANGES),
        pytest.param("duckdb", WriteMode.HISTORY, marks=pytest.mark.slow),
        ("twin", WriteMode.HISTORY),
        ("several", WriteMode.APPLY),
    ],
)
def test_the_log_tells_who_is_gone_where_the_list_does_not(
    simulator: Simulator, tmp_path: Path, kind: str, mode: WriteMode, *, selected: bool
) -> None:
    """Deleted and merged people are marked when the list failed or was not asked for; whoever shows up later is not."""
    copied, treatment = Copied(kind, tmp_path), WriteOptions(mode)
    deleted, merged, alive, early = (_person(simulator, number) for number in (7, 9, 11, 13))
    copied.sync(simulator, treatment=treatment)
    _delete(simulator, deleted)
    _delete(simulator, merged, into=alive)
    _tell(simulator, early, NOW - 600)  # the list had this one afterwards
    _tell(simulator, alive, NOW + 20)  # an entry that says otherwise comes later
    change = {"id": "01ZZCHANGE", "type": "attribute_change", "timestamp": NOW + 40, "data": {}}
    simulator.workspace.put("activities", {**change, "customer_identifiers": {"cio_id": alive}})
    if selected:
        simulator.faults = FAILED_LIST
    tables = ABOUT_PEOPLE if selected else (table("activities"),)
    report = copied.sync(simulator, tables=tables, treatment=treatment, later=100)
    gone = {row["_cio_key"] for row in copied.rows("customers") if row["_cio_deleted_at"] is not None}
    assert gone == {deleted, merged}
    assert any("not listed to the end: 2." in note for note in report.notes)
    simulator.faults = Faults()
    assert copied.sync(simulator, treatment=treatment, later=200).status is Status.COMPLETE
    gone = {row["_cio_key"] for row in copied.rows("customers") if row["_cio_deleted_at"] is not None}
    assert gone == {deleted, merged}


def test_hard_deletes_and_erasure_by_the_log_alone(simulator: Simulator, tmp_path: Path) -> None:
    """Where rows are removed, a person whom only the log names as deleted is erased, and then removed."""
    copied, gone, hard = Copied("twin", tmp_path), _person(simulator, 7), WriteOptions(WriteMode.APPLY, Deletes.HARD)
    copied.sync(simulator, treatment=hard)
    _delete(simulator, gone)
    simulator.faults = FAILED_LIST
    report = copied.sync(simulator, treatment=hard, later=100, erase=True)
    assert (report.status, report.erased) == (Status.FAILED, 1)
    assert gone not in {row["_cio_key"] for row in copied.rows("customers")}
    assert _marked(copied.tables()) == []


def test_what_was_kept_is_told(simulator: Simulator, tmp_path: Path) -> None:
    """A run that erases says how many kept pages it does not reach."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator, keep_landed=True)
    _delete(simulator, gone)
    report = copied.sync(simulator, later=100, keep_landed=True, erase=True)
    assert any("Not erased: pages that --keep-landed has kept" in note for note in report.notes)


def test_an_erasure_that_is_broken_off_is_done_again(simulator: Simulator, tmp_path: Path) -> None:
    """Killed between the tables, a run leaves no record; the next one blanks everything and records it once."""
    copied, gone = Copied("duckdb", tmp_path), _person(simulator, 7)
    copied.sync(simulator)
    _delete(simulator, gone)
    copied.sync(simulator, later=100)
    destination = copied.open()
    destination.open()
    destination.open(Owner(NOW))
    destination.erase(table("activities"), {gone: [OWN_ID]})
    destination.close()
    assert copied.rows("_cio_erasures") == []
    assert _marked(copied.tables()) == ["customers", "messages"]
    assert copied.sync(simulator, later=200, erase=True).erased == 1
    assert _marked(copied.tables()) == []
    assert len(copied.rows("_cio_erasures")) == 1
