"""Rows of Parquet files: those for which conditions hold, those with certain keys, and all but those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cio_replicate.base.errors import LoadError
from cio_replicate.schema.arrow import arrow_type, schema_for
from cio_replicate.sinks.backend import Condition, Operator, StoredTable
from cio_replicate.sinks.lake.object_files import Files, StoredFile

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
        first, last = self._position(low), len(self.values)
        return first < last and bool(self._sorted[first].as_py() <= high)

    def _position(self, value: str | int) -> int:
        low, high = 0, len(self.values)
        while low < high:
            middle = (low + high) // 2
            if self._sorted[middle].as_py() < value:
                low = middle + 1
            else:
                high = middle
        return low


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
            "Another program changed the table; drop it or choose another --dataset.",
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
