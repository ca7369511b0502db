"""Connect to the control database: its address, migrations, and transactions that read or write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Column, Connection, Engine, Table, create_engine, delete, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cio_replicate.base.errors import DatabaseError, InvalidSettings
from cio_replicate.base.runtime import default_root
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.sql.server_kinds import POSTGRESQL

# Migrations: they bring the tables of the control database up to date, and come with the program.

SCRIPTS = "cio_replicate.database:migrations"
_UNRELEASED = "0001"  # tables of versions before the first release


def is_current(connection: Connection) -> bool:
    """Return whether the tables are those of this version. Raises DatabaseError when they are those of a newer one."""
    revision, known = MigrationContext.configure(connection).get_current_revision(), _revisions()
    if revision == _UNRELEASED:
        raise DatabaseError(
            "The control database was made by a version before the first release, and cannot be brought up to date.",
            "Write its settings to a file with that version (cio-replicate export), and apply them to a new database.",
        )
    if revision is not None and revision not in known:
        raise DatabaseError(
            f"The control database was written by a newer version of this program (its tables are {revision}, the "
            f"newest known here are {known[0]}).",
            "Install that version again, or go back to a backup of before.",
        )
    return revision == known[0]


def upgrade(connection: Connection) -> None:
    """Make the tables those of this version, in the transaction that this connection is in."""
    if is_current(connection):  # another program was quicker
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def _revisions() -> tuple[str, ...]:
    """The versions of the tables that are known here, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)
    return config


# Where the control database is, and the key that its secrets are encrypted with, which is never beside it.

STORE_VARIABLE, KEY_VARIABLE = "CIO_REPLICATE_STORE", "CIO_REPLICATE_KEY"
SQLITE = "sqlite"
_TAKEN = (SQLITE, POSTGRESQL.scheme)


def store_url(given: str | None, environment: Mapping[str, str]) -> str:
    """The address of the control database: as it was given, as the environment names it, or a file of the user's."""
    return given or environment.get(STORE_VARIABLE) or f"{SQLITE}:///{default_file()}"


def default_file() -> Path:
    """The file that is used unless another place is named."""
    return platformdirs.user_data_path("cio-replicate", appauthor=False) / "console.db"


def store_address(url: str, environment: Mapping[str, str]) -> Address:
    """The address of a control database, its password found. Raises InvalidSettings, never showing a secret."""
    if url.partition(":")[0].lower() not in (*_TAKEN, *POSTGRESQL.aliases):
        raise InvalidSettings(
            "The control database can only be SQLite or PostgreSQL.",
            "Write sqlite:////folder/console.db or postgresql://USER@HOST/DATABASE?password=env:NAME.",
        )
    return destination(url, environment)


def key_file(address: Address) -> Path:
    """The file that holds the key of a control database unless another place is named: one for each database.

    It lies in the folder for state and not beside the database, so that a copy of the one is not a copy of the other.
    """
    if address.kind.scheme == SQLITE and address.file == default_file():
        return default_root() / "console.key"
    return default_root() / f"console-{sha256(str(address).encode()).hexdigest()[:10]}.key"


BUSY_SECONDS = 30  # how long a writer waits for its turn
IDLE_SECONDS = 60  # after which PostgreSQL ends a transaction whose owner does not answer, so that others get theirs
LONGEST_CAUSE = 200
_LOCK = 0x63696F  # any number, the same for all writers of a database

_PATIENCE = (
    f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'; SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
)
_TURN = f"{_PATIENCE}; SELECT pg_advisory_xact_lock({_LOCK})"


class Database:
    """The control database at an address as `--to` has it, of SQLite or PostgreSQL. Safe to use from any thread.

    Raises InvalidSettings for an address that is none, and from every method DatabaseError, in one sentence, when the
    database is away, locked for too long, full, or no database.
    """

    def __init__(self, url: str, environment: Mapping[str, str] | None = None) -> None:
        self.address = store_address(url, os.environ if environment is None else environment)
        self._engine = _sqlite(self.address) if self.is_file else _postgresql(self.address)

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine."""
        return self.address.kind.scheme == SQLITE

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return self.address.shown

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes: begun when no other of these writes, in any process; committed at its end.

        What it reads is what the last one before it has left, so what it decides by that holds when it is committed. An
        error rolls it back.
        """
        return self._writing(_TURN)

    def updating(self) -> AbstractContextManager[Connection]:
        """A transaction that writes beside others: what it decides by, it locks row by row, or a unique index holds.

        In SQLite, where one transaction writes at a time, it is the same as `writing`.
        """
        return self._writing(_PATIENCE)

    @contextmanager
    def _writing(self, beginning: str) -> Iterator[Connection]:
        options = {"cio_writes": True}
        with self._reported(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if not self.is_file:
                connection.exec_driver_sql(beginning)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: all of it sees one state of the database, and no writer waits for it."""
        options: dict[str, Any] = {} if self.is_file else {"isolation_level": "REPEATABLE READ"}
        with self._reported(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def migrate(self) -> None:
        """Make the tables, or bring those of an older version up to date; several programs may do it at once.

        Raises DatabaseError for a database of a newer version.
        """
        if self.is_file:
            self._make_file()
        with self.reading() as connection:
            if is_current(connection):
                return
        with self.writing() as connection:
            upgrade(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _make_file(self) -> None:
        """Make the file for its user alone; SQLite gives the files beside it the same permissions."""
        try:
            self.address.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.address.file.touch(mode=0o600)
        except OSError as error:
            raise self._away(error.strerror or type(error).__name__) from None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise DatabaseError for what the database refuses; a defect of this program stays what it is."""
        try:
            yield
        except (IntegrityError, ProgrammingError):
            raise
        except DBAPIError as error:
            raise self._away(str(error.orig)) from None
        except PoolTimeoutError:
            raise self._away("too many transactions at once") from None

    def _away(self, message: str) -> DatabaseError:
        cause = message.strip().partition("\n")[0].strip().rstrip(".")[:LONGEST_CAUSE]
        for secret in self.address.secrets.values():
            cause = secret.scrub(cause)
        if self.is_file:
            fix = "Check that this user may write the file and its folder, and that the disk has room."
        else:
            fix = "Check that the server runs, and that --store names it, its user and its database."
        return DatabaseError(f"The control database {self.shown} cannot be used ({cause}).", fix)


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what it does where such a row is there already, in the words of this database."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def keep_latest(
    transaction: Connection, key: Column[str], moment: Column[int], now: int, most: int | None = None
) -> None:
    """Delete the rows whose moment is before now, and of the others all but the `most` latest.

    Rows that another transaction holds are left to it.
    """
    surplus = [select(key).where(moment < now)]
    if most is not None:
        surplus.append(select(key).order_by(moment.desc()).offset(most))
    for some in surplus:
        transaction.execute(delete(key.table).where(key.in_(some.with_for_update(skip_locked=True))))


def _sqlite(address: Address) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(address.file)), connect_args={"timeout": BUSY_SECONDS}, max_overflow=40
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own
        connection.isolation_level = None  # so that BEGIN is ours to say, just below
        for pragma in ("foreign_keys = ON", "journal_mode = WAL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("cio_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: Address) -> Engine:
    password = address.secrets.get("password")
    url = URL.create(
        "postgresql+psycopg",
        username=address.user,
        password=None if password is None else password.reveal(),
        host=address.host,
        port=address.port,
        database=address.path,
        query=dict(address.options),
    )
    return create_engine(url, pool_pre_ping=True, max_overflow=15, hide_parameters=True)
