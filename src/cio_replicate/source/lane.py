"""The fast lane: records that fit the table exactly are decoded by a compiled decoder, column by column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.schema.arrow import TIMESTAMP, arrow_type, schema_of
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.source.values import SECONDS

AT_ONCE = 250  # with more tuples alive, the garbage collector takes as long as the work itself (measured)
_NULL = msgspec.Raw(b"null")
_IGNORED = "\x00"  # begins the name of no column
_ANNOTATIONS: dict[ColumnType, Any] = {
    ColumnType.STRING: str | None,
    ColumnType.INTEGER: int | None,
    ColumnType.BOOLEAN: bool | None,
    ColumnType.TIMESTAMP: int | None,
    ColumnType.JSON: msgspec.Raw,
}


@dataclass(frozen=True, slots=True)
class NestedStruct:
    """An object of a record: the struct it is decoded into, whose fields are `columns` first and then `inner`."""

    record: type[msgspec.Struct]
    columns: list[str]
    inner: list[NestedStruct]

    def gather(self, records: Sequence[msgspec.Struct], into: Mapping[str, list[Any]]) -> None:
        """Add the values of each column to its list in `into`; where an object is missing, so are its values."""
        fields = list(zip(*map(msgspec.structs.astuple, records), strict=True))
        for name, values in zip(self.columns, fields, strict=False):
            into[name] += values
        for shape, objects in zip(self.inner, fields[len(self.columns) :], strict=True):
            nothing = shape.record()
            shape.gather([nothing if one is None else one for one in objects], into)


class ExactDecoder:
    """Decodes records whose every field is known and of the right type; says which ones are not.

    Numbers with a fraction are left to the careful lane, since a decoder would round them in silence, and so are
    field names that a decoder does not take. Fields at the paths `ignored` are decoded and left out of the rows.
    """

    def __init__(self, table: Table, columns: Sequence[Column], ignored: Sequence[tuple[str, ...]] = ()) -> None:
        self._schema = schema_of(columns)
        apart = [Column(f"{_IGNORED}{path}", ColumnType.JSON, "", path) for path in ignored]
        self._ignored = [column for column in apart if _is_quick(column)]
        self._columns = [*(column for column in columns if _is_quick(column)), *self._ignored]
        self._moments = [column.name for column in self._columns if column.type is ColumnType.TIMESTAMP]
        self._shape = self._shape_at(table.name, (), table.objects)
        self._decoder = msgspec.json.Decoder(self._shape.record)
        self._key = table.key_columns
        self._key_attributes = [f"f{self._shape.columns.index(name)}" for name in self._key]

    def split(self, records: Sequence[bytes | msgspec.Raw]) -> tuple[list[msgspec.Struct], list[bytes | msgspec.Raw]]:
        """The decoded records that fit, and the raw ones that do not (or that lack their key)."""
        quick: list[msgspec.Struct] = []
        odd: list[bytes | msgspec.Raw] = []
        taken: list[bytes | msgspec.Raw] = []
        decode = self._decoder.decode
        for raw in records:
            try:
                quick.append(decode(raw))
                taken.append(raw)
            except (msgspec.ValidationError, UnicodeDecodeError):
                odd.append(raw)
        for attribute in self._key_attributes:
            keys = [getattr(record, attribute) for record in quick]
            if None in keys or "" in keys:
                odd += [raw for raw, key in zip(taken, keys, strict=True) if key is None or key == ""]
                kept = [number for number, key in enumerate(keys) if key is not None and key != ""]
                quick, taken = [quick[number] for number in kept], [taken[number] for number in kept]
        return quick, odd

    def encode(
        self, records: Sequence[msgspec.Struct], read_at: int, ignored: Counter[tuple[str, ...]]
    ) -> pa.Table | None:
        """The rows of decoded records; None when a number is out of its column's range.

        The values left out are counted in `ignored`, if there are rows.
        """
        count = len(records)
        values: dict[str, list[Any]] = {column.name: [] for column in self._columns}
        for first in range(0, count, AT_ONCE):
            self._shape.gather(records[first : first + AT_ONCE], values)
        try:
            found = {
                column.name: _array(values[column.name], column.type)
                for column in self._columns
                if column.type is not ColumnType.TIMESTAMP and column not in self._ignored
            }
            found |= _moments({name: values[name] for name in self._moments}, count)
        except (OverflowError, pa.ArrowInvalid):
            return None
        for column in self._ignored:
            ignored[column.path] += sum(bytes(value) != b"null" for value in values[column.name])
        found["_cio_key"] = _joined([found[name] for name in self._key])
        found["_cio_synced_at"] = pa.repeat(pa.scalar(read_at * 1_000_000, pa.int64()), count).cast(TIMESTAMP)
        found["_cio_seen_only"] = pa.repeat(pa.scalar(value=False), count)
        return pa.table(
            [found[field.name] if field.name in found else pa.nulls(count, field.type) for field in self._schema],
            schema=self._schema,
        )

    def _shape_at(self, name: str, at: tuple[str, ...], objects: frozenset[tuple[str, ...]]) -> NestedStruct:
        """The shape of the object at path `at`."""
        here = [column for column in self._columns if column.path[:-1] == at]
        fields: list[tuple[str, Any, Any]] = []
        names: dict[str, str] = {}
        for number, column in enumerate(here):
            default = _NULL if column.type is ColumnType.JSON else None
            fields.append((f"f{number}", _ANNOTATIONS[column.type], default))
            names[f"f{number}"] = column.path[-1]
        inner = []
        for number, path in enumerate(sorted(path for path in objects if path[:-1] == at and path)):
            inner.append(self._shape_at(f"{name}_{number}", path, objects))
            fields.append((f"o{number}", inner[-1].record | None, None))
            names[f"o{number}"] = path[-1]
        record = msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=True, gc=False)
        return NestedStruct(record, [column.name for column in here], inner)


def _is_quick(column: Column) -> bool:
    return column.type in _ANNOTATIONS and not any(sign in step for step in column.path for sign in '\\"')


def _array(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    if kind is ColumnType.JSON:
        texts = [None if value is None else str(value, "utf-8") for value in values]
        return pa.array([None if text == "null" else text for text in texts], pa.string())
    return pa.array(values, arrow_type(kind))


def _moments(columns: Mapping[str, Sequence[int | None]], count: int) -> dict[str, pa.Array]:
    """Columns of unix seconds as timestamps, all at once. Raises OverflowError for a second that no year has."""
    seconds = pa.array(list(chain.from_iterable(columns.values())), pa.int64())
    bounds = pc.min_max(seconds).as_py()
    if bounds["min"] is not None and (bounds["min"] not in SECONDS or bounds["max"] not in SECONDS):
        raise OverflowError
    moments = pc.multiply(seconds, 1_000_000).cast(TIMESTAMP)
    return {name: moments.slice(number * count, count) for number, name in enumerate(columns)}


def _joined(keys: Sequence[pa.Array]) -> pa.Array:
    texts = [key.cast(pa.string()) for key in keys]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "|")
