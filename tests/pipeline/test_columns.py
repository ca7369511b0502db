"""Rules for columns, names and policies, from the API to the copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.table_options import SchemaChanges, WriteMode, WriteOptions, naming
from cio_replicate.pipeline.report import Status
from cio_replicate.sinks.addresses import destination as address
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.sinks.port import Sink
from customerio_simulator import Fault, Faults, Simulator, WorkspaceSpec
from tests.duckdb_files import duckdb_file
from tests.pipeline.syncs import sync
from tests.source.landings import wanted


def _ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb_file(folder / "copy.duckdb", read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_an_excluded_value_is_in_no_file(simulator: Simulator, tmp_path: Path) -> None:
    """Addresses that the rules take away are neither in the copy nor in the state folder after a run."""
    sync(simulator, tmp_path, tables=(wanted("messages"),))
    addresses = _ask(tmp_path, "SELECT recipient FROM customerio.messages WHERE recipient LIKE '%@%.%'")
    assert len(addresses) > 10
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    rules = ("messages:exclude=recipient,customer_identifiers__email",)
    report = sync(simulator, quiet, tables=(wanted("messages", *rules),))
    assert report.status is Status.COMPLETE
    names = {name for (name,) in _ask(quiet, "SELECT column_name FROM (DESCRIBE customerio.messages)")}
    assert names.isdisjoint({"recipient", "customer_identifiers__email"})
    content = b"".join(file.read_bytes() for file in quiet.rglob("*") if file.is_file())
    assert [one for (one,) in addresses if one.encode() in content] == []


def test_hashes_join_tables_and_stay_the_same(simulator: Simulator, tmp_path: Path) -> None:
    """The same address has the same hash in each table, and a second run writes nothing."""
    tables = (
        wanted("customers", "customers:hash=identifiers__email"),
        wanted("messages", "messages:hash=customer_identifiers__email"),
    )
    sync(simulator, tmp_path, tables=tables)
    joined = _ask(
        tmp_path,
        "SELECT count(*) FROM customerio.messages AS m JOIN customerio.customers AS c "
        "ON m.customer_identifiers__email = c.identifiers__email WHERE c.identifiers__email LIKE 'h\\_%' ESCAPE '\\'",
    )
    assert joined[0][0] > 10
    again = sync(simulator, tmp_path, tables=tables)
    assert [(one.inserted, one.updated, one.deleted) for one in again.tables] == [(0, 0, 0), (0, 0, 0)]


def test_a_hashed_key_finds_what_is_gone(simulator: Simulator, tmp_path: Path) -> None:
    """Rows are matched, and marked as deleted, by the hash of their key; of people who are only listed too."""
    tables = (wanted("campaigns", "campaigns:hash=id"), wanted("customers", "customers:hash=cio_id"))
    sync(simulator, tmp_path, tables=tables)
    for table, key in (("campaigns", "id"), ("customers", "cio_id")):
        gone = json.loads(bytes(next(iter(simulator.workspace.truth(table)))))[key]
        simulator.workspace.delete(table, str(gone))
    again = sync(simulator, tmp_path, tables=tables)
    assert [(one.inserted, one.updated, one.deleted) for one in again.tables] == [(0, 0, 1), (0, 0, 1)]


def test_a_frozen_table_fails_and_stops_no_other(tmp_path: Path) -> None:
    """New fields fail the tables that are frozen; those that ignore them are complete, without a new column."""
    faults = Faults((Fault(kind="drift", times=None, params={"what": "extra"}),))
    tables = (
        wanted("campaigns", policy=SchemaChanges.FREEZE),
        wanted("segments", policy=SchemaChanges.IGNORE),
    )
    with Simulator(WorkspaceSpec(seed=4), faults=faults) as simulator:
        campaigns, segments = sync(simulator, tmp_path, tables=tables).tables
    assert (campaigns.status, segments.status) == (Status.FAILED, Status.COMPLETE)
    assert "is new, and the schema is frozen" in str(campaigns.error)
    assert segments.inserted > 0
    names = [name for (name,) in _ask(tmp_path, "SELECT column_name FROM (DESCRIBE customerio.segments)")]
    assert [name for name in names if name.startswith("new_")] == []


def test_a_column_that_is_excluded_later_is_emptied(simulator: Simulator, tmp_path: Path) -> None:
    """What earlier runs wrote into a column that is now excluded is blanked as its rows are read again."""
    sync(simulator, tmp_path, tables=(wanted("campaigns"),))
    before = _ask(tmp_path, "SELECT count(name) FROM customerio.campaigns")
    sync(simulator, tmp_path, tables=(wanted("campaigns", "campaigns:exclude=name"),))
    assert before[0][0] > 0
    assert _ask(tmp_path, "SELECT count(name) FROM customerio.campaigns") == [(0,)]


@pytest.mark.parametrize("kind", ["duckdb", "parquet"])
def test_a_table_keeps_its_name_in_a_copy(kind: str, simulator: Simulator, tmp_path: Path) -> None:
    """A later run that gives it another name is refused, since rows would be left behind; the first name goes on."""

    def to() -> Sink:
        return destination_at(address(f"{kind}:///{tmp_path}/copy.duckdb"), "customerio", tmp_path)

    before = sync(simulator, tmp_path, tables=(wanted("messages"),), to=to).tables[0]
    with pytest.raises(InvalidSettings, match="is called messages in the copy, and would be called X_MESSAGES"):
        sync(simulator, tmp_path, tables=(wanted("messages", naming=naming("x_", "", "upper")),), to=to)
    again = sync(simulator, tmp_path, tables=(wanted("messages", naming=naming("", "c_")),), to=to)
    assert (again.status, again.tables[0].inserted) == (Status.COMPLETE, 0)
    assert again.tables[0].proof is not None
    assert again.tables[0].proof.rows == before.inserted


@pytest.mark.parametrize("rule", ["messages:hash=campaign_id", "messages:rename=type:TYPE"])
def test_a_rule_that_a_copy_cannot_follow_says_what_to_do(rule: str, simulator: Simulator, tmp_path: Path) -> None:
    """A number cannot become text, nor a name change its case only: the table fails, and keeps its rows."""
    before = sync(simulator, tmp_path, tables=(wanted("messages"),)).tables[0].inserted
    failed = sync(simulator, tmp_path, tables=(wanted("messages", rule),)).tables[0]
    assert failed.status is Status.FAILED
    assert str(failed.error).endswith("Give --columns as before, or `cio-replicate drop messages` and sync it anew.")
    assert _ask(tmp_path, "SELECT count(type) FROM customerio.messages") == [(before,)]


def test_what_was_copied_before_a_rule_is_told_to_stay(simulator: Simulator, tmp_path: Path) -> None:
    """A column that is excluded later is empty in rows that are read again; the report says that versions keep it."""
    history = {"campaigns": WriteOptions(WriteMode.HISTORY)}
    sync(simulator, tmp_path, tables=(wanted("campaigns"),), treatments=history)
    report = sync(simulator, tmp_path, tables=(wanted("campaigns", "campaigns:exclude=name"),), treatments=history)
    left = _ask(tmp_path, "SELECT _cio_is_current, count(name) > 0 FROM customerio.campaigns GROUP BY 1 ORDER BY 1")
    assert left == [(False, True), (True, False)]
    assert any("keep what they held, until you `drop` the table" in note for note in report.notes)


def test_an_erasure_that_could_not_find_rows_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    """Of a table that is not read now, the rules must be those by which it was copied; by them it is erased too."""
    people, renamed = wanted("customers"), wanted("messages", "messages:rename=customer_identifiers__cio_id:person")
    sync(simulator, tmp_path, tables=(people, renamed))
    gone = json.loads(bytes(next(iter(simulator.workspace.truth("customers")))))["cio_id"]
    simulator.workspace.delete("customers", str(gone))
    with pytest.raises(InvalidSettings, match="could not find rows of messages"):
        sync(simulator, tmp_path, tables=(people,), erase=True, others=(wanted("messages"),))
    report = sync(simulator, tmp_path, tables=(people,), erase=True, others=(renamed,))
    assert (report.status, report.erased) == (Status.COMPLETE, 1)


def test_merged_people_are_told_by_their_hashes(simulator: Simulator, tmp_path: Path) -> None:
    """Where `cio_id` is hashed, who was merged into whom is told as the people are called in the copy."""
    tables = (
        wanted("customers", "customers:hash=cio_id,identifiers__cio_id"),
        wanted("activities", "activities:hash=customer_identifiers__cio_id"),
    )
    gone, stays, *_ = [key for key, _ in simulator.workspace.truth_items("customers")]
    now = simulator.workspace.spec.now
    sync(simulator, tmp_path, tables=tables, now=now)
    entry = {"id": "01ZZMERGE", "type": "profile_merge", "timestamp": now + 60, "data": {"secondary": {"cio_id": gone}}}
    simulator.workspace.put("activities", entry | {"customer_identifiers": {"cio_id": stays}})
    simulator.workspace.delete("customers", gone)
    sync(simulator, tmp_path, tables=tables, now=now + 120)
    ((merged, into),) = _ask(
        tmp_path, "SELECT cio_id, into_cio_id FROM customerio._cio_merges WHERE activity_id = '01ZZMERGE'"
    )
    people = "SELECT count(*) FROM customerio.customers WHERE _cio_deleted_at IS {0} NULL AND cio_id = '{1}'"
    assert _ask(tmp_path, people.format("NOT", merged)) == [(1,)]
    assert _ask(tmp_path, people.format("", into)) == [(1,)]
    assert merged.startswith("h_")


def test_renamed_columns_hold_what_they_held(simulator: Simulator, tmp_path: Path) -> None:
    """Other names for columns change no value, and a second run writes nothing."""
    sync(simulator, tmp_path, tables=(wanted("messages"),))
    other = tmp_path / "other"
    other.mkdir()
    tables = (wanted("messages", "messages:rename=id:message_id,created:sent_at", naming=naming("", "M_", "lower")),)
    sync(simulator, other, tables=tables)
    query = "SELECT {} FROM customerio.messages ORDER BY _cio_key"
    old = _ask(tmp_path, query.format("id, created, recipient, metrics__sent"))
    assert old == _ask(other, query.format("message_id, sent_at, m_recipient, m_metrics__sent"))
    again = sync(simulator, other, tables=tables)
    assert (again.tables[0].inserted, again.tables[0].updated) == (0, 0)
