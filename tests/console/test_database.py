"""The control database: its tables, its transactions, and what is said when it cannot be used."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from cio_replicate.base.errors import DatabaseError, InvalidSettings
from cio_replicate.database.connection import Database
from cio_replicate.database.tables import audit, metadata, tasks
from tests.console.stage import STORES, environment, store_url
from tests.sinks.servers import PASSWORD, postgres, postgres_run

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    return store_url(request.param, tmp_path)


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind, with its tables."""
    made = Database(url, environment(tmp_path))
    made.migrate()
    yield made
    made.close()


def _line(database: Database, line_id: str, at: int = 0) -> None:
    with database.writing() as connection:
        connection.execute(insert(audit).values(id=line_id, at=at, who="w", did="d", what="w"))


def _count(database: Database) -> int:
    with database.reading() as connection:
        return connection.scalar(select(func.count()).select_from(audit)) or 0


def _refused(call: Callable[[], object]) -> str:
    """The one sentence, and the fix, with which a database refuses."""
    with pytest.raises(DatabaseError) as caught:
        call()
    assert caught.value.cause.endswith(".")
    assert ". " not in caught.value.fix
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


# --- tables ----------------------------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_that_are_declared(database: Database) -> None:
    """What a fresh database has after all migrations is what the program expects, to the last index."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        made = {row[0] for row in connection.execute(text(_INDEXES[database.is_file]))}
    assert {index.name for table in metadata.sorted_tables for index in table.indexes} <= made


_INDEXES = {True: "SELECT name FROM sqlite_master WHERE type = 'index'", False: "SELECT indexname FROM pg_indexes"}


def test_a_database_of_before_has_the_tables_that_are_declared(tmp_path: Path) -> None:
    """A table changes only with the revision: a file with the tables of then is one of now, with what was in it."""
    file = tmp_path / "console.db"
    with closing(sqlite3.connect(file)) as before:
        before.executescript((Path(__file__).parent / "tables_0001b.sql").read_text(encoding="utf-8"))
        before.execute("INSERT INTO audit (id, at, who, did, what) VALUES ('a', 0, 'w', 'd', 'w')")
        before.commit()
    with closing(Database(f"sqlite:///{file}")) as old, closing(Database(f"sqlite:///{tmp_path}/new.db")) as new:
        old.migrate()
        new.migrate()
        assert _definitions(old) == _definitions(new)
        assert _count(old) == 1


def _definitions(database: Database) -> dict[str, set[str]]:
    """The lines that define each table and index; SQLite keeps constraints in the order in which they were written."""
    with database.reading() as connection:
        found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
        return {name: {line.strip(" \t,") for line in sql.splitlines()} for name, sql in found}


def test_to_migrate_again_changes_nothing(database: Database) -> None:
    """Each program that opens the database may do it."""
    _line(database, "a")
    database.migrate()
    assert _count(database) == 1


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    """Nothing of it is changed, and the sentence names both versions."""
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "newer version" in _refused(database.migrate)
    with database.reading() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_a_row_that_names_nothing_is_refused(database: Database) -> None:
    """The database itself sees to it, on both kinds."""
    with pytest.raises(IntegrityError), database.writing() as connection:
        connection.execute(
            insert(tasks).values(
                id="t", name="t", connection_id="nowhere", settings="{}", paused=False, created_at=0, changed_at=0
            )
        )


# --- transactions ----------------------------------------------------------------------------------------------------


def test_an_error_takes_everything_back(database: Database) -> None:
    """What was written before it in the same transaction is not there."""

    def fail() -> None:
        with database.writing() as connection:
            connection.execute(insert(audit).values(id="a", at=0, who="w", did="d", what="w"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert _count(database) == 0


def test_who_reads_sees_one_state_and_holds_nobody_up(database: Database) -> None:
    """What is written while somebody reads is seen by the next who reads."""
    with database.reading() as connection:
        before = connection.scalar(select(func.count()).select_from(audit))
        _line(database, "a")
        assert connection.scalar(select(func.count()).select_from(audit)) == before == 0
    assert _count(database) == 1


def test_writers_of_a_process_come_one_after_another(database: Database) -> None:
    """What each reads is what the one before it has left: no number is taken twice, and nobody is refused."""

    def write(number: int) -> None:
        for part in range(10):
            with database.writing() as connection:
                count = connection.scalar(select(func.count()).select_from(audit))
                connection.execute(insert(audit).values(id=f"{number}-{part}", at=count, who="w", did="d", what="w"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with database.reading() as connection:
        assert sorted(connection.scalars(select(audit.c.at))) == list(range(80))


def test_writers_of_several_processes_come_one_after_another(url: str, tmp_path: Path) -> None:
    """Though all of them begin with an empty database, at once: they make its tables once, and nobody is refused."""
    started = [_start(url, tmp_path, "15") for _ in range(5)]
    assert [(one.wait(120), _err(one)) for one in started] == [(0, "")] * 5
    database = Database(url, environment(tmp_path))
    with database.reading() as connection:
        assert sorted(connection.scalars(select(audit.c.at))) == list(range(75))
    database.close()


def test_a_writer_that_dies_leaves_nothing_and_holds_nobody_up(database: Database, url: str, tmp_path: Path) -> None:
    """Its transaction is as if it had never been."""
    died = _start(url, tmp_path, "1", "dies")
    assert died.wait(60) == 9
    _err(died)
    _line(database, "a")
    assert _count(database) == 1


def test_transactions_of_many_threads_wait_for_their_turn(tmp_path: Path) -> None:
    """More threads than there are connections are not refused."""
    database = Database(store_url("sqlite", tmp_path))
    database.migrate()
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            _line(database, str(number))
        except DatabaseError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(60)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (failed, _count(database)) == ([], 60)
    database.close()


def _start(url: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.console.writing", url, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )


def _err(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    with process.stderr as said:
        return said.read()


# --- files and servers -----------------------------------------------------------------------------------------------


def test_only_its_user_may_read_the_file(tmp_path: Path) -> None:
    """Nor what SQLite puts beside it; and the folder that is made for it is nobody else's either."""
    database = Database(f"sqlite:///{tmp_path}/new/deep/console.db")
    database.migrate()
    with database.writing():
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new" / "deep").iterdir()}
    assert modes == {"console.db": 0o600, "console.db-wal": 0o600, "console.db-shm": 0o600}
    assert (tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o700
    database.close()


def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A file that is no database, a folder that cannot be made, a file that is no folder."""
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 40)
    assert "not a database" in _refused(Database(f"sqlite:///{tmp_path}/text").migrate)
    assert str(tmp_path) in _refused(Database(f"sqlite:///{tmp_path}/text/console.db").migrate)
    assert "cannot be used" in _refused(Database("sqlite:////proc/nowhere/console.db").migrate)


def test_a_server_that_is_away_is_told_in_a_sentence() -> None:
    """Nobody there, another password, no such database: each is named with the address and without the password."""
    server = postgres()
    there = f"postgresql://{server.user}@127.0.0.1:{server.port}"
    secret = {"PW": PASSWORD, "WRONG": "hunter2"}
    nobody = Database(f"postgresql://{server.user}@127.0.0.1:9/x?password=env:PW", secret)
    assert "refused" in _refused(nobody.migrate)
    assert "nothere" in _refused(Database(f"{there}/nothere?password=env:PW", secret).migrate)
    said = _refused(Database(f"{there}/postgres?password=env:WRONG", secret).migrate)
    assert "password" in said
    assert "hunter2" not in said


def test_a_connection_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    """Who is in the middle of something is told in a sentence; the next goes on as if nothing had been."""
    database = Database(store_url("postgresql", tmp_path), environment(tmp_path))
    database.migrate()
    _line(database, "a")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"

    def in_the_middle() -> None:
        with database.writing() as connection:
            postgres_run(postgres(), database.address.path, cut)
            connection.execute(select(func.count()).select_from(audit))

    assert "cannot be used" in _refused(in_the_middle)
    postgres_run(postgres(), database.address.path, cut)
    assert _count(database) == 1
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u@h/d",
        "console.db",
        "sqlite:///",
        "postgresql://u:hunter2@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u@h/d?pasword=hunter2",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """The refusal never shows a password."""
    with pytest.raises(InvalidSettings) as caught:
        Database(url, {})
    assert "hunter2" not in str(caught.value)
