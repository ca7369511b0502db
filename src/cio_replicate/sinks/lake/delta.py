"""Delta tables: an edit is one commit of the log, whatever files it concerns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import Field, PrimitiveType
from deltalake.transaction import AddAction, CommitProperties, RemoveAction, create_table_with_add_actions

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.schema.table import Column, ColumnType, schema_for
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.lake.object_files import FULL, Files, LocalFiles, StoredFile, named, trouble
from cio_replicate.sinks.lake.rewrite import JSON, MARK, FileRewrite, LakeBackend, WrittenFile, kind_of, swap

#: How many commits lie between two times at which files are removed that no version needs any more.
VACUUM_EVERY = 50
#: The settings of a new table: files that are no longer part of it stay a day, for readers of an older version; the log
#: is summed up every 20 commits, so that opening a table takes milliseconds, and its old parts stay a week.
CONFIGURATION = {
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.checkpointInterval": "20",
}
_TYPES = {
    ColumnType.STRING: "string",
    ColumnType.INTEGER: "long",
    ColumnType.NUMBER: "double",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIMESTAMP: "timestamp",
    ColumnType.JSON: "string",
}


class DeltaBackend(LakeBackend):
    """Tables as folders with a Delta log. `options` tell the Delta library how to reach the bucket.

    An edit is one commit, which fails when another program has written to the table meanwhile. A column that the table
    lacks is a commit of its own before it: readers may see it empty for a moment. The log is summed up, and files that
    are no longer needed are removed after a day: a table stays quick however many commits it has seen.
    """

    def __init__(self, files: Files, options: Mapping[str, str], *, full: int = FULL) -> None:
        super().__init__(full)
        self._files = files
        self._options = dict(options)
        self._opened: dict[str, DeltaTable] = {}

    def open(self) -> None:
        """Make sure that the place can be looked at and written to. Changes nothing."""
        self._files.check()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        there = self._table(table)
        return {} if there is None else {column.name: kind_of(column) for column in _schema(there)}

    def write(self, edit: ChangeSet) -> None:
        """One commit takes out the files that the edit concerns and puts in those with its rows."""
        name = named(edit.shape.name)
        self._sweep(self._files, name, name)
        table = self._table(name)
        if table is None:
            schema = schema_for(edit.shape.columns)
            self._create(name, edit.shape, swap(self._files, name, [], schema, edit, self._full))
            return
        table = self._widened(table, edit.shape)
        schema = pa.schema([pa.field(field.name, field.type) for field in _schema(table)])
        done = swap(self._files, name, _parts(table, name), schema, edit, self._full)
        if done:
            self._commit(table, edit.shape, done)
            if table.version() % VACUUM_EVERY == 0:
                with suppress(Exception):  # the edit is committed; what is left lying is removed another time
                    table.vacuum(dry_run=False, full=True)
                    self._opened.pop(name)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        self._opened.pop(table, None)
        self._files.remove_folder(named(table))

    def close(self) -> None:
        """Let go of the tables."""
        self._opened.clear()

    def _table(self, name: str) -> DeltaTable | None:
        """The table in its latest version; None when it is not there."""
        table = self._opened.get(name)
        with self._reached(name):
            if table is not None:
                table.update_incremental()
                return table
            try:
                table = DeltaTable(self._uri(name), storage_options=self._options)
            except TableNotFoundError:
                return None
        _require_plain(table, name)
        self._opened[name] = table
        return table

    def _parts(self, table: str) -> tuple[Files, list[StoredFile]]:
        there = self._table(named(table))
        return self._files, [] if there is None else _parts(there, table)

    def _create(self, name: str, shape: StoredTable, done: FileRewrite) -> None:
        if isinstance(self._files, LocalFiles):
            self._files.make(name)
        schema = Schema([_field(column) for column in shape.columns])
        with self._reached(name):
            create_table_with_add_actions(
                self._uri(name),
                schema,
                [_action(added, name, shape.key) for added in done.added],
                configuration=CONFIGURATION,
                storage_options=self._options,
            )

    def _widened(self, table: DeltaTable, shape: StoredTable) -> DeltaTable:
        """The table, with the columns that it lacked."""
        there = {column.name: kind_of(column) for column in _schema(table)}
        missing = [column for column in shape.columns if column.name not in there]
        if missing:
            with self._reached(shape.name):
                table.alter.add_columns([_field(column) for column in missing])
                table.update_incremental()
        return table

    def _commit(self, table: DeltaTable, shape: StoredTable, done: FileRewrite) -> None:
        name, now = shape.name, int(time.time() * 1000)
        removed = [
            RemoveAction(part.name.removeprefix(f"{name}/"), True, now, part.size, {})  # noqa: FBT003 - its own form
            for part in done.removed
        ]
        with self._reached(name):
            table.create_write_transaction(
                [*(_action(added, name, shape.key) for added in done.added), *removed],
                "append",
                table.schema(),
                commit_properties=CommitProperties(max_commit_retries=0),
            )
            table.update_incremental()

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        """Turn errors of the Delta library into ours."""
        try:
            yield
        except (CioReplicateError, TableNotFoundError):
            raise
        except CommitFailedError:
            self._opened.pop(name, None)
            raise LoadError(
                f"Another program wrote to the Delta table {name} at the same time.", "Run again."
            ) from None
        except (DeltaError, OSError, ValueError, pa.ArrowException) as error:
            self._opened.pop(name, None)
            raise trouble(error, f"{self._files.shown}/{name}") from None

    def _uri(self, name: str) -> str:
        path = self._files.path(name)
        return path if isinstance(self._files, LocalFiles) else f"s3://{path}"


def _schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema())


def _parts(table: DeltaTable, name: str) -> list[StoredFile]:
    actions = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    return sorted(
        (StoredFile(f"{name}/{each['path']}", each["size_bytes"]) for each in actions), key=lambda part: part.name
    )


def _require_plain(table: DeltaTable, name: str) -> None:
    """Refuse what another program made of the table and we cannot keep true."""
    metadata, features = table.metadata(), table.protocol().reader_features or []
    mapped = metadata.configuration.get("delta.columnMapping.mode", "none") != "none"
    deleted = "deletionVectors" in features and pa.table(table.deletion_vectors()).num_rows > 0
    if metadata.partition_columns or mapped or deleted:
        raise DestinationUnavailableError(
            f"The Delta table {name} has partitions, mapped columns or deletion vectors, which are not supported.",
            "Choose another ‹dataset›, or have the table written again without them.",
        )


def _field(column: Column) -> Field:
    marks = {MARK: JSON} if column.type is ColumnType.JSON else {}
    return Field(column.name, PrimitiveType(_TYPES[column.type]), metadata={"comment": column.about, **marks})


def _action(added: WrittenFile, name: str, key: str) -> AddAction:
    path = added.part.name.removeprefix(f"{name}/")
    stats = json.dumps(_statistics(added.footer, key), ensure_ascii=False)
    return AddAction(path, added.part.size, {}, int(time.time() * 1000), True, stats)  # noqa: FBT003 - its own form


def _statistics(footer: pq.FileMetaData, key: str) -> dict[str, Any]:
    """What the log says of a file, so that readers can leave it out: rows, nulls, lowest and highest values.

    Of texts only the key: others would stand in the log longer than in the table.
    """
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    names = footer.schema.to_arrow_schema().names
    for position, name in enumerate(names):
        found = [footer.row_group(group).column(position).statistics for group in range(footer.num_row_groups)]
        if any(each is None or not each.has_null_count for each in found):
            continue
        nulls[name] = sum(each.null_count for each in found)
        bounds = [(each.min, each.max) for each in found if each.has_min_max]
        if len(bounds) == sum(each.num_values > 0 for each in found) and bounds:
            lowest, highest = min(bound[0] for bound in bounds), max(bound[1] for bound in bounds)
            if isinstance(lowest, datetime):
                low[name], high[name] = _moment(lowest), _moment(highest + timedelta(microseconds=999))
            elif type(lowest) is int or (name == key and len(f"{lowest}{highest}") < 200):
                low[name], high[name] = lowest, highest
    return {"numRecords": footer.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


def _moment(moment: datetime) -> str:
    """In milliseconds, as the format wants it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
