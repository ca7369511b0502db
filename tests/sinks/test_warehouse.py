"""What a store in a SQL database does, on every one that runs here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.table import ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, TableBackend
from tests.sinks import servers
from tests.sinks.places import AT, COLUMNS, Place, edit, has_ducklake, row, rows_of, shape  # noqa: F401 - in a text

MARIADB = pytest.mark.skipif(bool(servers.missing_mariadb()), reason=servers.missing_mariadb() or "there is one")
NO_DUCKLAKE = "needs DuckDB's extensions ducklake and sqlite, in the version of DuckDB that is installed"
DUCKLAKE = pytest.mark.skipif("not has_ducklake()", reason=NO_DUCKLAKE)  # a text, as it takes seconds to know
KINDS = [
    "postgresql",
    "sqlite",
    pytest.param("mysql", marks=[MARIADB, pytest.mark.destinations]),
    pytest.param("postgresql+dlt", marks=pytest.mark.destinations),
    pytest.param("ducklake+dlt", marks=[DUCKLAKE, pytest.mark.destinations]),
]
TABLE = shape()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty dataset in each kind of database."""
    return Place(request.param, tmp_path)


def test_nothing_is_there_at_first(place: Place) -> None:
    """A dataset that was never written has no tables, no rows, and nothing to drop."""
    store = place.open()
    assert store.columns("things") == {}
    assert rows_of(store, TABLE) == []
    assert store.count(TABLE) == 0
    store.drop("things")
    store.close()


def test_rows_come_back_in_every_type(place: Place) -> None:
    """A store that knows nothing of an earlier one finds the columns, their types, and the values to the letter."""
    values = row("a", data='{"B":1,"a":12345678901234567890123,"a":1.00,"n":"\\u0000😀"}')
    nulls = {name: None for name in COLUMNS if name != "_cio_key"} | {"_cio_key": "b"}
    store = place.open()
    store.write(edit(TABLE, [values, nulls]))
    store.close()
    store = place.open()
    assert store.columns("things") == COLUMNS
    assert list(store.columns("things")) == list(COLUMNS)
    assert rows_of(store, TABLE) == [values, nulls]
    assert store.read(TABLE, list(COLUMNS)).schema == schema_for(TABLE.columns)
    store.close()


def test_a_write_replaces_adds_and_removes(place: Place) -> None:
    """Rows of known keys are replaced whole, the others added, those that are gone removed, and all else is left."""
    store = place.open()
    store.write(edit(TABLE, [row(key) for key in "abcd"]))
    change = [row("b", name=None, number=8), row("e"), row("f", _cio_deleted_at=AT)]
    for _ in range(2):  # the second time changes nothing
        store.write(edit(TABLE, change, ["c", "never there"]))
        assert rows_of(store, TABLE) == [row("a"), change[0], row("d"), *change[1:]]
    store.write(edit(TABLE, [], ["a", "f"]))
    assert [one["_cio_key"] for one in rows_of(store, TABLE)] == ["b", "d", "e"]
    store.write(edit(TABLE, [row("d", _cio_deleted_at=AT)]))  # a mark of deletion is a value, not an order
    assert rows_of(store, TABLE, Condition("_cio_key", Operator.IN, ["d"])) == [row("d", _cio_deleted_at=AT)]
    store.close()


def test_a_table_of_another_sort(place: Place) -> None:
    """The key may be an integer, and a table may be made before it has rows."""
    table = shape("numbered", key="id", id=ColumnType.INTEGER, text=ColumnType.STRING)
    store = place.open()
    store.write(edit(table))
    assert list(store.columns("numbered")) == ["id", "text"]
    store.write(edit(table, [{"id": number, "text": str(number)} for number in (1, -(2**63), 2**63 - 1)]))
    store.write(edit(table, [{"id": 1, "text": "one"}], [2**63 - 1]))
    assert rows_of(store, table) == [{"id": -(2**63), "text": str(-(2**63))}, {"id": 1, "text": "one"}]
    assert store.count(table, [Condition("id", Operator.AT_LEAST, 0)]) == 1
    store.close()


def test_columns_come_and_stay(place: Place) -> None:
    """A table gets the columns that it lacks; those that a shape does not have stay, with nulls in what is written."""
    small = shape(_cio_key=ColumnType.STRING, name=ColumnType.STRING)
    large = shape(_cio_key=ColumnType.STRING, late=ColumnType.JSON)
    store = place.open()
    store.write(edit(small, [{"_cio_key": "a", "name": "A"}, {"_cio_key": "b", "name": "B"}]))
    store.close()
    store = place.open()
    store.write(edit(large, [{"_cio_key": "b", "late": "[1]"}]))
    whole = shape(_cio_key=ColumnType.STRING, name=ColumnType.STRING, late=ColumnType.JSON)
    assert store.columns("things") == {"_cio_key": "string", "name": "string", "late": "json"}
    assert rows_of(store, whole) == [
        {"_cio_key": "a", "name": "A", "late": None},
        {"_cio_key": "b", "name": None, "late": "[1]"},
    ]
    store.write(edit(small, [{"_cio_key": "b", "name": "B"}], ["a"]))
    assert rows_of(store, whole) == [{"_cio_key": "b", "name": "B", "late": None}]
    store.close()


def test_a_column_that_is_not_there_holds_nulls(place: Place) -> None:
    """It can be read, and asked whether it is null; any other condition on it holds for no row."""
    store = place.open()
    store.write(edit(shape(_cio_key=ColumnType.STRING), [{"_cio_key": "a"}]))
    assert store.read(TABLE, ["number", "_cio_key"]).read_all().to_pylist() == [{"number": None, "_cio_key": "a"}]
    assert store.read(TABLE, ["number"]).read_all().to_pylist() == [{"number": None}]
    assert store.count(TABLE, [Condition("number", Operator.NULL)]) == 1
    assert store.count(TABLE, [Condition("number", Operator.AT_MOST, 3)]) == 0
    assert store.count(TABLE, [Condition("fooBar", Operator.TRUE)]) == 0
    assert store.count(TABLE, [Condition("name", Operator.IN, ["a"])]) == 0
    store.close()


def test_conditions(place: Place) -> None:
    """Every comparison, alone and together."""
    store = place.open()
    hour = timedelta(hours=1)
    rows = [
        row("a", number=1, created=AT - hour, fooBar=False),
        row("b", number=2, created=AT, _cio_deleted_at=AT),
        row("ü", number=3, created=AT + hour, fooBar=None),
        row("Z", number=None, created=None),
    ]
    store.write(edit(TABLE, rows))
    cases: list[tuple[list[Condition], str]] = [
        ([], "Zabü"),
        ([Condition("_cio_key", Operator.IN, ["a", "Z", "a", "A", "no\x00", "\ud800"])], "Za"),
        ([Condition("_cio_key", Operator.IN, [])], ""),
        ([Condition("number", Operator.IN, [3, 1, 9])], "aü"),
        ([Condition("created", Operator.AT_LEAST, AT)], "bü"),
        ([Condition("created", Operator.AT_LEAST, AT + timedelta(microseconds=1))], "ü"),
        ([Condition("created", Operator.AT_MOST, AT.astimezone())], "ab"),
        ([Condition("number", Operator.AT_LEAST, 2), Condition("_cio_deleted_at", Operator.NULL)], "ü"),
        ([Condition("fooBar", Operator.TRUE)], "Zb"),
        ([Condition("number", Operator.NULL)], "Z"),
        ([Condition("_cio_key", Operator.IN, ["a", "b"]), Condition("number", Operator.IN, [2, 3])], "b"),
    ]
    if not place.through_dlt:
        cases.append(
            ([Condition("_cio_key", Operator.AT_LEAST, "a"), Condition("_cio_key", Operator.AT_MOST, "b")], "ab")
        )
    for conditions, expected in cases:
        found = rows_of(store, TABLE, *conditions)
        assert "".join(one["_cio_key"] for one in found) == expected, conditions
        assert store.count(TABLE, conditions) == len(expected)
    store.close()


def test_many_keys_and_many_rows(place: Place) -> None:
    """Thousands of keys are looked for piece by piece, and an answer comes in pieces, while something is written."""
    rows = [row(f"k{number}", number=number) for number in range(3000)]
    store = place.open()
    store.write(edit(TABLE, rows, batch=700))
    keys = [f"k{number}" for number in range(0, 12_000, 2)]
    assert store.count(TABLE, [Condition("_cio_key", Operator.IN, keys)]) == 1500
    reader = store.read(TABLE, ["_cio_key", "number"])
    first = reader.read_next_batch()
    store.write(edit(TABLE, [row("k0", number=-1)], ["k1"]))
    seen = pa.Table.from_batches([first, *reader])
    assert len(seen) == 3000
    assert store.count(TABLE) == 2999
    store.close()


TEXTS = [
    "", " ", "a ", "A", "a", "É", "é", "e\u0301", "İıſß", "\\", "\\u0000", "'", '"', "''; --", "%s", "$1", ":x", "NULL",
    "\t\n\r\x1f\x7f", "😀👩‍👩‍👧", "\ufeffx", "\U0010ffff", "1.0", "2024-01-31", "x" * 5000, "x" * 1_000_000,
]  # fmt: skip
NULS = ["\x00", "a\x00b", "\x00" * 100]
DOCUMENTS = [
    "1", "-0", "-0.0", "1e400", "1" * 5000, '"\\u0000\\ud800\\/"', '{"a":1,"A":1,"a":2}', "[ 1 ,\t2 ]", "null",
    "[" * 500 + "]" * 500, '"\x7f\u2028"', '{"":""}', '"' + "é" * 1_000_000 + '"', '{"$.a":"%s"}',
]  # fmt: skip
FRACTIONS = [0.1, -0.5, 1e308, 5e-324, 123456789.123456789, 1.0]
WHOLE = [0, -1, 2**63 - 1, -(2**63), 2**53 + 1]
MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    datetime(1000, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 1, UTC),
    AT,
]


def test_hostile_values(place: Place) -> None:
    """Texts, keys, numbers and JSON arrive to the letter, as long as they are."""
    texts = TEXTS + (NULS if store_allows_nul(place) else [])
    rows = [
        row(
            text[:5000] + (str(number) if len(text) > 5000 else ""),
            name=text,
            data=DOCUMENTS[number % len(DOCUMENTS)],
            metrics__score=FRACTIONS[number % len(FRACTIONS)],
            number=WHOLE[number % len(WHOLE)],
            created=MOMENTS[number % len(MOMENTS)],
        )
        for number, text in enumerate(texts)
    ]
    store = place.open()
    for _ in range(2):
        store.write(edit(TABLE, rows))
        found = {one["_cio_key"]: one for one in rows_of(store, TABLE)}
        assert found == {expected["_cio_key"]: expected for expected in rows}
    keys = [one["_cio_key"] for one in rows]
    found = {one["_cio_key"]: one for one in rows_of(store, TABLE, Condition("_cio_key", Operator.IN, keys[1:]))}
    assert list(found) == sorted(keys[1:], key=str)
    store.write(edit(TABLE, [], keys[1:]))
    assert store.count(TABLE) == 1
    store.close()


def store_allows_nul(place: Place) -> bool:
    """Whether the kind of store holds the character NUL."""
    store = place.open()
    store.close()
    return store.nul_allowed


NAMES = [
    'a"b',
    "a'b",
    "a`b",
    "a b",
    "a.b",
    "a;b",
    "--",
    "?",
    "$1",
    "%s",
    "%",
    ":x",
    "select",
    "Ünïcode ✓ name",
    "fooBar2",
]
NAMES += [
    "😀",
    "1",
    "{}",
    "a__b",
    "campaigns__changes",
    "\\",
    "ctid",
    "rowid",
    "values (%s)",
    "x" * 63,
    "é" * 31,
    "end ",
]


def test_names_of_columns_and_tables(place: Place) -> None:
    """A name that the store accepts is kept to the letter; one that it does not accept is refused before anything."""
    store = place.open()
    names = [name for name in NAMES if store.accepts_name(name)]
    assert {"a__b", "campaigns__changes", "select", "1"} <= set(names)
    assert place.through_dlt or len(names) >= len(NAMES) - 3
    kinds = [ColumnType.JSON, ColumnType.STRING]
    columns = {"_cio_key": ColumnType.STRING, **{name: kinds[at % 2] for at, name in enumerate(names)}}
    table = shape('table "é"' if not place.through_dlt else "table__1", **columns)
    values = {"_cio_key": "a", **{name: json.dumps(name) for name in names}}
    for _ in range(2):
        store.write(edit(table, [values]))
    assert rows_of(store, table) == [values]
    assert store.columns(table.name) == columns
    for name in names[1::2]:
        assert store.count(table, [Condition(name, Operator.IN, [json.dumps(name)])]) == 1
    for name in ("x" * 2000, "a\x00b", ""):
        assert not store.accepts_name(name)
        with pytest.raises(LoadError, match="takes no table or column called"):
            store.write(edit(shape(_cio_key=ColumnType.STRING, **{name: ColumnType.STRING}), [{"_cio_key": "a"}]))
    store.close()


def test_a_dropped_table_can_be_made_again(place: Place) -> None:
    """Also in another shape, and also by somebody who does not know of the drop."""
    store = place.open()
    store.write(edit(TABLE, [row("a")], ["x"]))
    store.drop("things")
    store.drop("things")
    assert store.columns("things") == {}
    store.write(edit(TABLE, [row("b")]))
    assert rows_of(store, TABLE) == [row("b")]
    for kind, value in ((ColumnType.STRING, "1"), (ColumnType.INTEGER, 1), (ColumnType.STRING, "1")):
        store.drop("things")
        other = shape(_cio_key=ColumnType.STRING, number=kind)
        for gone in ((), ("b",)):
            store.write(edit(other, [{"_cio_key": "a", "number": value}], gone))
        store.close()
        store = place.open()
        assert store.columns("things") == {"_cio_key": "string", "number": kind}
        assert rows_of(store, other) == [{"_cio_key": "a", "number": value}]
    store.close()


def test_bytes_are_never_taken_for_others(place: Place) -> None:
    """A column that holds another type, or a table without the key, is refused by name."""
    store = place.open()
    store.write(edit(shape(_cio_key=ColumnType.STRING, number=ColumnType.STRING), [{"_cio_key": "a", "number": "1"}]))
    with pytest.raises(LoadError, match=r"'number' of things .* is to hold integer, but is of string"):
        store.write(edit(TABLE, [row("a")]))
    with pytest.raises(LoadError, match=r"was not made by cio-replicate"):
        store.write(edit(shape(key="id", id=ColumnType.STRING), [{"id": "a"}]))
    assert store.columns("things") == {"_cio_key": "string", "number": "string"}
    store.close()


def test_an_edit_that_breaks_off_leaves_nothing(place: Place) -> None:
    """When the rows cannot all be read, the table holds nothing of the edit, and the store goes on."""
    store = place.open()
    store.write(edit(TABLE, [row("a"), row("b")]))

    def rows() -> Any:
        yield pa.RecordBatch.from_pylist([row("a", name="other")] * 1, schema_for(TABLE.columns))
        yield from edit(TABLE, [row(f"new{number}") for number in range(60_000)], batch=20_000).rows
        raise RuntimeError("the disk is gone")

    broken = pa.RecordBatchReader.from_batches(schema_for(TABLE.columns), rows())
    with pytest.raises((LoadError, RuntimeError, pa.ArrowException)):
        store.write(ChangeSet(TABLE, broken, 60_001, pa.array(["b"])))
    assert rows_of(store, TABLE) == [row("a"), row("b")]
    store.write(edit(TABLE, [row("c")]))
    assert store.count(TABLE) == 3
    store.close()


def test_a_closed_store_opens_again(place: Place) -> None:
    """Closing twice is no error, nor is closing what was never open."""
    store: TableBackend = place.open()
    store.write(edit(TABLE, [row("a")]))
    store.close()
    store.close()
    store.open()
    assert store.count(TABLE) == 1
    store.close()


def test_two_datasets_do_not_meet(place: Place) -> None:
    """The same table in another dataset of the same database is another table."""
    store = place.open()
    store.write(edit(TABLE, [row("a")]))
    other = Place(place.kind + ("+dlt" if place.through_dlt else ""), place.folder)
    beside = other.open()
    assert re.fullmatch(r"d\d+_\d+", other.dataset)
    assert beside.columns("things") == {}
    beside.write(edit(TABLE, [row("b")]))
    assert rows_of(store, TABLE) == [row("a")]
    assert rows_of(beside, TABLE) == [row("b")]
    beside.close()
    store.close()
