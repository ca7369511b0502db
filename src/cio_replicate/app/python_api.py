"""The Python API: copy a workspace with one call, or read its tables as Arrow record batches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

from cio_replicate.app.settings import connected, connection_of, names_among, resolve, tables_of
from cio_replicate.app.sync import execute
from cio_replicate.base.errors import CioReplicateError, InvalidSettings
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import worded
from cio_replicate.config.connection_options import TOKEN_VARIABLE, start_date
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import AccessOptions
from cio_replicate.pipeline.events import Event
from cio_replicate.pipeline.report import Report
from cio_replicate.schema.table import KnownColumns
from cio_replicate.source.client import Client
from cio_replicate.source.strategies import strategy_of
from cio_replicate.source.strategies.base import ReadScope
from cio_replicate.source.stream import Chunk, PlannedRead, Source, TableEnd


def replicate(  # noqa: PLR0913 - each is an option of the command
    *,
    to: str | Sequence[str],
    since: str | date,
    token: str | None = None,
    tables: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    dataset: str = "customerio",
    mode: str | Sequence[str] | None = None,
    deletes: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    salt: str | None = None,
    customers: str = "full",
    region: str = "auto",
    api_url: str | None = None,
    requests_per_second: float = 10.0,
    state_dir: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """Copy a workspace into one or more destinations, and return the report; the next call copies what has changed.

    `to` are addresses such as `duckdb:///crm.duckdb`. `since` is the start date, as a date or as text (2024-01-31).
    `token` is an App API key; without it, `CIO_ACCESS_TOKEN` of the environment counts. All other arguments mean what
    the options of `cio-replicate sync` of the same names mean; one with a list takes what the option takes several
    times. `on_event` is called with each event of the run, on the thread of the run.

    A table that fails is in the report, and the others go on: look at `report.status`. Raises Refused for
    arguments that cannot be used, AccessError for a key that is refused and LoadError or another CioReplicateError for
    what stops the whole run. Call it from a thread without a running event loop.
    """
    environment = _environment(token)
    connection = ConnectionSettings(
        start_date=_text(since), region=region, api_url=api_url, max_rps=requests_per_second
    )
    task = TaskSettings(
        connection="",
        to=_listed(to) or [],
        tables=",".join(tables) if tables is not None else None,
        exclude=",".join(exclude) if exclude is not None else None,
        dataset=dataset,
        mode=_listed(mode),
        deletes=_listed(deletes),
        columns=_listed(columns),
        salt=salt,
        customers=customers,
    )
    root = Path(state_dir) if state_dir is not None else None
    with _naming_arguments():
        resolved = resolve(connection, task, SystemClock(), state_dir=root, environment=environment)
        return asyncio.run(execute(resolved, SystemClock(), on_event or (lambda _event: None)))


class Workspace:
    """A Customer.io workspace whose tables can be read, without a destination. Use as an async context manager.

    `token` is an App API key; without it, `CIO_ACCESS_TOKEN` of the environment counts. Raises Refused for
    arguments that cannot be used, AccessError for a key that no region knows.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        region: str = "auto",
        api_url: str | None = None,
        requests_per_second: float = 10.0,
    ) -> None:
        self._clock = SystemClock()
        access = AccessOptions(region=region, api_url=api_url, max_rps=requests_per_second)
        with _naming_arguments():
            self._connection = connection_of(access, self._clock, environment=_environment(token))
        self._stack = AsyncExitStack()
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        with _naming_arguments():
            self._client = await self._stack.enter_async_context(connected(self._connection, self._clock))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client = None
        await self._stack.aclose()

    async def read(self, *tables: str, since: str | date) -> AsyncGenerator[Chunk]:
        """Yield the rows of tables, all of them without a name, page by page as they come, several tables mixed.

        Each chunk has the table's name and a `pyarrow.RecordBatch` of at least one row in `rows`. Messages and
        activities are read from the start date `since` on, everything else whole. A table that fails does not stop the
        others; its error is raised at the end. Close the iterator to stop earlier.
        """
        if self._client is None:
            raise InvalidSettings("The workspace is not open.", "Use `async with Workspace(...) as workspace:`.")
        now = self._clock.now()
        with _naming_arguments():
            scope = ReadScope(start_date(_text(since), now), int(now))
        reads = [
            PlannedRead(strategy, strategy.partitions(), KnownColumns(strategy.table))
            for strategy in (strategy_of(table, scope) for table in tables_of(names_among(tables)))
        ]
        failure: CioReplicateError | None = None
        with _naming_arguments():
            async with aclosing(Source(self._client, self._clock).read(reads)) as stream:
                async for item in stream:
                    if isinstance(item, TableEnd):
                        failure = failure or item.error
                    elif item.rows is not None and len(item.rows):
                        yield item
            if failure is not None:
                raise failure


#: Arguments that are called otherwise than the settings that they are.
_ARGUMENTS = {"start_date": "since", "max_rps": "requests_per_second", "access_token_from": "token"}


@contextmanager
def _naming_arguments() -> Iterator[None]:
    """Let errors name the arguments of a call where they name settings."""
    try:
        yield
    except CioReplicateError as error:
        error.cause, error.fix = worded(error.cause, _ARGUMENTS), worded(error.fix, _ARGUMENTS)
        error.args = (error.cause, error.fix)
        raise


def _environment(token: str | None) -> dict[str, str]:
    return {**os.environ, TOKEN_VARIABLE: token} if token is not None else dict(os.environ)


def _text(since: str | date) -> str:
    if isinstance(since, datetime):
        return (since if since.tzinfo is not None else since.replace(tzinfo=UTC)).isoformat()
    return since if isinstance(since, str) else since.isoformat()


def _listed(given: str | Sequence[str] | None) -> list[str] | None:
    return [given] if isinstance(given, str) else list(given) if given is not None else None
