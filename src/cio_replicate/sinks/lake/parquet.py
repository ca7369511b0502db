"""Plain Parquet files, a folder per table; and the choice of the backend for an address of files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.config.destination_kind import Address, SinkFamily
from cio_replicate.schema.table import ColumnType
from cio_replicate.sinks.backend import ChangeSet, StoredTable, TableBackend
from cio_replicate.sinks.lake.object_files import (
    FULL,
    Files,
    LocalFiles,
    ParquetWriter,
    StoredFile,
    named,
    open_files,
    region_of,
    s3_secrets,
)
from cio_replicate.sinks.lake.rewrite import (
    UNDATED,
    KeySet,
    LakeBackend,
    SpillBuffer,
    aligned,
    field_for,
    keys_in,
    kind_of,
    require_types,
    without,
)


@dataclass(slots=True)
class _Rewrite:
    """What is to become of a file: the keys whose rows leave it, and the keys of the edit's rows that enter it."""

    old: StoredFile | None = None
    leave: list[pa.Array] = field(default_factory=list)
    enter: list[pa.Array] = field(default_factory=list)


class ParquetBackend(LakeBackend):
    """Tables as folders of Parquet files; `*.parquet` in such a folder has exactly the rows of the table.

    A key is in one file, and stays there. An edit replaces each file that it concerns by a new one in one step: who
    opens a file sees all of it as before or all of it as after, and each row once, old or new. Programs that open a
    file twice, first its end and then its rows, as DuckDB does, fail if it is replaced in the moment between, and have
    to ask again. An edit that concerns several files is several replacements: a reader in the midst of it may see one
    file as after and another as before. After a kill it stays so until the edit is written again, which ends as it
    would have ended.

    New rows go into a file until it is full, then into another; rows that are split by a moment into files of its
    month. When there is a new column, every file is written again, the first by name at last, since readers take the
    columns from that one.
    """

    whole_edits = False

    def __init__(self, files: Files, *, full: int = FULL) -> None:
        super().__init__(full)
        self._files = files

    def open(self) -> None:
        """Make sure that the place can be looked at and written to. Changes nothing."""
        self._files.check()

    def columns(self, table: str) -> Mapping[str, ColumnType]:
        """The columns of a table by name, in order; none when the table is not there."""
        _, parts = self._parts(table)
        return {column.name: kind_of(column) for column in self._schema(parts)}

    def write(self, edit: ChangeSet) -> None:
        """Replace the files that the edit concerns, one after the other: what readers see, the class says."""
        table = named(edit.shape.name)
        self._sweep(self._files, table, table)
        # all rows are here before anything changes, even if they come from this very table
        with SpillBuffer(edit) as spool:
            _, parts = self._parts(table)
            there = self._schema(parts)
            schema = _united([there, pa.schema([field_for(column) for column in edit.shape.columns])])
            require_types(edit.shape, schema)
            rewrites = self._placed(edit, spool, parts)
            if len(schema) > len(there):
                for part in parts:
                    rewrites.setdefault(part.name, _Rewrite(part))
                if not rewrites:
                    rewrites[_name(table, _group(edit.shape, UNDATED), 1)] = _Rewrite()
            for name in sorted(rewrites, reverse=True):
                self._replace(name, rewrites[name], edit.shape.key, schema, spool)

    def drop(self, table: str) -> None:
        """Remove a table; no error when it is not there."""
        self._files.remove_folder(named(table))

    def close(self) -> None:
        """Nothing is held open."""

    def _parts(self, table: str) -> tuple[Files, list[StoredFile]]:
        return self._files, [part for part in self._files.list(named(table)) if part.name.endswith(".parquet")]

    def _schema(self, parts: Sequence[StoredFile]) -> pa.Schema:
        return _united(self._files.footer(part).schema.to_arrow_schema() for part in parts)

    def _placed(self, edit: ChangeSet, spool: SpillBuffer, parts: Sequence[StoredFile]) -> dict[str, _Rewrite]:
        """The files that the edit concerns: those that have its keys, and those that take its new rows."""
        rewrites: dict[str, _Rewrite] = {}
        changed = KeySet(pa.concat_arrays([spool.keys, edit.gone.cast(spool.keys.type)]))
        known = []
        for part in parts:
            hits = keys_in(self._files, part, edit.shape.key, changed)
            if len(hits):
                known.append(hits)
                entering = hits.filter(pc.is_in(hits, value_set=spool.keys))
                rewrites[part.name] = _Rewrite(part, [hits], [entering])
        fresh, months = spool.keys, spool.months
        if known:
            new = pc.invert(pc.is_in(fresh, value_set=pa.concat_arrays(known)))
            fresh, months = fresh.filter(new), months.filter(new)
        for month in pc.unique(months).to_pylist():
            name, old = _room(parts, edit.shape, _group(edit.shape, month), self._full)
            entering = fresh.filter(pc.equal(months, month))
            rewrites.setdefault(name, _Rewrite(old)).enter.append(entering)
        return rewrites

    def _replace(self, name: str, rewrite: _Rewrite, key: str, schema: pa.Schema, spool: SpillBuffer) -> None:
        file = self._files.new(name)
        writer = ParquetWriter(file.path, schema)
        try:
            with self._files.reached():
                for batch in self._rows(rewrite, key, schema, spool):
                    writer.write(batch)
                writer.close()
            self._files.put(file)
        except BaseException:
            writer.abandon()
            file.path.unlink(missing_ok=True)
            raise

    def _rows(self, rewrite: _Rewrite, key: str, schema: pa.Schema, spool: SpillBuffer) -> Iterator[pa.RecordBatch]:
        kind = schema.field(key).type
        if rewrite.old is not None:
            leaving = pa.concat_arrays(rewrite.leave) if rewrite.leave else pa.array([], kind)
            yield from without(self._files, rewrite.old, key, leaving, schema)
        if rewrite.enter:
            for batch in spool.rows(pa.concat_arrays(rewrite.enter)):
                yield aligned(batch, schema, rewrite.old.name if rewrite.old else "the edit")


def _united(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """The columns of all schemas, in the order in which they are met."""
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for column in schema:
            fields.setdefault(column.name, column)
    return pa.schema(list(fields.values()))


def _group(shape: StoredTable, month: int) -> str:
    """What the names of the files begin with that hold rows of a month."""
    if shape.split_by is None:
        return "part"
    return "undated" if month == UNDATED else f"{month // 12:04}-{month % 12 + 1:02}"


def _name(table: str, group: str, number: int) -> str:
    return f"{table}/{group}-{number:05}.parquet"


def _room(parts: Sequence[StoredFile], shape: StoredTable, group: str, full: int) -> tuple[str, StoredFile | None]:
    """The file of a group that takes new rows: one that is not full, or one that is not there yet."""
    prefix = f"{shape.name}/{group}-"
    numbers: dict[int, StoredFile] = {}
    for part in parts:
        end = part.name.removeprefix(prefix).removesuffix(".parquet")
        if part.name.startswith(prefix) and end.isdecimal():
            numbers[int(end)] = part
    for number in sorted(numbers):
        if numbers[number].size < full * 3 // 4:
            return numbers[number].name, numbers[number]
    return _name(shape.name, group, max(numbers, default=0) + 1), None


# The store behind an address of files: plain Parquet, Delta or Iceberg, in a folder or a bucket.


def file_store(address: Address, dataset: str) -> TableBackend:
    """The store for a dataset at an address. Nothing is looked at yet. Raises DestinationUnavailableError."""
    files, kind = open_files(address, dataset), address.kind
    try:
        if kind.engine is SinkFamily.DELTA:
            from cio_replicate.sinks.lake.delta import DeltaBackend  # noqa: PLC0415 - its library is an extra

            return DeltaBackend(files, _delta_options(address))
        if kind.engine is SinkFamily.ICEBERG:
            return _iceberg(address, named(dataset), files)
    except ImportError:
        name = "An Iceberg" if kind.engine is SinkFamily.ICEBERG else "A Delta"
        raise DestinationUnavailableError(
            f"{name} destination needs the extra: pip install 'cio-replicate[{kind.extra}]'.",
            "Install it.",
        ) from None
    return ParquetBackend(files)


def _iceberg(address: Address, dataset: str, files: Files) -> TableBackend:
    from cio_replicate.sinks.lake.iceberg import CatalogTables, IcebergBackend  # noqa: PLC0415 - as above
    from cio_replicate.sinks.lake.iceberg_folder import FolderTables  # noqa: PLC0415

    properties = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", **_iceberg_properties(address)}
    catalog = address.options.get("catalog")
    if not catalog:
        return IcebergBackend(FolderTables(files, properties, time.time))
    scheme = "file" if isinstance(files, LocalFiles) else "s3"
    return IcebergBackend(CatalogTables(catalog, properties, dataset, f"{scheme}://{files.root}"))


def _delta_options(address: Address) -> dict[str, str]:
    if not address.host:
        return {}
    options = {"aws_conditional_put": "etag"}  # two who commit at once cannot both succeed
    endpoint, region = address.options.get("endpoint"), region_of(address)
    if endpoint:
        options |= {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http:")).lower()}
        options["aws_virtual_hosted_style_request"] = "false"
    if region:
        options["aws_region"] = region
    return options | s3_secrets(address, "aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def _iceberg_properties(address: Address) -> dict[str, str]:
    if not address.host:
        return {}
    found = {"s3.endpoint": address.options.get("endpoint"), "s3.region": region_of(address)}
    secrets = s3_secrets(address, "s3.access-key-id", "s3.secret-access-key", "s3.session-token")
    return {name: value for name, value in found.items() if value} | secrets
