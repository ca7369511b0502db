"""The control database: transactions that read, and transactions that write, which come one after another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cio_replicate.base.errors import DatabaseError
from cio_replicate.config.destination_kind import Address
from cio_replicate.database import migrate
from cio_replicate.database.place import SQLITE, store_address

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

    Raises SettingsError for an address that is none, and from every method DatabaseError, in one sentence, when the
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
            if migrate.is_current(connection):
                return
        with self.writing() as connection:
            migrate.upgrade(connection)

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
