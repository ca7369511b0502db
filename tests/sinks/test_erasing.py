"""Rows that are known to be gone, and people whose rows are blanked and stay so, alike in every destination."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.config.column_rules import column_rules
from cio_replicate.config.table_options import Deletes, WriteMode, WriteOptions
from cio_replicate.schema.system_tables import ERASURES
from cio_replicate.sinks.backend import NOT_DELETED, one_of, record_shape
from cio_replicate.sinks.port import Batch, Changes, Digests, ErasureHits, Owner, RunRows, Sink, run_rows
from cio_replicate.source.catalog import table
from cio_replicate.source.catalog.selection import chosen
from tests.sinks.copies import COPIES, STORES, Copy, StoreCopy, tried
from tests.sinks.fragile import FragileStore, Killed
from tests.sinks.pages import AT, Pages, close

ADA = {"email": "ada@example.com", "id": "u-ada", "cio_id": "a1"}
BOB = {"email": "bob@example.com", "id": "u-bob", "cio_id": "b2"}
MESSAGES, PEOPLE = table("messages"), table("customers")
EVERY = [WriteOptions(mode, deletes) for mode in WriteMode for deletes in Deletes]


def _message(key: str, who: dict[str, str], **more: object) -> dict[str, object]:
    return {
        "id": key,
        "created": AT - 100,
        "customer_id": who["id"],
        "customer_identifiers": who,
        "recipient": who["email"],
        "subject": f"Hello {who['id']}",
        "campaign_id": 7,
        **more,
    }


def _person(who: dict[str, str], **more: object) -> dict[str, object]:
    return {"cio_id": who["cio_id"], "id": who["id"], "identifiers": who, "attributes": {"name": who["id"]}, **more}


def _gone(of: Pages, treatment: WriteOptions, *keys: str, as_it_is: bool = False) -> Batch:
    batch = Batch(of.fields.table, of.fields.all, (), "run", treatment=treatment, gone=keys, gone_at=AT + 90)
    return replace(batch, as_it_is=as_it_is)


@contextmanager
def _opened(copy: Copy) -> Iterator[Sink]:
    destination = copy.open()
    try:
        destination.open()
        destination.open(Owner(AT))
        yield destination
    finally:
        destination.close()


def _blank(copy: Copy, **aliases: list[str]) -> dict[str, ErasureHits]:
    with _opened(copy) as destination:
        return destination.erase(MESSAGES, aliases)


def _erased(copy: Copy, person: str, *, keys: dict[str, list[str]] | None = None, returned: int | None = None) -> None:
    row = {
        "run_person": f"run/{person}",
        "cio_id": person,
        "named_otherwise": json.dumps(keys) if keys else None,
        "returned_at": None if returned is None else datetime.fromtimestamp(returned, UTC),
    }
    with _opened(copy) as destination:
        destination.write(RunRows(record_shape(ERASURES), [row]))


def _held(copy: Copy, name: str) -> tuple[Digests | None, Digests]:
    with _opened(copy) as destination:
        return destination.state.expected.get(table(name).name), destination.digests(table(name))


def _texts(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, default=str)


@pytest.fixture(params=tried(COPIES, "duckdb", "twin"))
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    """An empty copy of each kind."""
    return COPIES[request.param](tmp_path)


@pytest.fixture
def people(tmp_path: Path) -> Pages:
    """Pages of people."""
    return Pages(tmp_path / "people", "customers")


@pytest.fixture
def messages(tmp_path: Path) -> Pages:
    """Pages of messages."""
    return Pages(tmp_path / "messages", "messages")


@pytest.mark.parametrize("treatment", EVERY, ids=lambda one: f"{one.mode}-{one.deletes}")
def test_rows_known_to_be_gone_go_as_the_mode_has_it(copy: Copy, people: Pages, treatment: WriteOptions) -> None:
    """They are marked, removed, noted or ended, and counted; keys that are not there or gone already are nothing."""
    file = people.land(_person(ADA), _person(BOB))
    copy.write(replace(people.batch(file), treatment=treatment))
    assert copy.write(_gone(people, treatment, "a1", "nobody")) == Changes(deleted=1)
    assert copy.write(_gone(people, treatment, "a1")) == Changes()
    rows = {row["_cio_key"]: row for row in copy.every("customers")}
    assert rows["b2"]["_cio_deleted_at"] is None
    if treatment.removes:
        assert set(rows) == {"b2"}
    else:
        assert rows["a1"]["_cio_deleted_at"].timestamp() == AT + 90
    changes = sorted(copy.every("customers__changes"), key=lambda row: int(row["_cio_sequence"]))
    noted = [row["_cio_operation"] for row in changes if row["_cio_key"] == "a1"]
    assert noted == (["insert", "delete"] if treatment.mode is WriteMode.CHANGES else [])
    expected, held = _held(copy, "customers")
    assert expected == held
    assert held.rows == 1
    assert copy.write(replace(people.batch(file), treatment=treatment)) in (Changes(1, 0, 0), Changes(0, 1, 0))


@pytest.mark.parametrize("mode", [WriteMode.APPLY, WriteMode.CHANGES, WriteMode.HISTORY])
def test_rows_can_go_without_a_word_about_the_mode(copy: Copy, people: Pages, mode: WriteMode) -> None:
    """A batch that takes the table as it is changes no layout; of a table that is not there it is nothing."""
    assert copy.write(_gone(people, WriteOptions(), "a1", as_it_is=True)) == Changes()
    copy.write(replace(people.batch(people.land(_person(ADA))), treatment=WriteOptions(mode)))
    assert copy.write(_gone(people, WriteOptions(WriteMode.FULL), "a1", as_it_is=True)) == Changes(deleted=1)
    (row,) = copy.every("customers")
    assert row["_cio_deleted_at"].timestamp() == AT + 90
    assert ("_cio_is_current" in row) == (mode is WriteMode.HISTORY)
    assert len(copy.every("customers__changes")) == (2 if mode is WriteMode.CHANGES else 0)


@pytest.mark.parametrize("mode", [WriteMode.APPLY, WriteMode.CHANGES, WriteMode.HISTORY])
def test_blanking_leaves_nothing_of_a_person_and_all_of_others(copy: Copy, messages: Pages, mode: WriteMode) -> None:
    """In the row, its versions and its noted changes nothing personal is left; what tells rows apart and sums stays."""
    treatment = WriteOptions(mode)
    first = messages.land(_message("m1", ADA, extra_field="ada was here"), _message("m2", BOB), at=AT)
    later = messages.land(_message("m1", ADA, subject="Ada again", campaign_id={"ada": 1}), at=AT + 50)
    for file in (first, later):
        copy.write(replace(messages.batch(file, close=close(file, absence_deletes=False)), treatment=treatment))
    others = [row for name in ("messages", "messages__changes") for row in copy.every(name) if row["_cio_key"] == "m2"]
    found = _blank(copy, a1=[])
    assert found["messages"].rows == {"a1": 2 if mode is WriteMode.HISTORY else 1}
    assert ("messages__changes" in found) == (mode is WriteMode.CHANGES)
    every = [row for name in ("messages", "messages__changes") for row in copy.every(name)]
    assert "ada" not in _texts(every).lower()
    assert [row for row in every if row["_cio_key"] == "m2"] == others
    mine = [row for row in every if row["_cio_key"] == "m1"]
    assert {row["customer_identifiers__cio_id"] for row in mine} == {"a1"}
    assert all(row["created"] is not None for row in mine)
    assert _held(copy, "messages")[0] == _held(copy, "messages")[1]
    assert _blank(copy, a1=[])["messages"].rows == found["messages"].rows
    assert [row for name in ("messages", "messages__changes") for row in copy.every(name)] == every


def test_what_is_erased_stays_so_when_it_is_read_again(copy: Copy, messages: Pages) -> None:
    """A row that comes as the source still has it is no change; one that did change takes in nothing personal."""
    same = messages.land(_message("m1", ADA), _message("m2", BOB))
    copy.write(messages.batch(same))
    _blank(copy, a1=[])
    _erased(copy, "a1")
    before = copy.rows("messages")
    assert copy.write(messages.batch(same)) == Changes()
    assert copy.rows("messages") == before
    moved = _message("m1", ADA, metrics={"opened": AT}, surprise="ada")
    assert copy.write(messages.batch(messages.land(moved, _message("m3", ADA)))) == Changes(inserted=1, updated=1)
    rows = copy.rows("messages")
    assert rows["m1"]["metrics__opened"].timestamp() == AT
    assert "ada" not in _texts(list(rows.values()))


def test_columns_that_are_copied_no_more_are_blanked_too(copy: Copy, messages: Pages, tmp_path: Path) -> None:
    """Of an erased person nothing is left in them, and rows that are read without them are loaded as ever."""
    copy.write(messages.batch(messages.land(_message("m1", ADA), _message("m2", BOB))))
    rules = column_rules(["messages:exclude=subject"], None, {"messages": [one.name for one in MESSAGES.columns]})
    fewer = Pages(tmp_path / "fewer", chosen(MESSAGES, rules["messages"]))
    with _opened(copy) as destination:
        assert destination.erase(fewer.fields.table, {"a1": []})["messages"].rows == {"a1": 1}
    _erased(copy, "a1")
    assert "ada" not in _texts(copy.every("messages"))
    records = (_message("m1", ADA, metrics={"opened": AT}), _message("m2", BOB))
    less = [{name: value for name, value in one.items() if name != "subject"} for one in records]
    copy.write(fewer.batch(fewer.land(*less)))
    rows = copy.rows("messages")
    assert rows["m1"]["metrics__opened"].timestamp() == AT
    assert (rows["m1"]["recipient"], rows["m2"]["recipient"]) == (None, "bob@example.com")


def test_rows_that_name_a_person_otherwise_are_found_too(copy: Copy, messages: Pages) -> None:
    """By the id or the address, where they lack the `cio_id` or have another; their keys keep them blank."""
    lacking = {name: value for name, value in _message("m1", ADA).items() if name != "customer_identifiers"}
    wrong = _message("m2", ADA, customer_identifiers={"email": None, "id": "9", "cio_id": "77"})
    file = messages.land(lacking, wrong, _message("m3", ADA), _message("m4", BOB))
    copy.write(messages.batch(file))
    found = _blank(copy, a1=["u-ada", "ada@example.com"])["messages"]
    assert (found.rows, found.otherwise) == ({"a1": 3}, {"a1": ["m1", "m2"]})
    assert "ada" not in _texts(list(copy.rows("messages").values()))
    _erased(copy, "a1", keys={"messages": found.otherwise["a1"]})
    assert copy.write(messages.batch(file)) == Changes()
    assert "bob" in _texts(list(copy.rows("messages").values()))


def test_a_cio_id_with_its_prefix_names_the_same_person(copy: Copy, messages: Pages) -> None:
    """Where the API writes `cio_` before it, the row is found, and stays blank, all the same."""
    file = messages.land(_message("m1", {**ADA, "cio_id": "cio_a1"}))
    copy.write(messages.batch(file))
    assert _blank(copy, a1=[])["messages"].rows == {"a1": 1}
    _erased(copy, "a1")
    assert copy.write(messages.batch(file)) == Changes()
    assert "ada" not in _texts(list(copy.rows("messages").values()))


def test_who_has_returned_has_values_again(copy: Copy, messages: Pages) -> None:
    """Once the record says so, rows come with what the source tells."""
    file = messages.land(_message("m1", ADA))
    copy.write(messages.batch(file))
    _blank(copy, a1=[])
    _erased(copy, "a1")
    assert copy.write(messages.batch(file)) == Changes()
    _erased(copy, "a1", returned=AT)
    assert copy.write(messages.batch(file)) == Changes(updated=1)
    assert copy.rows("messages")["m1"]["recipient"] == "ada@example.com"


@pytest.mark.parametrize("kind", tried(STORES, "twin"))
@pytest.mark.parametrize(
    "treatment",
    [
        pytest.param(WriteOptions(WriteMode.CHANGES), id="changes"),
        pytest.param(WriteOptions(WriteMode.HISTORY), id="history", marks=pytest.mark.slow),
    ],
)
def test_a_blanking_that_is_broken_off_is_done_again(tmp_path: Path, kind: str, treatment: WriteOptions) -> None:
    """Killed before any of its writes, or just after it, a store is as it must be once all was done again."""
    killed, lives = True, -1
    while killed:
        lives += 1
        assert lives < 12
        for late in (False, True):
            folder = tmp_path / f"{lives}-{late}"
            copy, messages = STORES[kind](folder), Pages(folder / "messages", "messages")
            file = messages.land(_message("m1", ADA), _message("m2", BOB))
            batch = replace(messages.batch(file), treatment=treatment)
            copy.write(batch)
            killed = _blank_in(copy, lives, late=late)
            _blank(copy, a1=[])
            _erased(copy, "a1")
            assert copy.write(batch) == Changes()
            every = _texts(copy.every("messages") + copy.every("messages__changes"))
            assert ("ada" in every, "bob" in every) == (False, True)
            assert _held(copy, "messages")[0] == _held(copy, "messages")[1]
    assert lives > 1


def _blank_in(copy: StoreCopy, lives: int, *, late: bool) -> bool:
    """Blank in a store that is killed at a write; whether it was."""
    destination = copy.open(lambda store: FragileStore(store, lives, late=late))
    try:
        destination.open()
        destination.open(Owner(AT))
        destination.erase(MESSAGES, {"a1": []})
    except Killed:
        return True
    finally:
        destination.close()
    return False


def test_records_are_read_back(copy: Copy) -> None:
    """Rows of a record come back as they were put in, none where there is no such table."""
    with _opened(copy) as destination:
        assert run_rows(destination, record_shape(ERASURES)) == []
    _erased(copy, "a1", keys={"messages": ["m1"]})
    _erased(copy, "b2")
    _erased(copy, "b2", returned=AT)
    with _opened(copy) as destination:
        rows = {row["cio_id"]: row for row in run_rows(destination, record_shape(ERASURES))}
    assert json.loads(rows["a1"]["named_otherwise"]) == {"messages": ["m1"]}
    assert rows["b2"]["returned_at"].timestamp() == AT
    assert len(rows) == 2


def test_rows_are_found_among_texts(copy: Copy, messages: Pages) -> None:
    """Only rows whose text in the column is one of those that are asked for."""
    copy.write(messages.batch(messages.land(_message("m1", ADA), _message("m2", BOB), _message("m3", ADA))))
    with _opened(copy) as destination:
        read = destination.read
        assert sorted(read(MESSAGES, ["id"], [one_of("recipient", ["ada@example.com", "x"])])) == [("m1",), ("m3",)]
        assert read(MESSAGES, ["id"], [one_of("recipient", [])]) == []
        assert read(PEOPLE, ["id"], [NOT_DELETED, one_of("id", ["u-ada"])]) == []
