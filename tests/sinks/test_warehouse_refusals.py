"""What a store in a SQL database says when it cannot do what is asked: cause and fix, and nothing that is secret."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.kinds import store_at
from cio_replicate.sinks.sql.sql_backend import SqlBackend
from cio_replicate.sinks.sql.sqlite import SqliteBackend
from cio_replicate.sinks.warehouse.warehouse_kinds import package_store, warehouse_store
from tests.sinks import servers
from tests.sinks.places import Place, address, edit, row, shape

MARIADB = pytest.mark.skipif(bool(servers.missing_mariadb()), reason=servers.missing_mariadb() or "there is one")
SERVERS = [
    "postgresql",
    pytest.param("mysql", marks=[MARIADB, pytest.mark.destinations]),
    pytest.param("postgresql+dlt", marks=pytest.mark.destinations),
]
HIDDEN = "hidden-word"


def _store(kind: str, place: Address, folder: Path) -> SqlBackend:
    make = package_store if "+" in kind else warehouse_store
    return make(place, "d", folder / "working")


def _said(error: CioReplicateError) -> str:
    """What it says, which is one line, with a fix, and no secret."""
    assert error.cause
    assert error.fix
    text = str(error)
    assert "\n" not in text
    assert HIDDEN not in text
    assert servers.PASSWORD not in text
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    return text


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_cannot_be_used(kind: str, tmp_path: Path) -> None:
    """Nobody listens; the password is wrong; the user is unknown; there is no such database."""
    good = address(kind.removesuffix("+dlt"), tmp_path)
    wrong = {"password": Secret(HIDDEN)}
    cases = [
        (replace(good, port=servers.free_port()), "is not running, or does not listen there|cannot be reached"),
        (replace(good, secrets=wrong), "does not take this (user's password|login)"),
        (replace(good, user="nobody_knows", secrets=wrong), "does not take this (user's password|login)"),
        (replace(good, path="no_such_database"), "has no such database|cannot be asked"),
    ]
    for place, expected in cases:
        store = _store(kind, place, tmp_path)
        with pytest.raises(DestinationUnavailableError, match=expected) as caught:
            store.open()
        said = _said(caught.value)
        assert place.kind.title in said
        store.close()


def test_a_user_without_rights(tmp_path: Path) -> None:
    """PostgreSQL's user needs to be allowed to make the schema, but only where it is not there already."""
    server = servers.postgres()
    name = servers.postgres_database(server)
    servers.postgres_run(
        server, name, "DROP ROLE IF EXISTS poor", f"CREATE ROLE poor LOGIN PASSWORD '{HIDDEN} with a space'"
    )
    place = replace(server.address(name), user="poor", secrets={"password": Secret(f"{HIDDEN} with a space")})
    store = _store("postgresql", place, tmp_path)
    store.open()
    with pytest.raises(DestinationUnavailableError, match=r"has no right to do this .* Grant CREATE") as caught:
        store.write(edit(shape(), [row("a")]))
    _said(caught.value)
    servers.postgres_run(server, name, "CREATE SCHEMA d AUTHORIZATION poor")
    store.write(edit(shape(), [row("a")]))
    assert store.count(shape()) == 1
    store.close()
    servers.postgres_run(server, name, "DROP OWNED BY poor", "DROP ROLE poor")


@pytest.mark.parametrize("kind", SERVERS)
def test_refused_rows_are_not_quoted(kind: str, tmp_path: Path) -> None:
    """A rule that somebody put on the table refuses rows; the message names the table and no value."""
    place = Place(kind, tmp_path)
    store = place.open()
    store.write(edit(shape(), [row("a")]))
    rule = "CHECK (number < 100)"
    if place.kind == "mysql":
        servers.mariadb_run(servers.mariadb(), f"ALTER TABLE {place.dataset}.things ADD {rule}")
    else:
        servers.postgres_run(servers.postgres(), place.address.path, f'ALTER TABLE "{place.dataset}".things ADD {rule}')
    with pytest.raises(LoadError, match="did not accept rows of things") as caught:
        store.write(edit(shape(), [row("b", number=12345, name=HIDDEN)]))
    assert "12345" not in _said(caught.value)
    store.write(edit(shape(), [row("b")]))
    assert store.count(shape()) == 2
    store.close()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_connection_that_broke_is_made_anew(kind: str, tmp_path: Path) -> None:
    """When the server closed all connections, at most one use of the store fails."""
    place = Place(kind, tmp_path)
    store = place.open()
    store.write(edit(shape(), [row("a")]))
    assert store.count(shape()) == 1
    if place.kind == "mysql":
        server = servers.mariadb()
        found = servers.mariadb_run(
            server, "SELECT id FROM information_schema.processlist WHERE db = 'beginning' AND id <> connection_id()"
        )
        servers.mariadb_run(server, *(f"KILL {number}" for (number,) in found[0]))
    else:
        servers.postgres_run(
            servers.postgres(),
            place.address.path,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    for use in (lambda: store.write(edit(shape(), [row("b")])), lambda: store.count(shape())):
        with suppress(DestinationUnavailableError):
            use()
    store.write(edit(shape(), [row("b")]))
    assert store.count(shape()) == 2
    store.close()


def test_nul_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    """A store that says that it holds no NUL refuses one, and takes the next rows."""
    store = Place("postgresql", tmp_path).open()
    assert not store.nul_allowed
    with pytest.raises(LoadError, match="did not accept rows of things") as caught:
        store.write(edit(shape(), [row("b", name=f"{HIDDEN}\x00")]))
    _said(caught.value)
    store.write(edit(shape(), [row("b")]))
    assert store.count(shape()) == 1
    store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """SQLite: a file of another sort, a folder that is not there, a file that may not be written."""
    (tmp_path / "text.db").write_text("This is not a database, but it is long enough to be looked at." * 50)
    (tmp_path / "folder.db").mkdir()
    cases = {
        "text.db": "is no SQLite file",
        "folder.db": "cannot be opened",
        "no/folder.db": "there is no folder .*/no that you may write to",
    }
    for name, expected in cases.items():
        store = SqliteBackend(tmp_path / name)
        with pytest.raises(DestinationUnavailableError, match=expected) as caught:
            store.open()
        _said(caught.value)
        store.close()


def test_a_locked_file(tmp_path: Path) -> None:
    """A SQLite file that another program holds is named, after some patience."""
    store = SqliteBackend(tmp_path / "copy.db", patience=0.01)
    store.open()
    store.write(edit(shape(), [row("a")]))
    other = SqliteBackend(tmp_path / "copy.db", patience=0.01)
    other.open()

    def rows() -> object:
        yield from edit(shape(), [row("b")]).rows
        with pytest.raises(DestinationUnavailableError, match="is locked by another program"):
            other.write(edit(shape(), [row("c")]))

    held = edit(shape(), [row("b")])
    reader = pa.RecordBatchReader.from_batches(held.rows.schema, rows())
    store.write(replace(held, rows=reader))
    other.write(edit(shape(), [row("c")]))
    assert store.count(shape()) == 3
    other.close()
    store.close()


def test_a_foreign_table(tmp_path: Path) -> None:
    """A table whose columns are of other types than ours is left alone."""
    place = Place("postgresql", tmp_path)
    servers.postgres_run(
        servers.postgres(),
        place.address.path,
        f'CREATE SCHEMA "{place.dataset}"',
        f'CREATE TABLE "{place.dataset}".things (_cio_key text, number integer)',
    )
    store = place.open()
    assert store.columns("things") == {"_cio_key": "string", "number": "string"}
    with pytest.raises(LoadError, match=r"'number' of things .* is to hold integer, but is of another type"):
        store.write(
            edit(shape(_cio_key=ColumnType.STRING, number=ColumnType.INTEGER), [{"_cio_key": "a", "number": 1}])
        )
    store.close()


@pytest.mark.parametrize(
    ("to", "modules", "extra"),
    [
        ("mysql://u@127.0.0.1/d", ["pymysql", "pymysql.err", "pymysql.converters"], "mysql"),
        ("postgresql://u@127.0.0.1/d", ["adbc_driver_postgresql", "adbc_driver_manager"], "postgres"),
        ("delta:////nowhere/lake", ["deltalake"], "delta"),
        ("iceberg:////nowhere/lake", ["pyiceberg"], "iceberg"),
        ("snowflake://u@account/db?warehouse=w&password=env:PASSWORD", ["dlt"], "snowflake"),
    ],
)
def test_a_library_that_is_missing_is_named_by_its_extra(
    to: str, modules: list[str], extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal holds the command that installs it, whatever of the library is asked for first."""
    for name in list(sys.modules):
        if name.split(".")[0] in {one.split(".")[0] for one in modules} or name.startswith("cio_replicate.sinks.lake"):
            monkeypatch.delitem(sys.modules, name)
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DestinationUnavailableError) as refusal:
        store_at(destination(to, {"PASSWORD": HIDDEN}), "d", tmp_path)[0].open()
    assert f"pip install 'cio-replicate[{extra}]'" in str(refusal.value)
