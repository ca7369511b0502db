"""A control database with connections and tasks, on a clock that a test moves, and queues that hand out its runs."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import select

from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, TaskSettings
from cio_replicate.console.apply_settings import Change, ChangeContext, ChangeKind, perform
from cio_replicate.console.notifications import note
from cio_replicate.console.secrets import keys_for, revealed
from cio_replicate.database.actor import LOCAL
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import SettingsKind, StoredTask, stored
from cio_replicate.database.tables import missed, notices, runs
from cio_replicate.jobs.local_engine import LEASE, LocalEngine
from cio_replicate.jobs.ports import Dispatch, Lease, Outcome
from cio_replicate.jobs.runs import Runs, StoredRunSummary
from cio_replicate.jobs.scheduler import Scheduler
from cio_replicate.pipeline.events import LogLine
from cio_replicate.pipeline.report import Report
from tests.manual_clock import ManualClock
from tests.sinks.servers import PASSWORD, fresh, postgres, postgres_database, postgres_run

STORES = ("sqlite", "postgresql")
START = 1_767_225_600.0  # 2026-01-01T00:00 in UTC


def store_url(kind: str, folder: Path) -> str:
    """The address of an empty control database of this kind."""
    if kind == "sqlite":
        return f"sqlite:///{folder / 'console.db'}"
    return _postgres_url(postgres_database(postgres()))


def migrated_url(kind: str, folder: Path) -> str:
    """The address of a control database of this kind whose tables are there: a copy of one that was migrated once."""
    if kind == "sqlite":
        copy = folder / "console.db"
        if not copy.exists():  # a test may open its database again
            shutil.copyfile(_migrated_file(), copy)
            copy.chmod(0o600)
        return f"sqlite:///{copy}"
    server = postgres()
    name = fresh()
    postgres_run(server, "postgres", f'CREATE DATABASE "{name}" TEMPLATE "{_migrated_database()}" STRATEGY FILE_COPY')
    return _postgres_url(name)


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cio-control-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with closing(Database(store_url("sqlite", folder), environment(folder))) as database:
        database.migrate()
    return folder / "console.db"


@cache
def _migrated_database() -> str:
    name = postgres_database(postgres())
    with closing(Database(_postgres_url(name), environment(Path()))) as database:
        database.migrate()
    return name


def _postgres_url(name: str) -> str:
    server = postgres()
    return f"postgresql://{quote(server.user, safe='')}@127.0.0.1:{server.port}/{name}?password=env:STORE_PASSWORD"


def environment(folder: Path) -> dict[str, str]:
    """Where the database's password and the key are found: nowhere but in the folder of the test."""
    return {"STORE_PASSWORD": PASSWORD, "CIO_REPLICATE_KEY": f"file:{folder / 'console.key'}"}


class Stage:
    """What happens around a control database. `clock` is moved by the test."""

    def __init__(self, url: str, database: Database, clock: ManualClock, variables: Mapping[str, str]) -> None:
        self.url = url
        self.database = database
        self.clock = clock
        self.keys = keys_for(database.address, variables)
        self.variables = dict(variables)
        self._others = ExitStack()
        self.dispatch: Dispatch = LocalEngine(database, clock, note)
        self.runs = Runs(database, clock, self.dispatch)
        self.scheduler = self.new_scheduler()

    def another(self) -> Database:
        """The same database with connections of its own, as another program has it; closed with the stage."""
        return self._others.enter_context(closing(Database(self.url, self.variables)))

    def new_scheduler(
        self, database: Database | None = None, clock: Clock | None = None, lease: int = LEASE
    ) -> Scheduler:
        """A further scheduler, perhaps with a connection, a clock or a length of leases of its own."""
        database, clock = database or self.database, clock or self.clock
        engine = LocalEngine(database, clock, note, lease=lease)
        return Scheduler(database, clock, engine, engine.recover)

    def runs_now(self) -> Runs:
        """The runs on the clock of this machine."""
        clock = SystemClock()
        return Runs(self.database, clock, LocalEngine(self.database, clock, note))

    def close(self) -> None:
        """Close the database, here and wherever it was opened besides."""
        self._others.close()
        self.database.close()

    def keep(self, changes: Mapping[str, ConnectionSettings | TaskSettings | ChannelSettings]) -> None:
        """Make connections, tasks and channels, by name, in one transaction."""
        kinds = {
            ConnectionSettings: SettingsKind.CONNECTION,
            TaskSettings: SettingsKind.TASK,
            ChannelSettings: SettingsKind.CHANNEL,
        }
        made = [Change(kinds[type(one)], name, ChangeKind.CREATE, one) for name, one in changes.items()]
        self._perform(made)

    def settings(self, name: str) -> TaskSettings:
        """The settings of a task."""
        with self.database.reading() as connection:
            return next(one.settings for one in stored(connection, StoredTask) if one.name == name)

    def edit(self, name: str, settings: TaskSettings) -> None:
        """Give a task other settings."""
        self._perform([Change(SettingsKind.TASK, name, ChangeKind.EDIT, settings)])

    def connection(self, name: str, *, token: str | None = None, **settings: Any) -> None:
        """A connection to a workspace of its own, or to that of whoever has the same token."""
        variable = f"TOKEN_{name.upper().replace('-', '_')}"
        self.variables[variable] = token or f"token-of-{name}"
        self.keep({name: ConnectionSettings(start_date="2024-01-01", access_token_from=f"env:{variable}", **settings)})

    def task(self, name: str, connection: str, **settings: Any) -> None:
        """A task that reads a connection."""
        self.keep({name: task(connection, **settings)})

    def queue(self, gateway: str | None = None, **more: Any) -> LocalEngine:
        """A queue, as the console's own machine or a gateway has it."""
        reveal = partial(lambda keys, transaction, names: revealed(transaction, keys, names), self.keys)
        return LocalEngine(
            self.database, self.clock, note, gateway=gateway, reveal=reveal if gateway is None else None, **more
        )

    def ask(self, name: str) -> str:
        """A user's wish for a run."""
        return self.runs.ask(name, LOCAL)

    def later(self, seconds: float) -> None:
        """Let time go by, with a tick every ten seconds as long as it does."""
        end = self.clock.time + seconds
        while self.clock.time < end:
            self.clock.time = min(end, self.clock.time + 10)
            self.scheduler.tick()

    def listed(self, name: str | None = None) -> list[StoredRunSummary]:
        """The runs, those that were due first first."""
        return sorted(self.runs.listed(task=name, limit=500), key=lambda one: (one.due_at, one.attempt, one.id))

    def states(self, name: str | None = None) -> list[tuple[str, str]]:
        """The same, as the task and the status of each."""
        return [(one.task, one.status) for one in self.listed(name)]

    def missed(self) -> list[tuple[int, int, str]]:
        """What was missed: when, how often, why."""
        with self.database.reading() as connection:
            rows = connection.execute(select(missed.c.due_at, missed.c.count.label("times"), missed.c.reason))
            return sorted((row.due_at, row.times, row.reason) for row in rows)

    def notices(self) -> list[Any]:
        """The notifications, as they are kept."""
        with self.database.reading() as connection:
            return list(connection.execute(select(notices).order_by(notices.c.not_before, notices.c.event)))

    def leases(self) -> dict[str, int | None]:
        """Until when each run is its worker's."""
        with self.database.reading() as connection:
            return {row.id: row.lease_until for row in connection.execute(select(runs.c.id, runs.c.lease_until))}

    def _perform(self, changes: list[Change]) -> None:
        with self.database.writing() as connection:
            perform(
                connection,
                changes,
                ChangeContext(LOCAL, int(self.clock.now()), self.keys, self.variables, self.dispatch),
            )


def task(connection: str, **settings: Any) -> TaskSettings:
    """The settings of a task."""
    return TaskSettings(**{"connection": connection, "to": ["duckdb:////tmp/copy.duckdb"], **settings})


def ended(status: str, *lines: LogLine, error: str | None = None, given_back: bool = False, **report: Any) -> Outcome:
    """How a run ended."""
    told = Report(run_id="r", started="2026-01-01T00:00:00Z", **report)
    return Outcome(status=status, report=told, error=error, lines=list(lines), given_back=given_back)


def run_of(claim: Lease | None) -> str:
    """The id of the run that was claimed."""
    assert claim is not None
    return claim.job.run_id


@contextmanager
def stage(kind: str, folder: Path, clock: ManualClock | None = None) -> Iterator[Stage]:
    """A stage with an empty database of this kind."""
    variables = environment(folder)
    url = migrated_url(kind, folder)
    with closing(Stage(url, Database(url, variables), clock or ManualClock(START), variables)) as made:
        yield made
