"""Check and resolve the settings of a task, and open a client for its workspace."""

from __future__ import annotations

import difflib
import os
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.base.errors import InvalidSettings, NotFound
from cio_replicate.base.runtime import Clock, default_root
from cio_replicate.config import connection_options, table_options
from cio_replicate.config.column_rules import ColumnRules, column_rules
from cio_replicate.config.connection_options import access_token_from
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import (
    AccessOptions,
    ColumnOptions,
    CopyOptions,
    RereadOptions,
    TableOptions,
    WriteModeOptions,
)
from cio_replicate.config.secret_references import caution, resolved
from cio_replicate.config.table_options import (
    PeopleRefresh,
    RereadPolicy,
    WriteMode,
    WriteOptions,
    naming,
    schema_changes,
    treatments,
)
from cio_replicate.jobs.ports import SYNC, ActionKind, RunAction
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import Staging, task_folder
from cio_replicate.schema.table import Table
from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.kinds import destinations_at
from cio_replicate.sinks.port import Sink
from cio_replicate.source import catalog
from cio_replicate.source.catalog.selection import chosen, require_erasable, require_readable_changes, stretch
from cio_replicate.source.client import AUTO, HOSTS, Client, RetryPolicy, find_region
from cio_replicate.source.rate_limiter import RateLimiter

#: For commands that a person waits for: a fault is told rather than waited out.
IMPATIENT = RetryPolicy(attempts=3, total_seconds=20.0, attempts_unreachable=2)


def connection_of(
    source: AccessOptions, clock: Clock, start_date: str | None = None, environment: Mapping[str, str] = os.environ
) -> connection_options.Connection:
    """The connection that the options and the environment name. Raises Refused."""
    rate = connection_options.requests_per_second(source.max_rps)
    return connection_options.Connection(
        start=connection_options.start_date(start_date, clock.now()) if start_date is not None else 0,
        region=connection_options.region(source.region),
        api_url=connection_options.api_url(source.api_url) if source.api_url is not None else None,
        max_rps=round(rate * connection_options.budget_share(source.budget_share), 6),
        token=access_token_from(source.access_token_from, environment),
    )


def names_of(source: TableOptions) -> tuple[str, ...]:
    """The names of the tables that the options select. Raises Refused."""
    return connection_options.selected(catalog.names(), source.tables, source.exclude)


def names_among(given: Iterable[str]) -> tuple[str, ...]:
    """The names of tables that were given one by one, each once; all of them if none was. Raises Refused.

    An empty name, such as that of a variable which is not set, is refused: it does not mean all tables.
    """
    names, every = dict.fromkeys(one.strip() for text in given for one in text.split(",")), catalog.names()
    for name in names:
        if name not in every:
            near = difflib.get_close_matches(name, every, 1)
            fix = f"Perhaps {near[0]} is meant." if near else f"The tables are: {', '.join(every)}."
            raise NotFound(f"There is no table {name!r}.", fix)
    return tuple(name for name in every if name in names) or every


def tables_of(
    names: Iterable[str], looks: ColumnOptions | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[Table, ...]:
    """These tables, as the copy is to have them. Raises Refused."""
    if looks is None:
        return tuple(catalog.table(name) for name in names)
    rules = column_rules_of(looks, environment)
    names_in_copy = naming(looks.table_prefix, looks.column_prefix, looks.column_case)
    given = looks.schema_changes if isinstance(looks, WriteModeOptions) else None
    policies = schema_changes(given or [], catalog.names())
    return tuple(
        chosen(catalog.table(name), rules.get(name, ColumnRules()), names_in_copy, policies[name]) for name in names
    )


def column_rules_of(looks: ColumnOptions, environment: Mapping[str, str] = os.environ) -> dict[str, ColumnRules]:
    """The rules for columns, by table. Raises Refused."""
    columns = {table.name: [column.name for column in table.columns] for table in catalog.TABLES}
    salt = resolved(looks.salt, environment, "‹salt›") if looks.salt is not None else None
    return column_rules(looks.columns or [], salt, columns)


def erases(shaping: WriteModeOptions, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether people who are gone are to be erased. Raises Refused when they could not be."""
    wanted = isinstance(shaping, CopyOptions) and shaping.erase
    if wanted:
        require_erasable(catalog.TABLES, column_rules_of(shaping, environment))
    return wanted


def treatments_of(shaping: WriteModeOptions, names: Collection[str]) -> dict[str, WriteOptions]:
    """How changes reach each table. Raises Refused."""
    forgetting = {table.name for table in catalog.TABLES if table.retention_days is not None}
    return treatments(shaping.mode or [], shaping.deletes or [], list(names), forgetting)


def rules_of(
    again: RereadOptions,
    tables: Collection[Table],
    shaping: WriteModeOptions,
    environment: Mapping[str, str] = os.environ,
) -> RereadPolicy:
    """The rules of reading again that the options name. Raises Refused."""
    names = [table.name for table in tables]
    rules = table_options.rules(again.customers, again.recent_days, again.full_every, names)
    if rules.people is PeopleRefresh.CHANGES and "customers" in names:
        require_readable_changes(catalog.TABLES, column_rules_of(shaping, environment))
    return rules


def addresses_of(urls: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[Address, ...]:
    """The destinations that `--to` names, each once. Raises Refused."""
    return tuple({str(one): one for one in (destination(url, environment) for url in urls)}.values())


def state_root(state_dir: Path | None) -> Path:
    """The folder that holds the state of all tasks."""
    return state_dir.expanduser().absolute() if state_dir is not None else default_root()


@dataclass(frozen=True, slots=True)
class Copy:
    """The copy that a task fills: its destinations and dataset, and this machine's folder for it."""

    destinations: tuple[Address, ...]
    dataset: str
    folder: Path

    @property
    def shown(self) -> str:
        """The destinations without their secrets."""
        return " and ".join(one.shown for one in self.destinations)


def copy_of(to: Sequence[str], dataset: str, state_dir: Path | None, environment: Mapping[str, str]) -> Copy:
    """The copy in these destinations. Raises Refused."""
    return copy_at(addresses_of(to, environment), connection_options.dataset(dataset), state_root(state_dir))


def copy_at(addresses: tuple[Address, ...], dataset: str, root: Path) -> Copy:
    """The copy in these destinations, of which `root` holds the state."""
    return Copy(addresses, dataset, task_folder(root, " ".join(sorted(map(str, addresses))), dataset))


@contextmanager
def opened(copy: Copy) -> Iterator[tuple[Staging, Sink]]:
    """The copy for this process alone, with its staging folder. Raises TaskBusyError while another process has it."""
    with Staging(copy.folder) as staging:
        sink = destinations_at(copy.destinations, copy.dataset, staging.path)
        try:
            yield staging, sink
        finally:
            sink.close()


@contextmanager
def looked_at(copy: Copy) -> Iterator[Sink]:
    """The copy to read from, also while another process fills it."""
    sink = destinations_at(copy.destinations, copy.dataset, copy.folder, read_only=True)
    try:
        yield sink
    finally:
        sink.close()


@dataclass(frozen=True, slots=True)
class ResolvedTask:
    """A task with its secrets found: what a run is given. `cautions` are sentences to show before it."""

    connection: connection_options.Connection
    copy: Copy
    spec: RunSpec
    cautions: tuple[str, ...] = ()


def resolve(
    connection: ConnectionSettings,
    task: TaskSettings,
    clock: Clock,
    action: RunAction = SYNC,
    *,
    refresh: tuple[str, ...] = (),
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ResolvedTask:
    """What these settings ask for; `refresh` names tables to read whole. Raises Refused."""
    backfill = None
    if action.kind is ActionKind.BACKFILL:
        backfill = stretch(action.tables[0] if action.tables else "", action.first or "", action.until, clock.now())
    names = selected = names_of(task)
    if action.kind is ActionKind.RESYNC:
        wanted = ",".join(name for name in names_among(action.tables) if name in selected)
        refresh = names = connection_options.selected(catalog.names(), wanted, None)
    if backfill is not None:
        names = (backfill.table,)
    reached = connection_of(connection, clock, connection.start_date, environment)
    chosen_tables = tables_of(names, task, environment)
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    references = (one for one in (connection.access_token_from, task.salt) if one is not None)
    cautions = (
        *(one for address in copy.destinations for one in address.cautions),
        *(caution(one, environment) for one in references),
    )
    spec = RunSpec(
        chosen_tables,
        reached.start,
        refresh,
        rules_of(task, chosen_tables, task, environment),
        treatments_of(task, selected),
        forget=action.kind is ActionKind.RESYNC,
        keep_landed=task.keep_landed,
        backfill=(backfill.begin, backfill.end) if backfill is not None else None,
        erase=erases(task, environment),
        others=tables_of((name for name in catalog.names() if name not in names), task, environment),
    )
    if backfill is not None and spec.treatment(backfill.table).mode is WriteMode.FULL:
        raise InvalidSettings(
            "‹mode› full takes back what a backfill brings.", "Give ‹start_date› of `sync` an earlier day instead."
        )
    return ResolvedTask(reached, copy, spec, tuple(dict.fromkeys(one for one in cautions if one)))


@asynccontextmanager
async def connected(
    connection: connection_options.Connection, clock: Clock, policy: RetryPolicy | None = None
) -> AsyncIterator[Client]:
    """A client for the workspace; when the region is to be found out, the requests for that are in its totals too.

    Raises AccessError when no region knows the key.
    """
    budget = RateLimiter(connection.max_rps, clock)
    clients: list[Client] = []

    def connect(url: str) -> Client:
        clients.append(Client(url, connection.token, budget, clock, policy=policy))
        return clients[-1]

    url = connection.api_url
    if url is None:
        name = await find_region(connect) if connection.region == AUTO else connection.region
        url = HOSTS[name]
    asked = sum(client.totals.requests for client in clients)
    async with connect(url) as client:
        client.totals.requests += asked
        yield client
