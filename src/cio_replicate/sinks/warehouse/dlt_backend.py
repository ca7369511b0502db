"""Write through dlt: run it in isolation, translate its errors, and load packages by *delete-insert*."""

from __future__ import annotations

import json
import re
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pyarrow as pa

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.schema.table import Column, ColumnType, arrow_type
from cio_replicate.sinks.backend import ChangeSet, SeparateCommits, StoredTable
from cio_replicate.sinks.sql.sql_backend import Columns, Dialect, SqlBackend, Statement, as_batches, gathered

# Runs dlt as if nothing of it were set up on this machine: no settings of the user's, no telemetry, no words.


#: What dlt is told wherever it looks for a setting.
SETTINGS: dict[str, Any] = {  # Any: settings are what they are
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL", "intercept_signals": False},
    "providers": {"enable_airflow_secrets": False},
    "enable_runtime_trace": False,
    "restore_from_destination": False,  # every package brings the whole schema of its table
    "normalize": {"workers": 1},
    "load": {"truncate_staging_dataset": True},  # people's data is not to lie about twice
}


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, dlt knows `SETTINGS` and nothing else, and whatever it writes to this machine is in the folder."""
    from dlt.common.configuration.container import Container  # noqa: PLC0415 - an extra, slow to import
    from dlt.common.configuration.providers import CustomLoaderDocProvider  # noqa: PLC0415
    from dlt.common.configuration.providers.provider import ConfigProvider  # noqa: PLC0415
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext  # noqa: PLC0415
    from dlt.common.runtime.run_context import RunContext, switched_run_context  # noqa: PLC0415

    class Alone(RunContext):
        """A context whose every folder is ours; environment variables of dlt change none of them."""

        global_dir = run_dir = local_dir = data_dir = settings_dir = property(lambda _self: str(folder))

        def initial_providers(self) -> list[ConfigProvider]:
            return [CustomLoaderDocProvider("cio-replicate", lambda: SETTINGS, supports_secrets=False)]

    context = Alone(str(folder))
    container = Container()
    if PluggableRunContext not in container:  # else dlt makes one of its own first, with the user's settings
        container[PluggableRunContext] = PluggableRunContext(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what dlt has to say to programmers is nothing for users
        with switched_run_context(context):
            yield


# What dlt's errors mean, in words of our own: theirs quote statements, rows and credentials.


_UNAVAILABLE = (
    ("authentication", "does not take this login", "Check the user and the secret."),
    ("access denied", "does not take this login", "Check the user and the secret."),
    ("incorrect username or password", "does not take this login", "Check the user and the secret."),
    ("unauthorized", "does not take this login", "Check the user and the secret."),
    ("login failed", "does not take this login", "Check the user and the secret."),
    ("permission denied", "does not let this user do that", "Grant what the page on this destination names."),
    ("insufficient privileges", "does not let this user do that", "Grant what the page on this destination names."),
    ("does not have permission", "does not let this user do that", "Grant what the page on this destination names."),
    ("connection refused", "cannot be reached", "Check the address."),
    ("could not translate host", "cannot be reached", "Check the address."),
    ("name or service not known", "cannot be reached", "Check the address."),
    ("timed out", "does not answer", "Check the address and the firewall."),
    ("timeout expired", "does not answer", "Check the address and the firewall."),
    ("can't connect", "cannot be reached", "Check the address."),
)


@contextmanager
def translated(warehouse: Warehouse, described: str, table: str | None = None) -> Iterator[None]:
    """What goes wrong inside leaves as an error of ours."""
    try:
        yield
    except CioReplicateError:
        raise
    except ImportError as error:
        raise DestinationUnavailableError(
            f"{warehouse.title} needs the extra: pip install 'cio-replicate[{warehouse.extra}]'.",
            f"The module {error.name} is missing." if error.name else "",
        ) from None
    except Exception as error:  # noqa: BLE001 - every driver has its own, and none may show its words
        raise _ours(error, described, table) from None


def _ours(error: BaseException, described: str, table: str | None) -> CioReplicateError:
    from dlt.common.configuration.exceptions import ConfigurationException  # noqa: PLC0415 - an extra
    from dlt.common.exceptions import MissingDependencyException  # noqa: PLC0415

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, MissingDependencyException):
            return DestinationUnavailableError(
                f"{described} needs a package that is not installed.", "Install its extra."
            )
        if isinstance(cause, ConfigurationException):
            return DestinationUnavailableError(f"The login for {described} is not complete.", "Check its options.")
        said = str(cause).lower()
        for sign, what, fix in _UNAVAILABLE:
            if sign in said:
                return DestinationUnavailableError(f"{described} {what}.", fix)
    name = type(causes[-1]).__name__
    if table is None:
        return DestinationUnavailableError(f"{described} cannot be asked ({name}).", "Check the address and the login.")
    return LoadError(
        f"{described} did not accept rows of {table} ({name}).",
        "They stay landed; look into the log of the warehouse, and run again.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the first cause last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        inner = getattr(current, "dbapi_exception", None) or getattr(current, "client_exception", None)
        current = inner if isinstance(inner, BaseException) else current.__cause__ or current.__context__


if TYPE_CHECKING:
    from dlt import Pipeline, Schema
    from dlt.common.destination import AnyDestination
    from dlt.destinations.job_client_impl import SqlJobClientWithStagingDataset
    from dlt.destinations.sql_client import SqlClientBase
    from dlt.extract import DltResource


PIPELINE = "cio_replicate"
TOGETHER, TOGETHER_BYTES = 50_000, 64_000_000
#: A column that only tables have from which rows were once removed. It is never filled: dlt needs it to tell the rows
#: that are to go from those that are to come, within one merge.
GONE = "_cio_gone"
KIND = "x-cio-type"  # the hint in dlt's schema that says which of our types a column has
_PLAIN = re.compile(r"[A-Za-z0-9_]+", re.ASCII)  # dlt cuts statements at semicolons, and warehouses have other quirks
_HINTS = {
    ColumnType.STRING: "text",
    ColumnType.INTEGER: "bigint",
    ColumnType.NUMBER: "double",
    ColumnType.BOOLEAN: "bool",
    ColumnType.TIMESTAMP: "timestamp",
}


@dataclass(frozen=True, slots=True)
class Warehouse:
    """A destination of dlt, and what differs between them."""

    title: str
    extra: str
    destination: Callable[[], AnyDestination]  # made inside of dlt's context
    staging: Callable[[], AnyDestination | None]  # where files wait on their way, made likewise
    json: Literal["text", "json"] = "text"  # `json` only where the database's own type keeps the text as it is
    table_format: Literal["iceberg"] | None = None
    file_format: Literal["parquet"] | None = None  # None: what dlt takes to be the best
    as_text: str = "{}"
    true: str = "{} = TRUE"
    at_once: int = 2000
    longest_name: int = 120
    names_refused: frozenset[str] = frozenset()
    whole_edits: bool = True  # whether dlt merges in one transaction there


class PackageBackend(SeparateCommits, SqlBackend):
    """A dataset of a destination of dlt.

    No package outlives its write: a run begins and ends with an empty folder, so that none is ever loaded late. What a
    killed run left in the staging tables of the database is thrown away by the next one.
    """

    rows_at_once = 100_000  # some of dlt's drivers read a whole file into memory

    def __init__(self, warehouse: Warehouse, dataset: str, folder: Path, described: str) -> None:
        super().__init__(dataset, described)
        self.warehouse = warehouse
        self.whole_edits = warehouse.whole_edits
        self._folder = folder / "dlt"
        self._destinations: tuple[AnyDestination, AnyDestination | None] | None = None
        self._idle: list[SqlClientBase[Any]] = []  # Any: a connection of the driver's
        self._marked: set[str] = set()  # tables that have the column GONE
        self.dialect = Dialect(
            title=warehouse.title,
            quote=self._quoted,
            types={},
            place=lambda _number: "%s",
            as_text=warehouse.as_text,
            true=warehouse.true,
            at_once=warehouse.at_once,
            nul_allowed=False,
            longest_name=warehouse.longest_name,
            name_refused=lambda name: _PLAIN.fullmatch(name) is None or name.lower() in warehouse.names_refused,
        )

    def _connect(self) -> None:
        self._clear()
        with self._asking() as client:
            client.execute_sql("SELECT 1")

    def target(self, table: str) -> str:
        """The whole name of a table, quoted."""
        with self._asking() as client:
            return client.make_qualified_table_name(table).replace("%", "%%")

    def _columns(self, table: str) -> Columns:
        """Ask the database which columns there are, and dlt's schema, which it keeps there, what we call them."""
        with self._client(table) as (client, schema):
            found = list(_storage_columns(client, table))
            stored = client.get_stored_schema(schema) if found else None
            escaped = client.sql_client.escape_column_name
            hints = json.loads(stored.schema)["tables"].get(table, {}).get("columns", {}) if stored else {}
            ours = {escaped(name, quote=False): name for name in (*hints, GONE)}
        names = [ours.get(name, name) for name in found]
        self._marked.discard(table)
        if GONE in names:
            self._marked.add(table)
        return {name: _kind(hints.get(name, {})) for name in names if name != GONE}

    def _select(self, query: Statement, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._asking() as client, client.execute_query(query.text, *query.values) as cursor:
            yield from as_batches(cursor, schema)

    def _write(self, edit: ChangeSet, there: Columns) -> None:
        """Put rows in the place of others and remove what is gone: one merge, after the table has all columns."""
        shape, removes = edit.shape, bool(len(edit.gone))
        kept = tuple(Column(name, kind, "") for name, kind in there.items() if kind and not _has(shape, name))
        whole = StoredTable(shape.name, (*shape.columns, *kept), shape.key)
        changes = any(column.name not in there for column in shape.columns) or (
            removes and shape.name not in self._marked
        )
        with translated(self.warehouse, self.described, shape.name), self._pipeline(shape.name) as (pipeline, schema):
            pipeline.extract(self._resource(edit, whole, removes=removes, changes=changes), schema=schema)
            pipeline.normalize(workers=1)
            if edit.count or removes:
                pipeline.load()
            else:
                pipeline.sync_schema(schema.name)  # some drivers do not take a file without rows
        if removes:
            self._marked.add(shape.name)

    def _drop(self, table: str) -> None:
        """Remove a table, its staging table too; no error when it is not there."""
        self._marked.discard(table)
        with self._client(table) as (client, _):
            if client.sql_client.has_dataset():
                client.sql_client.drop_tables(table)
            with client.sql_client.with_staging_dataset():
                if client.sql_client.has_dataset():
                    client.sql_client.drop_tables(table)

    def close(self) -> None:
        """Let go of all connections."""
        super().close()
        for client in self._idle:
            with suppress(Exception):  # it may be broken
                client.close_connection()
        self._idle.clear()

    def _resource(self, edit: ChangeSet, whole: StoredTable, *, removes: bool, changes: bool) -> DltResource:
        """The rows, with all that dlt is to know of their table.

        Where the table `changes`, the schema gets a mark that none ever had: dlt looks whether a table lacks something
        only when it meets a schema for the first time, and tables can be dropped and made again.
        """
        import dlt  # noqa: PLC0415 - an extra, slow to import

        columns: dict[str, Any] = {column.name: self._hints(column) for column in whole.columns}  # Any: dlt's hints
        if changes:
            columns[whole.key]["x-cio-change"] = uuid.uuid4().hex
        if removes:
            columns[GONE] = {"name": GONE, "data_type": "bool", "nullable": True, "hard_delete": True}
        formats: dict[str, Any] = {  # Any: literals of dlt's
            "table_format": self.warehouse.table_format,
            "file_format": self.warehouse.file_format,
        }
        resource: DltResource = dlt.resource(
            _pieces(edit, whole, removes=removes),
            name=whole.name,
            write_disposition={"disposition": "merge", "strategy": "delete-insert"},
            primary_key=whole.key,
            columns=columns,
            **{name: value for name, value in formats.items() if value},
        )
        return resource

    def _hints(self, column: Column) -> dict[str, Any]:  # Any: dlt's hints
        hint = _HINTS.get(column.type, self.warehouse.json)
        return {"name": column.name, "data_type": hint, "nullable": True, KIND: str(column.type)}

    @contextmanager
    def _client(self, table: str) -> Iterator[tuple[SqlJobClientWithStagingDataset, str]]:
        """A client that knows about tables, and the name of the schema of this one."""
        with translated(self.warehouse, self.described), self._pipeline(table) as (pipeline, schema):
            client = cast("SqlJobClientWithStagingDataset", pipeline.destination_client())
            with client:
                yield client, schema.name

    @contextmanager
    def _pipeline(self, table: str) -> Iterator[tuple[Pipeline, Schema]]:
        """A pipeline that knows nothing yet, and the schema of one table."""
        with alone(self._folder):
            import dlt  # noqa: PLC0415 - an extra, slow to import

            self._clear()
            destination, staging = self._made()
            pipeline = dlt.pipeline(
                PIPELINE,
                pipelines_dir=str(self._folder),
                destination=destination,
                staging=staging,
                dataset_name=self.dataset,
            )
            try:
                yield pipeline, dlt.Schema(_schema_name(table))
            finally:
                pipeline.deactivate()
                self._clear()

    def _made(self) -> tuple[AnyDestination, AnyDestination | None]:
        if self._destinations is None:
            self._destinations = (self.warehouse.destination(), self.warehouse.staging())
        return self._destinations

    @contextmanager
    def _asking(self) -> Iterator[SqlClientBase[Any]]:  # Any: a connection of the driver's
        """An open client; one for each answer that is still coming."""
        with translated(self.warehouse, self.described):
            client = self._idle.pop() if self._idle else self._opened()
            try:
                yield client
            except BaseException:
                with suppress(Exception):  # it may be broken
                    client.close_connection()
                raise
            self._idle.append(client)

    def _opened(self) -> SqlClientBase[Any]:  # Any: a connection of the driver's
        with self._pipeline("none") as (pipeline, _):
            client = pipeline.sql_client()
            client.open_connection()
            return client

    def _quoted(self, name: str) -> str:
        with self._asking() as client:
            return client.escape_column_name(name).replace("%", "%%")

    def _clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)


def _pieces(edit: ChangeSet, whole: StoredTable, *, removes: bool) -> Iterator[pa.Table]:
    """The rows in pieces that fit into memory, then those that say which rows are to go."""
    fields = [pa.field(column.name, arrow_type(column.type)) for column in whole.columns]
    schema = pa.schema([*fields, pa.field(GONE, pa.bool_())] if removes else fields)
    some = False
    for rows in gathered(edit.rows, TOGETHER, TOGETHER_BYTES):
        some = True
        yield _fitted({name: rows.column(name) for name in rows.column_names}, len(rows), schema)
    for first in range(0, len(edit.gone), TOGETHER):
        keys = edit.gone.slice(first, TOGETHER)
        some = True
        yield _fitted({whole.key: keys, GONE: pa.array([True] * len(keys))}, len(keys), schema)
    if not some:
        yield schema.empty_table()


def _fitted(columns: dict[str, Any], length: int, schema: pa.Schema) -> pa.Table:  # Any: arrays of either sort
    arrays = [columns.get(field.name, pa.nulls(length, field.type)) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _has(shape: StoredTable, name: str) -> bool:
    return any(column.name == name for column in shape.columns)


def _schema_name(table: str) -> str:
    """Each table has a schema of its own, so that a package needs to know only one."""
    return f"cio_{sha256(table.encode()).hexdigest()[:16]}"


def _kind(hints: dict[str, Any]) -> ColumnType | None:  # Any: dlt's hints
    return ColumnType(hints[KIND]) if KIND in hints else None


def _storage_columns(client: SqlJobClientWithStagingDataset, table: str) -> Iterable[str]:
    from dlt.destinations.exceptions import DatabaseUndefinedRelation  # noqa: PLC0415 - an extra

    with suppress(DatabaseUndefinedRelation):
        for _, columns in client.get_storage_tables([table]):
            return list(columns)
    return ()
