"""Read, filter and rewrite Parquet files: rows by condition or key, replaced files, buffered rows."""

from __future__ import annotations

import tempfile
import uuid
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.table import Column, ColumnType, arrow_type, schema_for
from cio_replicate.sinks.backend import ChangeSet, Condition, Operator, SeparateCommits, StoredTable
from cio_replicate.sinks.lake.object_files import Files, NewFile, ParquetWriter, StoredFile

#: Rows that are looked at together; a group of rows in a file of our own has hardly more.
AT_ONCE = 65_536
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeySet:
    """Values to be looked for, in any order."""

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    @cached_property
    def _sorted(self) -> pa.Array:
        return self.values.take(pc.sort_indices(self.values))

    def any_within(self, low: str | int, high: str | int) -> bool:
        """Whether one of them may lie between two, both included. Text is compared by its UTF-8, as in the files."""
        if not len(self.values):
            return False
        first = bisect_left(self._sorted, low, key=lambda value: value.as_py())
        return first < len(self.values) and bool(self._sorted[first].as_py() <= high)


_NO_KEYS, _NOTHING = KeySet(pa.array([], pa.string())), pa.scalar(None)


@dataclass(frozen=True, slots=True)
class CompiledCondition:
    """A condition, ready to be asked of many rows."""

    column: str
    comparison: Operator
    value: pa.Scalar = _NOTHING
    keys: KeySet = _NO_KEYS

    def holds(self, array: pa.Array) -> pa.Array:
        """For each value whether it holds; never null."""
        match self.comparison:
            case Operator.IN:
                return pc.is_in(array, value_set=self.keys.values)
            case Operator.NULL:
                return pc.is_null(array)
            case Operator.TRUE:
                return pc.fill_null(array, False)  # noqa: FBT003 - the value that nulls become
            case Operator.AT_LEAST:
                return pc.fill_null(pc.greater_equal(array, self.value), False)  # noqa: FBT003
            case Operator.AT_MOST:
                return pc.fill_null(pc.less_equal(array, self.value), False)  # noqa: FBT003

    def may_hold(self, chunk: pq.ColumnChunkMetaData, kind: pa.DataType) -> bool:
        """Whether it can hold for a row of a group, by what the file says of its values."""
        if self.comparison not in (Operator.IN, Operator.AT_LEAST, Operator.AT_MOST):
            return True
        statistics = chunk.statistics
        if statistics is None or not statistics.has_min_max or kind not in _PLAIN:
            return True
        low, high = statistics.min, statistics.max
        if pa.types.is_timestamp(kind):
            low, high = statistics.min_raw, statistics.max_raw
        if self.comparison is Operator.IN:
            return self.keys.any_within(low, high)
        value = self.value.value if pa.types.is_timestamp(kind) else self.value.as_py()
        return bool(high >= value if self.comparison is Operator.AT_LEAST else low <= value)


#: The types of which a file's lowest and highest value can be trusted to be in the same order as ours.
_PLAIN = frozenset({pa.string(), pa.int64(), pa.timestamp("us", "UTC")})


def test_of(shape: StoredTable, condition: Condition) -> CompiledCondition:
    """A condition, its value in the type of the column."""
    kind = arrow_type(shape.column(condition.column).type)
    value = condition.value
    if condition.comparison is Operator.IN:
        return CompiledCondition(condition.column, condition.comparison, keys=KeySet(pa.array(value, kind)))
    if condition.comparison in (Operator.AT_LEAST, Operator.AT_MOST):
        if isinstance(value, datetime):
            delta = value - _EPOCH
            value = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        return CompiledCondition(condition.column, condition.comparison, pa.scalar(value, kind))
    return CompiledCondition(condition.column, condition.comparison)


def read(
    files: Files,
    parts: Sequence[StoredFile],
    shape: StoredTable,
    columns: Sequence[str],
    conditions: Sequence[Condition],
) -> Iterator[pa.RecordBatch]:
    """The named columns of the rows in these files for which all conditions hold; each file is opened in its turn."""
    schema = schema_for([shape.column(name) for name in columns])
    tests = [test_of(shape, condition) for condition in conditions]
    for part in parts:
        with files.parquet(part) as file:
            names = [name for name in columns if name in file.schema_arrow.names] or file.schema_arrow.names[:1]
            for group, mask in _groups(file, tests):
                first = 0
                for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=names):
                    some = batch if mask is None else batch.filter(mask.slice(first, batch.num_rows))
                    first += batch.num_rows
                    if some.num_rows:
                        yield aligned(some, schema, shape.name)


def count(files: Files, parts: Sequence[StoredFile], shape: StoredTable, conditions: Sequence[Condition]) -> int:
    """How many rows `read` would give."""
    tests = [test_of(shape, condition) for condition in conditions]
    if not tests:
        return sum(files.footer(part).num_rows for part in parts)
    found = 0
    for part in parts:
        with files.parquet(part) as file:
            for group, mask in _groups(file, tests):
                found += file.metadata.row_group(group).num_rows if mask is None else pc.sum(mask).as_py()
    return found


def keys_in(files: Files, part: StoredFile, key: str, keys: KeySet) -> pa.Array:
    """Those of the keys that a file has rows of."""
    found = []
    if not len(keys.values):
        return keys.values
    with files.parquet(part) as file:
        _require(file, key, part)
        for group, mask in _groups(file, [CompiledCondition(key, Operator.IN, keys=keys)]):
            first = 0
            for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=[key]):
                values = fitted(batch.column(key), keys.values.type, key, part.name)
                found.append(values if mask is None else values.filter(mask.slice(first, batch.num_rows)))
                first += batch.num_rows
    return pa.concat_arrays(found) if found else keys.values.slice(0, 0)


def without(files: Files, part: StoredFile, key: str, keys: pa.Array, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows of a file except those with one of the keys, in a schema; columns that the file lacks hold nulls."""
    with files.parquet(part) as file:
        _require(file, key, part)
        for group in range(file.num_row_groups):  # a batch never spans groups, whose rows may be large
            for batch in file.iter_batches(AT_ONCE, row_groups=[group]):
                whole = aligned(batch, schema, part.name)
                some = whole.filter(pc.invert(pc.is_in(whole.column(key), value_set=keys))) if len(keys) else whole
                if some.num_rows:
                    yield some


def aligned(batch: pa.RecordBatch, schema: pa.Schema, table: str) -> pa.RecordBatch:
    """A batch with just the columns of a schema; those that it lacks hold nulls."""
    there = {name: position for position, name in enumerate(batch.schema.names)}
    arrays = [
        fitted(batch.column(there[field.name]), field.type, field.name, table)
        if field.name in there
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fitted(array: pa.Array, kind: pa.DataType, column: str, table: str) -> pa.Array:
    """Values in a type that differs only in how it is stored; LoadError when they do not fit it."""
    if array.type == kind:
        return array
    try:
        return array.cast(kind, safe=not pa.types.is_timestamp(array.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise LoadError(
            f"The column {column} of {table} holds {array.type} where {kind} is expected.",
            "Another program changed the table; drop it or choose another ‹dataset›.",
        ) from None


def _groups(file: pq.ParquetFile, tests: Sequence[CompiledCondition]) -> Iterator[tuple[int, pa.Array | None]]:
    """The groups of rows in which all tests hold for some, and for which; None when for all of them."""
    kinds = {field.name: field.type for field in file.schema_arrow}
    asked = [test for test in tests if test.column in kinds or test.comparison is not Operator.NULL]
    if any(test.column not in kinds for test in asked):
        return
    positions = _positions(file)
    for group in range(file.num_row_groups):
        footer = file.metadata.row_group(group)
        if not all(test.may_hold(footer.column(positions[test.column]), kinds[test.column]) for test in asked):
            continue
        mask = _mask(file, group, asked) if asked else None
        if mask is None or mask.true_count:
            yield group, None if mask is None or mask.true_count == len(mask) else mask


def _mask(file: pq.ParquetFile, group: int, tests: Sequence[CompiledCondition]) -> pa.Array:
    masks = []
    for batch in file.iter_batches(AT_ONCE, row_groups=[group], columns=list({test.column for test in tests})):
        mask = tests[0].holds(batch.column(tests[0].column))
        for test in tests[1:]:
            mask = pc.and_(mask, test.holds(batch.column(test.column)))
        masks.append(mask)
    return pa.concat_arrays(masks) if masks else pa.array([], pa.bool_())


def _positions(file: pq.ParquetFile) -> Mapping[str, int]:
    return {file.metadata.schema.column(position).path: position for position in range(file.metadata.num_columns)}


def _require(file: pq.ParquetFile, key: str, part: StoredFile) -> None:
    if key not in file.schema_arrow.names:
        raise LoadError(
            f"The file {part.name} has no column {key}: it is not one of ours.", "Remove it, or choose another place."
        )


# Files in the place of others: what an edit makes of the files of a table that has a log or snapshots.


#: Files smaller than this are always written together with new rows: a small table is one file.
SMALL = 1_000_000


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written, with its footer."""

    part: StoredFile
    footer: pq.FileMetaData


@dataclass(frozen=True, slots=True)
class FileRewrite:
    """The files that an edit takes out, and those that it puts in, which stand already but belong to no table yet."""

    removed: Sequence[StoredFile]
    added: Sequence[WrittenFile]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added)


def swap(
    files: Files, folder: str, parts: Sequence[StoredFile], schema: pa.Schema, edit: ChangeSet, full: int
) -> FileRewrite:
    """Write new files for an edit: its rows, and all other rows of the files in which it changes something.

    Small files go along, each time those that are together no larger than what is written anyway: so a row is written
    again only as often as the table doubles, and a table never has more than a few files that are not `full` (bytes).
    """
    require_types(edit.shape, schema)
    key = edit.shape.key
    output = RewriteOutput(files, folder, schema, full)
    try:
        keys = [edit.gone.cast(schema.field(key).type)]
        for batch in edit.rows:
            fitting = aligned(batch, schema, edit.shape.name)
            keys.append(fitting.column(key))
            output.write([fitting])
        changed = KeySet(pa.concat_arrays(keys))
        hits = {part: keys_in(files, part, key, changed) for part in parts}
        touched = [part for part in parts if len(hits[part])]
        if not edit.count and not touched:
            return FileRewrite((), output.close())
        small = [part for part in touched if part.size < full // 2]
        small += _along(parts, {*touched}, output.size + sum(part.size for part in small), full)
        for part in sorted(small, key=lambda part: part.name):
            output.write(without(files, part, key, hits[part], schema))
        for part in touched:
            if part.size >= full // 2:  # keeps its rows together, which are mostly of one time
                output.roll()
                output.write(without(files, part, key, hits[part], schema))
        return FileRewrite([part for part in parts if part in {*small, *touched}], output.close())
    except BaseException:
        output.abandon()
        raise


def _along(parts: Sequence[StoredFile], touched: set[StoredFile], size: int, full: int) -> list[StoredFile]:
    """The small files that are to be written again together with so many bytes."""
    found = []
    for part in sorted((part for part in parts if part not in touched), key=lambda part: part.size):
        if part.size >= full // 2 or part.size > max(size, min(SMALL, full // 4)):
            break
        size += part.size
        found.append(part)
    return found


class RewriteOutput:
    """Files that are written one after the other, each until it is full."""

    def __init__(self, files: Files, folder: str, schema: pa.Schema, full: int) -> None:
        self._files = files
        self._folder = folder
        self._schema = schema
        self._full = full
        self._added: list[WrittenFile] = []
        self._open: tuple[NewFile, ParquetWriter] | None = None

    @property
    def size(self) -> int:
        """How many bytes there are by now."""
        return sum(added.part.size for added in self._added) + (self._open[1].size if self._open else 0)

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows."""
        for batch in batches:
            if self._open is None:
                file = self._files.new(f"{self._folder}/part-{uuid.uuid4().hex}.parquet")
                self._open = file, ParquetWriter(file.path, self._schema)
            with self._files.reached():
                self._open[1].write(batch)
            if self._open[1].size >= self._full:
                self.roll()

    def roll(self) -> None:
        """End the file, if there is one."""
        if self._open is not None:
            file, writer = self._open
            with self._files.reached():
                footer = writer.close()
            self._open = None
            if footer.num_rows:
                self._added.append(WrittenFile(StoredFile(file.name, self._files.put(file)), footer))
            else:
                file.path.unlink()

    def close(self) -> Sequence[WrittenFile]:
        """End the last file; all of them."""
        self.roll()
        return self._added

    def abandon(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            self._open[1].abandon()
            self._open[0].path.unlink(missing_ok=True)
        for added in self._added:
            self._files.remove(added.part.name)


# The rows of an edit on the disk, so that they can be read more than once in bounded memory.


UNDATED = -1


class SpillBuffer:
    """The rows of an edit, with their keys and, if they are split by a moment, the month of each."""

    def __init__(self, edit: ChangeSet) -> None:
        self._edit = edit
        self._file = tempfile.TemporaryFile(prefix="cio-replicate-")  # noqa: SIM115 - closed by __exit__
        keys, months = [], []
        try:
            with pa.ipc.new_file(self._file, edit.rows.schema) as writer:
                for batch in edit.rows:
                    keys.append(batch.column(edit.shape.key))
                    months.append(self._months(batch))
                    writer.write_batch(batch)
        except BaseException:
            self._file.close()
            raise
        self.keys = pa.concat_arrays(keys) if keys else edit.gone.slice(0, 0)
        self.months = pa.concat_arrays(months) if months else pa.array([], pa.int64())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def rows(self, keys: pa.Array) -> Iterator[pa.RecordBatch]:
        """The rows with these keys."""
        if not len(keys):
            return
        self._file.seek(0)
        reader = pa.ipc.open_file(self._file)
        for position in range(reader.num_record_batches):
            batch = reader.get_batch(position)
            wanted = pc.is_in(batch.column(self._edit.shape.key), value_set=keys)
            if wanted.true_count:
                yield batch if wanted.true_count == batch.num_rows else batch.filter(wanted)

    def _months(self, batch: pa.RecordBatch) -> pa.Array:
        """For each row its month, counted from the year 0; UNDATED without a moment, or for all when none is asked."""
        if self._edit.shape.split_by is None:
            return pa.repeat(pa.scalar(UNDATED, pa.int64()), batch.num_rows)
        moments = batch.column(self._edit.shape.split_by)
        months = pc.add(pc.multiply(pc.year(moments), 12), pc.subtract(pc.month(moments), 1))
        return pc.fill_null(months, UNDATED)


# The backend of tables that are files, whatever says which files a table has.


class LakeBackend(SeparateCommits, ABC):
    """Tables as Parquet files. A subclass knows which files a table has, and puts others in their place.

    Small files are written again together with new rows, so that there are never many.
    """

    nul_allowed = True
    rows_at_once = 250_000  # about a full file (measured)
    whole_edits = True

    def __init__(self, full: int) -> None:
        self._full = full
        self._swept: set[str] = set()

    def accepts_name(self, name: str) -> bool:
        """Any name can be that of a column."""
        return bool(name)

    @abstractmethod
    def _parts(self, table: str) -> tuple[Files | None, Sequence[StoredFile]]:
        """Return the files of a table, and where they are: None when the table is not there."""

    def read(
        self, shape: StoredTable, columns: Sequence[str], conditions: Sequence[Condition] = ()
    ) -> pa.RecordBatchReader:
        """The named columns of the rows for which all conditions hold, all of the state that is the latest now."""
        files, parts = self._parts(shape.name)
        rows = read(files, parts, shape, columns, conditions) if files is not None else iter(())
        return pa.RecordBatchReader.from_batches(schema_for([shape.column(name) for name in columns]), rows)

    def count(self, shape: StoredTable, conditions: Sequence[Condition] = ()) -> int:
        """How many rows `read` would give."""
        files, parts = self._parts(shape.name)
        return count(files, parts, shape, conditions) if files is not None else 0

    def _sweep(self, files: Files, table: str, folder: str) -> None:
        """Remove what a kill has left in the folder of a table, before the first write to it."""
        if table not in self._swept:
            files.sweep(folder)
            self._swept.add(table)


# Columns as fields of the files of a lake, and back: JSON is text there, and is marked as what it is.


MARK, JSON = "cio_replicate.type", "json"
_FIRST = (
    (pa.types.is_boolean, ColumnType.BOOLEAN),
    (pa.types.is_integer, ColumnType.INTEGER),
    (pa.types.is_floating, ColumnType.NUMBER),
    (pa.types.is_decimal, ColumnType.NUMBER),
    (pa.types.is_temporal, ColumnType.TIMESTAMP),
    (pa.types.is_nested, ColumnType.JSON),
)


def field_for(column: Column) -> pa.Field:
    """The field of a file for a column."""
    marks = {MARK: JSON} if column.type is ColumnType.JSON else None
    return pa.field(column.name, arrow_type(column.type), metadata=marks)


def kind_of(field: pa.Field) -> ColumnType:
    """The type of the column that a field is for; of what we never wrote, the one that comes nearest."""
    if field.metadata and field.metadata.get(MARK.encode()) == JSON.encode():
        return ColumnType.JSON
    return next((kind for fits, kind in _FIRST if fits(field.type)), ColumnType.STRING)


def require_types(shape: StoredTable, schema: pa.Schema) -> None:
    """Raise LoadError when a column of a shape has another type than the table's."""
    for column in shape.columns:
        known = schema.field(column.name).type
        if known != arrow_type(column.type):
            raise LoadError(
                f"The column {column.name} of {shape.name} holds {known}, but is to hold {arrow_type(column.type)}.",
                "Drop the table, or choose another ‹dataset›.",
            )
