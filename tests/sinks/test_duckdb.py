"""What is DuckDB's own: files that cannot be used, names that collide, folders that look like something else."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from cio_replicate.base.errors import DestinationUnavailableError, LoadError
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import Changes, Owner
from tests.sinks.copying import query, write
from tests.sinks.pages import AT, Pages, close

HOLD = (
    "import sys, duckdb\n"
    "connection = duckdb.connect(sys.argv[1])\n"
    "print('open', flush=True)\n"
    "sys.stdin.read()\n"
)  # fmt: skip


def _statements(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)


def _use(destination: DuckDBSink) -> None:
    destination.open()
    destination.open(Owner(AT))


def _refusal(file: Path, dataset: str = "customerio") -> str:
    destination = DuckDBSink(file, dataset)
    with closing(destination), pytest.raises(DestinationUnavailableError) as caught:
        _use(destination)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_open_elsewhere_is_refused(tmp_path: Path) -> None:
    """The error says that another program has it, and when that has let go the file can be used."""
    file = tmp_path / "copy.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        said = _refusal(file)
        other.kill()
    assert f"{file} is open in another program" in said
    assert write(DuckDBSink(file, "customerio")) == Changes()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" * 3000, b"SQLite format 3\x00" + b"\x00" * 9000])
@pytest.mark.parametrize("folder", ["data", "locks"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, folder: str) -> None:
    """It is not written over, and the error does not blame another program, whatever the folder is called."""
    file = tmp_path / folder / "notes.txt"
    file.parent.mkdir()
    file.write_bytes(content)
    said = _refusal(file)
    assert "Check that it is a DuckDB file" in said
    assert "open in another program" not in said
    assert file.read_bytes() == content


def test_a_damaged_file_is_refused(tmp_path: Path, pages: Pages) -> None:
    """A copy that was cut off is one sentence."""
    file = tmp_path / "copy.duckdb"
    write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 1})))
    file.write_bytes(file.read_bytes()[:5000])
    assert str(file) in _refusal(file)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Nothing is made on the way, and what is missing is named."""
    assert f"The folder {tmp_path / 'none'} " in _refusal(tmp_path / "none" / "copy.duckdb")
    (tmp_path / "file").write_text("")
    assert "does not exist" in _refusal(tmp_path / "file" / "copy.duckdb")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["x" * 300, "a" * 100 + "/" + "b" * 5000])
def test_a_name_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """The system's limits are no reason for a traceback."""
    assert "‹to›" in _refusal(tmp_path / name)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """A folder is not a DuckDB file."""
    assert "cannot be opened" in _refusal(tmp_path)


@pytest.mark.parametrize("stem", ["customerio", "Customerio", "temp", "system", "main", "memory", 'a"b', "a.b", "ünï"])
def test_a_file_may_be_called_like_anything(tmp_path: Path, pages: Pages, stem: str) -> None:
    """DuckDB names a database after its file, also when that is the name of the dataset or one of its own."""
    file = tmp_path / f"{stem}.duckdb"
    one = pages.batch(pages.land({"id": 1}), close=close())
    assert write(DuckDBSink(file, "customerio"), one) == Changes(inserted=1, deleted=1)
    assert write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 2, "new": 1}))).inserted == 1
    with duckdb.connect(str(file)) as connection:
        tables = "SELECT schema_name, table_name FROM duckdb_tables() WHERE table_name = 'campaigns'"
        assert connection.execute(tables).fetchall() == [("customerio", "campaigns")]


@pytest.mark.parametrize("dataset", ["main", "temp", "system", "copy", "select", "memory"])
def test_a_dataset_may_be_called_like_anything(tmp_path: Path, pages: Pages, dataset: str) -> None:
    """What is written is in the file, under that name."""
    file = tmp_path / "copy.duckdb"
    write(DuckDBSink(file, dataset), pages.batch(pages.land({"id": 1})))
    tables = query(file, "SELECT schema_name FROM duckdb_tables() WHERE table_name = 'campaigns'")
    assert tables == [{"schema_name": dataset}]
    assert write(DuckDBSink(file, dataset), pages.batch(pages.land({"id": 1, "new": 1}))) == Changes(updated=1)


@pytest.mark.parametrize("dataset", ["pg_catalog", "information_schema"])
def test_a_dataset_of_duckdbs_own_is_refused(tmp_path: Path, dataset: str) -> None:
    """Schemas of the database itself hold no copy."""
    assert "Choose another ‹dataset›" in _refusal(tmp_path / "copy.duckdb", dataset)


def test_a_dataset_in_another_case_is_the_same(tmp_path: Path, pages: Pages) -> None:
    """DuckDB does not tell Customerio from customerio, and neither does a copy."""
    file = tmp_path / "copy.duckdb"
    batch = pages.batch(pages.land({"id": 1}))
    assert write(DuckDBSink(file, "Customerio"), batch) == Changes(inserted=1)
    assert write(DuckDBSink(file, "customerio"), batch) == Changes()


def test_datasets_side_by_side(tmp_path: Path, pages: Pages) -> None:
    """Two copies in one file know nothing of each other."""
    file = tmp_path / "copy.duckdb"
    batch = pages.batch(pages.land({"id": 1}))
    assert write(DuckDBSink(file, "one"), batch) == write(DuckDBSink(file, "two"), batch)
    ids = query(file, "SELECT copy_id FROM one._cio_copy UNION SELECT copy_id FROM two._cio_copy")
    assert len(ids) == 2


@pytest.mark.parametrize("name", ["campaigns", "CAMPAIGNS"])
def test_a_table_of_somebody_else_is_refused(tmp_path: Path, pages: Pages, name: str) -> None:
    """A table that was not made here is neither changed nor added to."""
    file = tmp_path / "copy.duckdb"
    _statements(file, "CREATE SCHEMA customerio", f"CREATE TABLE customerio.{name} AS SELECT 1 AS id, 'mine' AS name")
    with pytest.raises(LoadError, match=r"was not made by cio-replicate.*‹dataset›"):
        write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 1})))
    assert query(file, "SELECT * FROM copy.customerio.campaigns") == [{"id": 1, "name": "mine"}]


def test_a_view_in_the_place_of_a_table_is_a_sentence(tmp_path: Path, pages: Pages) -> None:
    """What cannot be written is an error of that table."""
    file = tmp_path / "copy.duckdb"
    _statements(file, "CREATE SCHEMA customerio", "CREATE VIEW customerio.campaigns AS SELECT 1 AS id")
    with pytest.raises(LoadError, match="campaigns"):
        write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 1})))


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM copy.customerio._cio_copy", "ALTER TABLE copy.customerio._cio_copy DROP commits",
     "DROP TABLE copy.customerio._cio_positions", "UPDATE copy.customerio._cio_positions SET position = '{}'",
     "UPDATE copy.customerio._cio_positions SET position = '[1]'"],
)  # fmt: skip
def test_a_copy_that_lost_its_record_is_refused(tmp_path: Path, pages: Pages, damage: str) -> None:
    """When somebody has changed the tables that a copy knows itself by, the error names the file and a way out."""
    file = tmp_path / "copy.duckdb"
    write(DuckDBSink(file, "customerio"), pages.batch(close=close()))
    _statements(file, damage)
    said = _refusal(file)
    assert str(file) in said
    assert "Choose another ‹dataset› or file" in said


def test_a_column_of_the_users_own_stays(tmp_path: Path, pages: Pages) -> None:
    """A column that somebody added is kept through updates, as long as the API has none of that name."""
    file = tmp_path / "copy.duckdb"
    destination = DuckDBSink(file, "customerio")
    write(destination, pages.batch(pages.land({"id": 1, "name": "a"})))
    _statements(
        file,
        "ALTER TABLE copy.customerio.campaigns ADD COLUMN mine DECIMAL(9, 2)",
        "UPDATE copy.customerio.campaigns SET mine = 1.25",
    )
    assert write(destination, pages.batch(pages.land({"id": 1, "name": "b"}))) == Changes(updated=1)
    (row,) = query(file, "SELECT name, mine::VARCHAR AS mine FROM copy.customerio.campaigns")
    assert row == {"name": "b", "mine": "1.25"}


@pytest.mark.parametrize(
    "folder",
    ["id=7", "name=zz", "_cio_key=7", "a[1]", "a*b", "a?b", "it's", 'a"b', "ünï 😀", "%20", "{a,b}", "a\\b", "$HOME"],
)
def test_pages_in_any_folder(tmp_path: Path, folder: str) -> None:
    """The name of a folder is neither a pattern nor a value."""
    pages = Pages(tmp_path / folder / "pages")
    file = tmp_path / "copy.duckdb"
    seen = pages.land({"id": 5, "name": "a"})
    destination = DuckDBSink(file, "customerio")
    assert write(destination, pages.batch(seen, close=close(seen))) == Changes(inserted=1)
    rows = query(file, "SELECT id, name, _cio_key FROM copy.customerio.campaigns")
    assert rows == [{"id": 5, "name": "a", "_cio_key": "5"}]


def test_columns_explain_themselves(tmp_path: Path, pages: Pages) -> None:
    """Who opens the file reads in it what each column means, also of one that came later."""
    file = tmp_path / "copy.duckdb"
    write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 1})))
    write(DuckDBSink(file, "customerio"), pages.batch(pages.land({"id": 1, "it's new": 1})))
    rows = query(file, "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'campaigns'")
    assert all(row["comment"] for row in rows)
