"""Tables in files: one body for plain Parquet, Delta and Iceberg, in a folder and on S3."""

from __future__ import annotations

import itertools
import math
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, StoredTable
from cio_replicate.sinks.lake.iceberg import CatalogTables, IcebergBackend
from cio_replicate.sinks.lake.iceberg_folder import FolderTables
from cio_replicate.sinks.lake.object_files import LocalFiles
from tests.sinks import s3
from tests.sinks.lakes import NOTHING, SHAPE, Lake, edit, folder, moment, rows, thing

SCHEMES = ("parquet", "delta", "iceberg")
PLACES = ("folder", "s3")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server with a bucket."""
    with s3.serving() as endpoint:
        yield endpoint


@pytest.fixture(
    params=[
        pytest.param(
            (scheme, place),
            id=f"{scheme}-{place}",
            marks=() if (scheme, place) == ("parquet", "folder") else pytest.mark.destinations,
        )
        for scheme, place in itertools.product(SCHEMES, PLACES)
    ]
)
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty place of each kind."""
    scheme, place = request.param
    if place == "folder":
        return folder(scheme, tmp_path)
    return Lake(scheme, f"some/{uuid.uuid4().hex}", request.getfixturevalue("server"))


def test_rows_are_added_replaced_and_removed(lake: Lake) -> None:
    """What an edit says is what another program then reads, and writing it again changes nothing."""
    store = lake.open()
    store.write(edit(SHAPE, [thing(f"k{number}", number) for number in range(10)]))

    def again() -> ChangeSet:
        return edit(SHAPE, [thing("k3", 33), thing("new", 5)], ["k4", "k5", "never was"])

    expected = {f"k{number}": number for number in range(10)} | {"k3": 33, "new": 5}
    del expected["k4"], expected["k5"]
    for _ in range(2):
        store.write(again())
        found = lake.theirs("things").to_pylist()
        assert {row["key"]: row["size"] for row in found} == expected
        assert len(found) == len(expected) == store.count(SHAPE)
    store.close()
    assert [row["size"] for row in rows(lake.open(), SHAPE)] == [expected[key] for key in sorted(expected)]


def test_every_value_survives(lake: Lake) -> None:
    """Values of all types come back exactly as they were, to us and to another program, large ones too."""
    hostile = [
        "",
        "\0",
        "a\0b",
        "'; DROP TABLE x; --",
        '"',
        "\\",
        "👩‍👩‍👧",
        "\u202e",
        "line\r\nline",
        "é" * 3,
        "null",
        "30e00001",
    ]
    made = [thing(f"t{number}", data=text) for number, text in enumerate(hostile)]
    made += [thing(key) for key in hostile]
    made += [thing(f"n{size}", size) for size in (2**63 - 1, -(2**63), 2**53 + 1, 0)]
    made += [thing(f"r{ratio}", ratio=ratio) for ratio in (1e308, 5e-324, -0.0, 0.1, math.inf)]
    made += [thing(f"a{at}", at=at) for at in (moment(1, 1), moment(-700_000, 999_999), moment(2_000_000, 1))]
    made += [thing("large", data="x" * 1_000_000), thing("larger", data="é\0" * 700_000)]
    made += [dict.fromkeys(thing("")) | {"key": "nothing but a key"}]
    store = lake.open()
    store.write(edit(SHAPE, made))
    expected = sorted(made, key=lambda row: str(row["key"]))
    assert rows(store, SHAPE) == expected
    theirs = lake.theirs("things")
    assert str(theirs.schema.field("at").type) == "timestamp[us, tz=UTC]"
    assert sorted(theirs.to_pylist(), key=lambda row: str(row["key"])) == expected


def test_names_are_as_given(lake: Lake) -> None:
    """Columns, tables and datasets may be called anything that a folder may."""
    names = ["a b", '"', "é", "select", "a.b", "a", "x'y", "_", "emoji 🚚", "50%"]
    shape = StoredTable(
        "naïve täble", (SHAPE.columns[0], *(Column(name, ColumnType.STRING, "It.") for name in names)), "key"
    )
    store = lake.open()
    store.write(edit(shape, [{"key": "k", **{name: name for name in names}}]))
    store.write(edit(shape, [{"key": "l", **dict.fromkeys(names)}]))
    assert list(store.columns("naïve täble")) == ["key", *names]
    assert rows(store, shape)[0] == {"key": "k", **{name: name for name in names}}
    theirs = lake.theirs("naïve täble")
    assert theirs.column_names == ["key", *names]
    assert theirs.num_rows == 2
    for name in ("", "..", ".hidden", "a/b", "a\\b", "a\0"):
        with pytest.raises(DestinationUnavailableError, match="cannot be the name"):
            store.write(edit(StoredTable(name, SHAPE.columns, "key"), []))


def test_columns_are_added_and_stay(lake: Lake) -> None:
    """A new column holds nulls in old rows; a column that an edit does not have keeps its values in the others."""
    store = lake.open()
    wide = StoredTable("things", (*SHAPE.columns, Column("more", ColumnType.JSON, "More.")), "key")
    store.write(edit(SHAPE, [thing("old"), thing("both")]))
    assert store.count(wide, [Condition("more", Operator.NULL)]) == 2
    assert store.count(wide, [Condition("more", Operator.IN, ["[]"])]) == 0
    store.write(edit(wide, [thing("new", more="[1]"), thing("both", more="[2]")]))
    store.write(edit(SHAPE, [thing("both"), thing("last")]))
    assert {row["key"]: row["more"] for row in rows(store, wide)} == {
        "old": None,
        "new": "[1]",
        "both": None,
        "last": None,
    }
    kinds = {column.name: column.type for column in wide.columns}
    assert dict(store.columns("things")) == kinds
    assert list(store.columns("things")) == list(kinds)
    assert lake.theirs("things").column_names == list(kinds)


def test_a_column_alone_is_an_edit(lake: Lake) -> None:
    """An edit without rows makes the table and its columns, and is a table without rows to another program."""
    store = lake.open()
    assert store.columns("things") == {}
    assert rows(store, SHAPE) == []
    store.write(edit(SHAPE, [], ["nobody"]))
    assert list(store.columns("things")) == [column.name for column in SHAPE.columns]
    assert lake.theirs("things").num_rows == store.count(SHAPE) == 0
    wide = StoredTable("things", (*SHAPE.columns, Column("more", ColumnType.INTEGER, "More.")), "key")
    store.write(edit(wide, []))
    assert list(lake.open().columns("things"))[-1] == "more"
    store.write(edit(wide, [thing("k", more=3)]))
    store.write(edit(wide, [], ["k"]))
    store.write(edit(wide, [], ["k"]))
    assert lake.theirs("things").num_rows == store.count(wide) == 0


ASKED = (
    ([Condition("key", Operator.IN, ["a", "c", "zz"])], "ac"),
    ([Condition("size", Operator.IN, [2, 4])], "bd"),
    ([Condition("key", Operator.IN, [])], ""),
    ([Condition("at", Operator.AT_LEAST, moment(2))], "bc"),
    ([Condition("at", Operator.AT_MOST, moment(2))], "ab"),
    ([Condition("at", Operator.AT_LEAST, moment(2, 1)), Condition("at", Operator.AT_MOST, moment(3))], "c"),
    ([Condition("size", Operator.AT_LEAST, 3)], "cd"),
    ([Condition("key", Operator.AT_MOST, "b")], "ab"),
    ([Condition("at", Operator.NULL)], "d"),
    ([Condition("live", Operator.TRUE)], "ac"),
    ([Condition("live", Operator.TRUE), Condition("at", Operator.NULL)], ""),
)


def test_conditions(lake: Lake) -> None:
    """Only rows for which all conditions hold are read, and as many are counted."""
    store = lake.open()
    store.write(edit(SHAPE, [thing("a", 1), thing("b", 2, live=False, at=moment(2))]))
    store.write(edit(SHAPE, [thing("c", 3, at=moment(3)), thing("d", 4, live=None, at=None)]))
    for conditions, expected in ASKED:
        found = store.read(SHAPE, ["data", "key"], conditions).read_all()
        assert "".join(sorted(found["key"].to_pylist())) == expected, conditions
        assert found.column_names == ["data", "key"]
        assert store.count(SHAPE, conditions) == len(expected)


def test_many_keys_are_looked_for(lake: Lake) -> None:
    """Rows are found by 20,000 keys at once, whatever they are, and 20,000 rows are replaced by them."""
    store = lake.open()
    shape = StoredTable("numbers", (Column("number", ColumnType.INTEGER, "The key."), SHAPE.columns[-1]), "number")
    made = [{"number": number * 3, "data": str(number)} for number in range(20_000)]
    store.write(edit(shape, made, at_once=7000))
    store.write(edit(shape, [row | {"data": "x"} for row in made[::2]], [made[1]["number"]], at_once=7000))
    wanted = Condition("number", Operator.IN, [*range(20_000)])
    assert store.count(shape, [wanted]) == 6667 - 1
    assert sorted(store.read(shape, ["number"], [wanted]).read_all()["number"].to_pylist()) == [
        number for number in range(0, 20_000, 3) if number != 3
    ]
    assert store.count(shape, [Condition("data", Operator.IN, ["x"])]) == 10_000


def test_rows_are_split_by_a_moment(lake: Lake) -> None:
    """A row whose moment changes is still there once; where files are by month, others' rows stay where they are."""
    shape = StoredTable("things", SHAPE.columns, "key", split_by="at")
    store = lake.open()
    store.write(edit(shape, [thing("jan", at=moment(1)), thing("feb", at=moment(33)), thing("none", at=None)]))
    store.write(
        edit(shape, [thing("jan", 2, at=moment(62)), thing("feb2", at=moment(34)), thing("old", at=moment(-100_000))])
    )
    found = lake.theirs("things").to_pylist()
    assert sorted(row["key"] for row in found) == ["feb", "feb2", "jan", "none", "old"]
    assert next(row for row in found if row["key"] == "jan")["at"] == moment(62)
    if lake.scheme == "parquet" and not lake.endpoint:
        names = sorted(path.name for path in Path(lake.path).rglob("*.parquet"))
        months = ["2024-01-00001.parquet", "2024-02-00001.parquet", "undated-00001.parquet"]
        assert names[1:] == months
        assert names[0] == "1750-03-00001.parquet"


def test_a_table_is_dropped(lake: Lake) -> None:
    """A dropped table is gone and can be made anew, with other columns; dropping what is not there is no error."""
    store = lake.open()
    store.drop("things")
    store.write(edit(SHAPE, [thing("k")]))
    store.write(edit(StoredTable("others", SHAPE.columns, "key"), [thing("k")]))
    store.drop("things")
    store.drop("things")
    assert store.columns("things") == {}
    assert store.count(SHAPE) == 0
    other = StoredTable("things", (Column("id", ColumnType.INTEGER, "The key."),), "id")
    store.write(edit(other, [{"id": 7}]))
    assert lake.theirs("things").to_pylist() == [{"id": 7}]
    assert store.count(StoredTable("others", SHAPE.columns, "key")) == 1


def test_an_edit_can_come_from_the_table_itself(lake: Lake) -> None:
    """The rows of an edit may be read from the table that it is written to."""
    store = lake.open()
    store.write(edit(SHAPE, [thing(f"k{number}") for number in range(100)]))
    columns = [column.name for column in SHAPE.columns]
    store.write(ChangeSet(SHAPE, store.read(SHAPE, columns), 100, NOTHING))
    assert lake.theirs("things").num_rows == 100


def test_nothing_is_written_when_the_rows_break_off(lake: Lake) -> None:
    """Rows that fail while they are read leave the table as it was, and nothing beside it."""
    store = lake.open()
    store.write(edit(SHAPE, [thing("k")]))

    def breaking() -> Iterator[pa.RecordBatch]:
        yield from edit(SHAPE, [thing("l")]).rows
        raise LookupError

    reader = pa.RecordBatchReader.from_batches(edit(SHAPE, []).rows.schema, breaking())
    with pytest.raises(LookupError):
        store.write(ChangeSet(SHAPE, reader, 2, pa.array(["k"])))
    assert [row["key"] for row in lake.theirs("things").to_pylist()] == ["k"]
    if not lake.endpoint:
        assert len([*Path(lake.path).rglob("*.parquet"), *Path(lake.path).rglob(".unfinished*")]) == 1


def test_a_type_never_changes(lake: Lake) -> None:
    """An edit whose column has another type than the table's is refused, and the table stays as it was."""
    store = lake.open()
    store.write(edit(SHAPE, [thing("k")]))
    other = StoredTable("things", (SHAPE.columns[0], Column("size", ColumnType.STRING, "Text.")), "key")
    with pytest.raises(LoadError, match="size"):
        store.write(edit(other, [{"key": "l", "size": "secret value"}]))
    assert rows(store, SHAPE) == [thing("k")]


def test_small_edits_cost_the_same_for_ever(lake: Lake) -> None:
    """After many edits of one row a table is still one file, with a bounded history."""
    if lake.endpoint:
        return  # nothing in it depends on where the files are
    store = lake.open()
    for number in range(45):
        store.write(edit(SHAPE, [thing("position", number)]))
    assert [row["size"] for row in lake.theirs("things").to_pylist()] == [44]
    table = Path(lake.path) / "customerio/things"
    if lake.scheme == "parquet":
        assert len([*table.iterdir()]) == 1
    elif lake.scheme == "delta":
        assert (table / "_delta_log/_last_checkpoint").exists()
    else:
        from pyiceberg.table import StaticTable  # noqa: PLC0415 - an extra

        assert len(StaticTable.from_metadata(str(table)).metadata.snapshots) <= 20
        assert len([*table.glob("metadata/v*.metadata.json")]) <= 22


def test_a_place_that_cannot_be_used_is_told(lake: Lake, tmp_path: Path) -> None:
    """Opening a place that is not there, or no place, says so."""
    if lake.endpoint:
        wrong = [Lake(lake.scheme, "x", "http://127.0.0.1:9")]
    else:
        (tmp_path / "file").write_text("")
        wrong = [folder(lake.scheme, tmp_path / "no" / "such"), Lake(lake.scheme, str(tmp_path / "file"))]
    for place in wrong:
        with pytest.raises(DestinationUnavailableError) as caught:
            place.open()
        assert caught.value.fix


@pytest.mark.destinations
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_key_that_is_refused_is_told(scheme: str) -> None:
    """A server that refuses the access key is named, the key is not."""
    with s3.refusing() as endpoint, pytest.raises(DestinationUnavailableError, match="access") as caught:
        Lake(scheme, "x", endpoint).open()
    assert s3.KEY not in str(caught.value)
    assert s3.SECRET_KEY not in str(caught.value)


@pytest.mark.parametrize(
    "scheme", ["parquet", *(pytest.param(scheme, marks=pytest.mark.destinations) for scheme in SCHEMES[1:])]
)
@pytest.mark.parametrize("split", [None, "at"], ids=["whole", "split"])
def test_any_edits_in_any_order(tmp_path: Path, scheme: str, split: str | None) -> None:
    """A table whose files are full after a few rows holds what a dictionary would, whatever edits come."""
    lake = folder(scheme, tmp_path)
    store = lake.small(full=20_000)
    shape = StoredTable("things", SHAPE.columns, "key", split)
    generator = random.Random(f"{scheme} {split}")  # noqa: S311 - the same each time
    expected: dict[str, dict[str, Any]] = {}
    for step in range(24):
        keys = generator.sample(range(300), generator.choice([0, 1, 5, 60]))
        gone = [f"k{key}" for key in keys[: len(keys) // 4]]
        made = [
            thing(f"k{key}", step, at=moment(generator.randint(1, 70)), data=f"{generator.getrandbits(2000):x}")
            for key in keys[len(keys) // 4 :]
        ]
        store.write(edit(shape, made, gone, at_once=17))
        expected = {key: row for key, row in expected.items() if key not in gone} | {row["key"]: row for row in made}
        if step % 8 == 7:
            assert rows(store, shape) == [expected[key] for key in sorted(expected)]
    theirs = sorted(lake.theirs("things").to_pylist(), key=lambda row: str(row["key"]))
    assert theirs == [expected[key] for key in sorted(expected)]
    if scheme == "parquet":
        assert len([*tmp_path.rglob("*.parquet")]) > 1


@pytest.mark.destinations
@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_two_who_write_at_once_are_told(tmp_path: Path, scheme: str) -> None:
    """When another program commits while an edit is written, the edit fails and leaves the table to the other."""
    lake = folder(scheme, tmp_path)
    one, other = lake.open(), lake.open()
    one.write(edit(SHAPE, [thing("k")]))

    def slow() -> Iterator[pa.RecordBatch]:
        yield from edit(SHAPE, [thing("k", 2)]).rows
        other.write(edit(SHAPE, [thing("k", 3), thing("l")]))

    reader = pa.RecordBatchReader.from_batches(edit(SHAPE, []).rows.schema, slow())
    with pytest.raises(LoadError, match="at the same time"):
        one.write(ChangeSet(SHAPE, reader, 1, NOTHING))
    assert {row["key"]: row["size"] for row in rows(one, SHAPE)} == {"k": 3, "l": 1}
    one.write(edit(SHAPE, [thing("k", 4)]))
    assert {row["key"]: row["size"] for row in rows(other, SHAPE)} == {"k": 4, "l": 1}


@pytest.mark.destinations
def test_iceberg_tables_can_be_in_a_catalog(tmp_path: Path) -> None:
    """With a catalog of the user's own, tables are made, changed, found and dropped in it."""
    from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415 - an extra

    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}"}
    store = IcebergBackend(CatalogTables("ours", properties, "customerio", f"file://{tmp_path}/lake"))
    store.open()
    assert rows(store, SHAPE) == []
    wide = StoredTable("things", (*SHAPE.columns, Column("more", ColumnType.JSON, "More.")), "key")
    store.write(edit(SHAPE, [thing("k"), thing("l")]))
    store.write(edit(wide, [thing("k", 2, more="[]")], ["l"]))
    catalog = SqlCatalog("ours", **properties)
    assert catalog.load_table("customerio.things").scan().to_arrow().to_pylist() == [thing("k", 2, more="[]")]
    store.drop("things")
    assert not catalog.table_exists("customerio.things")
    assert store.columns("things") == {}
    catalog.close()
    store.close()


@pytest.mark.destinations
def test_files_that_no_state_needs_go_after_a_day(tmp_path: Path) -> None:
    """What older states of an Iceberg folder needed stays a day for who reads them, and then goes."""
    moments = [0.0]
    store = IcebergBackend(FolderTables(LocalFiles(tmp_path / "lake"), {}, lambda: moments[0]))
    counted = []
    for moments[0] in (1e9, 1e9 + 80_000, 1e9 + 200_000):
        for number in range(12):
            store.write(edit(SHAPE, [thing("k", number)]))
        counted.append(len([*(tmp_path / "lake/things/data").iterdir()]))
    assert counted == [12, 24, 36 - 10]
    assert rows(store, SHAPE) == [thing("k", 11)]
