"""Connect to the control database: its address, migrations, and transactions that read or write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cio_replicate.base.errors import DatabaseError, InvalidSettings
from cio_replicate.base.runtime import default_root
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.sql.server_kinds import POSTGRESQL

# Brings the tables of the control database up to date, by migrations that come with the program.


SCRIPTS = "cio_replicate.database:migrations"


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this version. Raises DatabaseError when they are those of a newer one."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is not None and revision not in _revisions():
        raise DatabaseError(
            f"The control database was written by a newer version of this program (its tables are {revision}, the "
            f"newest known here are {_revisions()[0]}).",
            "Install that version again, or go back to a backup of before.",
        )
    return revision == _revisions()[0]


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

_TURN = (
    f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'; "
    f"SELECT pg_advisory_xact_lock({_LOCK})"
)


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

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: begun when no other writes, whatever process that is; committed at its end.

        What it reads is what the last one before it has left, so what it decides by that holds when it is committed. An
        error rolls it back.
        """
        options = {"cio_writes": True}
        with self._told(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if not self.is_file:
                connection.exec_driver_sql(_TURN)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads: all of it sees one state of the database, and no writer waits for it."""
        options: dict[str, Any] = {} if self.is_file else {"isolation_level": "REPEATABLE READ"}
        with self._told(), self._engine.connect().execution_options(**options) as connection, connection.begin():
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
        """Let go of the database."""
        self._engine.dispose()

    def _make_file(self) -> None:
        """Make the file for its user alone; SQLite gives the files beside it the same permissions."""
        try:
            self.address.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.address.file.touch(mode=0o600)
        except OSError as error:
            raise self._away(error.strerror or type(error).__name__) from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says what the database itself refuses in our own words; a mistake of ours stays what it is."""
        try:
            yield
        except (IntegrityError, ProgrammingError):
            raise
        except DBAPIError as error:
            raise self._away(str(error.orig)) from None
        except PoolTimeoutError:
            raise self._away("too many transactions at once") from None

    def _away(self, said: str) -> DatabaseError:
        cause = said.strip().partition("\n")[0].strip().rstrip(".")[:LONGEST_CAUSE]
        for secret in self.address.secrets.values():
            cause = secret.scrub(cause)
        if self.is_file:
            fix = "Check that this user may write the file and its folder, and that the disk has room."
        else:
            fix = "Check that the server runs, and that --store names it, its user and its database."
        return DatabaseError(f"The control database {self.shown} cannot be used ({cause}).", fix)


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
