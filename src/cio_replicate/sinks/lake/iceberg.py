"""Iceberg tables: one commit per change set, in a folder without a catalog or in the user's own catalog."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs
from pyiceberg import types
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchNamespaceError,
    NoSuchTableError,
)
from pyiceberg.io.pyarrow import (
    PyArrowFileIO,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import CreateTableTransaction, Table, Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _OverwriteFiles
from pyiceberg.types import NestedField, PrimitiveType

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.sinks.backend import ChangeSet, StoredTable
from cio_replicate.sinks.lake.iceberg_folder import PROPERTIES, Tables
from cio_replicate.sinks.lake.object_files import FULL, Files, LocalFiles, S3Files, StoredFile, named, trouble
from cio_replicate.sinks.lake.rewrite import FileRewrite, LakeBackend, WrittenFile, kind_of, swap

_TYPES: Mapping[ColumnType, PrimitiveType] = {
    ColumnType.STRING: types.StringType(),
    ColumnType.INTEGER: types.LongType(),
    ColumnType.NUMBER: types.DoubleType(),
    ColumnType.BOOLEAN: types.BooleanType(),
    ColumnType.TIMESTAMP: types.TimestamptzType(),
    ColumnType.JSON: types.StringType(),
}
JSON = "JSON. "  # what the description of a column begins with that holds JSON


@dataclass(frozen=True, slots=True)
class OpenRewrite:
    """A transaction, the files that the table has, and whether it changes anything already."""

    transaction: Transaction
    files: Files
    there: Mapping[StoredFile, DataFile]
    changed: bool


class IcebergBackend(LakeBackend):
    """Iceberg tables. An edit is one commit with its new columns, which fails when another program wrote meanwhile."""

    def __init__(self, tables: Tables, *, full: int = FULL) -> None:
        super().__init__(full)
        self._tables = tables

    def open(self) -> None:
        """Make sure that the place can be looked at and written to. Changes nothing."""
        self._tables.check()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        with self._reached(table):
            there = self._tables.load(named(table))
        if there is None:
            return {}
        kinds = {field.name: kind_of(field) for field in schema_to_pyarrow(there.schema())}
        json = {field.name: ColumnType.JSON for field in there.schema().fields if (field.doc or "").startswith(JSON)}
        return kinds | json

    def write(self, edit: ChangeSet) -> None:
        """One commit adds the columns, takes out the files that the edit concerns, and puts in those with its rows."""
        name = named(edit.shape.name)
        with self._reached(name):
            begun = self._begun(name, edit.shape)
        self._sweep(begun.files, name, "")
        schema = _arrow(begun.transaction.table_metadata.schema())
        done = swap(begun.files, "data", [*begun.there], schema, edit, self._full)
        if done or begun.changed:
            with self._reached(name):
                _stage(begun.transaction, done, begun.there)
                self._tables.committed(name, begun.transaction.commit_transaction())

    def _begun(self, name: str, shape: StoredTable) -> OpenRewrite:
        """A transaction on a table that has the columns of a shape."""
        table = self._tables.load(name)
        if table is None:
            creation = self._tables.creation(name, _schema(shape.columns))
            return OpenRewrite(creation, self._tables.files(name, creation.table_metadata.location), {}, changed=True)
        transaction = table.transaction()
        known = {field.name for field in table.schema().fields}
        missing = [column for column in shape.columns if column.name not in known]
        if missing:
            with transaction.update_schema() as update:
                for column in missing:
                    update.add_column((column.name,), _TYPES[column.type], doc=_doc(column))
        files = self._tables.files(name, table.location())
        return OpenRewrite(transaction, files, _data_files(table), changed=bool(missing))

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        with self._reached(table):
            self._tables.drop(named(table))

    def close(self) -> None:
        """Let go of what is held open."""
        self._tables.close()

    def _parts(self, table: str) -> tuple[Files | None, list[StoredFile]]:
        with self._reached(table):
            there = self._tables.load(named(table))
            if there is None:
                return None, []
            return self._tables.files(table, there.location()), [*_data_files(there)]

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        """Turn errors of pyiceberg into ours."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that an old state could not be removed, and the like
                yield
        except CioReplicateError:
            self._tables.forget(name)
            raise
        except (CommitFailedException, CommitStateUnknownException):
            self._tables.forget(name)
            raise LoadError(
                f"Another program wrote to the Iceberg table {name} at the same time.", "Run again."
            ) from None
        except Exception as error:  # noqa: BLE001 - pyiceberg's have no class in common
            self._tables.forget(name)
            raise trouble(error, self._tables.shown) from None


def _data_files(table: Table) -> dict[StoredFile, DataFile]:
    """The files of a table. Refuses what another program made of it and we cannot keep true."""
    start = table.location().rstrip("/") + "/"
    found = {}
    if not table.spec().is_unpartitioned():
        raise _foreign(table, "partitions")
    for task in table.scan().plan_files():
        if task.delete_files:
            raise _foreign(table, "files of deleted rows")
        if not task.file.file_path.startswith(start):
            raise _foreign(table, "files in another folder")
        found[StoredFile(task.file.file_path.removeprefix(start), task.file.file_size_in_bytes)] = task.file
    return dict(sorted(found.items(), key=lambda item: item[0].name))


def _foreign(table: Table, what: str) -> DestinationUnavailableError:
    return DestinationUnavailableError(
        f"The Iceberg table {table.name()[-1]} has {what}, which is not supported.",
        "Choose another ‹dataset›, or have the table written again without them.",
    )


def _stage(transaction: Transaction, done: FileRewrite, there: Mapping[StoredFile, DataFile]) -> None:
    """Have the transaction take out and put in the files."""
    if not done:
        return
    with _snapshot(transaction) if done.removed else transaction.update_snapshot().fast_append() as snapshot:
        for part in done.removed:
            snapshot.delete_data_file(there[part])
        for added in done.added:
            snapshot.append_data_file(_data_file(transaction, added))


def _snapshot(transaction: Transaction) -> _OverwriteFiles:
    """A snapshot that takes files out. Lists that only say what was taken out earlier do not go along with it.

    pyiceberg keeps them for ever and reads them all at each commit, which takes 0.6 s after 300 commits (measured).
    """

    class Exchange(_OverwriteFiles):
        def _existing_manifests(self) -> list[ManifestFile]:
            every = super()._existing_manifests()
            return [manifest for manifest in every if manifest.has_added_files() or manifest.has_existing_files()]

    return Exchange(Operation.OVERWRITE, transaction, transaction._table.io)  # noqa: SLF001


def _data_file(transaction: Transaction, added: WrittenFile) -> DataFile:
    metadata = transaction.table_metadata
    schema = metadata.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=added.footer,
        stats_columns=compute_statistics_plan(schema, metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(schema),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"{metadata.location}/{added.part.name}",
        file_format=FileFormat.PARQUET,
        partition=statistics.partition(metadata.spec(), schema),
        file_size_in_bytes=added.part.size,
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _schema(columns: Sequence[Column]) -> Schema:
    return Schema(
        *(
            NestedField(number, column.name, _TYPES[column.type], required=False, doc=_doc(column))
            for number, column in enumerate(columns, 1)
        )
    )


def _arrow(schema: Schema) -> pa.Schema:
    """The schema of a file: a reader finds a column by its number."""
    fields = []
    for field in schema_to_pyarrow(schema):
        kind = pa.string() if pa.types.is_large_string(field.type) else field.type
        number = schema.find_field(field.name).field_id
        fields.append(pa.field(field.name, kind, metadata={"PARQUET:field_id": str(number)}))
    return pa.schema(fields)


def _doc(column: Column) -> str:
    return f"{JSON}{column.about}" if column.type is ColumnType.JSON else column.about


# A catalog of the user's own for Iceberg tables: REST, Glue, Hive or SQL, as pyiceberg's settings describe it.


class CatalogTables(Tables):
    """The tables of a namespace. New ones get a folder below `location`. Old snapshots and files are the catalog's."""

    def __init__(self, name: str, properties: dict[str, str], namespace: str, location: str) -> None:
        self.shown = f"the Iceberg catalog {name}"
        self._name = name
        self._properties = properties
        self._namespace = namespace
        self._start = location
        self._catalog: Catalog | None = None
        self._files: dict[str, Files] = {}

    def check(self) -> None:
        """Raise DestinationUnavailableError when the catalog cannot be asked. Changes nothing."""
        try:
            self._own().namespace_exists(self._namespace)
        except Exception as error:  # noqa: BLE001 - each catalog has its own
            raise DestinationUnavailableError(
                f"The Iceberg catalog {self._name} cannot be asked ({type(error).__name__}).",
                "Describe it in ~/.pyiceberg.yaml or in variables PYICEBERG_CATALOG__NAME__URI, as pyiceberg does.",
            ) from None

    def files(self, name: str, location: str) -> Files:
        """The files of a table, in the storage that the catalog names."""
        if name not in self._files:
            scheme, host, path = PyArrowFileIO.parse_location(location)
            filesystem = PyArrowFileIO({**self._own().properties}).fs_by_scheme(scheme, host)
            local = isinstance(filesystem, fs.LocalFileSystem)
            self._files[name] = LocalFiles(Path(path)) if local else S3Files(filesystem, path)
        return self._files[name]

    def load(self, name: str) -> Table | None:
        """A table in its latest state; None when it is not there."""
        try:
            return self._own().load_table((self._namespace, name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def creation(self, name: str, schema: Schema) -> CreateTableTransaction:
        """A transaction that makes a table, together with what else is done in it."""
        self._own().create_namespace_if_not_exists(self._namespace)
        identifier, location = (self._namespace, name), f"{self._start}/{name}"
        return self._own().create_table_transaction(identifier, schema, location, properties=PROPERTIES)

    def close(self) -> None:
        """Let go of the catalog."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def drop(self, name: str) -> None:
        """Remove a table with its files; no error when it is not there."""
        table = self.load(name)
        if table is not None:
            files = self.files(name, table.location())
            self._own().drop_table((self._namespace, name))
            files.remove_folder("")
            self._files.pop(name)

    def _own(self) -> Catalog:
        if self._catalog is None:
            self._catalog = load_catalog(self._name, **self._properties)
        return self._catalog
