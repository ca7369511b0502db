"""The fast lane: records that fit the table exactly are decoded by a compiled decoder, column by column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.extract.values import SECONDS
from cio_replicate.tables.arrow import TIMESTAMP, schema_of
from cio_replicate.tables.declare import Column, ColumnType, Table

_NULL = msgspec.Raw(b"null")
_ANNOTATIONS: dict[ColumnType, Any] = {
    ColumnType.STRING: str | None,
    ColumnType.INTEGER: int | None,
    ColumnType.BOOLEAN: bool | None,
    ColumnType.TIMESTAMP: int | None,
    ColumnType.JSON: msgspec.Raw,
}


class FastLane:
    """Decodes records whose every field is known and of the right type; says which ones are not.

    Numbers with a fraction are left to the careful lane, since a decoder would round them in silence, and so are
    field names that a decoder does not take.
    """

    def __init__(self, table: Table, columns: Sequence[Column]) -> None:
        self._schema = schema_of(columns)
        self._columns = [column for column in columns if _is_quick(column)]
        self._getters: dict[str, tuple[str, ...]] = {}
        record = self._struct(table.name, (), frozenset(table.objects))
        self._decoder = msgspec.json.Decoder(record)
        self._key = table.key

    def split(self, records: Sequence[bytes | msgspec.Raw]) -> tuple[list[msgspec.Struct], list[bytes | msgspec.Raw]]:
        """The decoded records that fit, and the raw ones that do not (or that lack their key)."""
        quick: list[msgspec.Struct] = []
        odd: list[bytes | msgspec.Raw] = []
        decode = self._decoder.decode
        ways = [self._getters[name] for name in self._key]
        single = ways[0][0] if len(ways) == len(ways[0]) == 1 else None
        for raw in records:
            try:
                record = decode(raw)
            except (msgspec.ValidationError, UnicodeDecodeError):
                odd.append(raw)
                continue
            keys = (getattr(record, single),) if single else [_follow(record, way) for way in ways]
            if any(key is None or key == "" for key in keys):
                odd.append(raw)
            else:
                quick.append(record)
        return quick, odd

    def encode(self, records: Sequence[msgspec.Struct], read_at: int) -> pa.Table | None:
        """The rows of decoded records; None when a number is out of its column's range."""
        count = len(records)
        found: dict[str, pa.Array] = {}
        for column in self._columns:
            array = _array(_values(records, self._getters[column.name]), column.type)
            if array is None:
                return None
            found[column.name] = array
        found["_cio_key"] = _joined([found[name] for name in self._key])
        found["_cio_synced_at"] = pa.repeat(pa.scalar(read_at * 1_000_000, pa.int64()), count).cast(TIMESTAMP)
        found["_cio_seen_only"] = pa.repeat(pa.scalar(value=False), count)
        return pa.table(
            [found[field.name] if field.name in found else pa.nulls(count, field.type) for field in self._schema],
            schema=self._schema,
        )

    def _struct(self, name: str, at: tuple[str, ...], objects: frozenset[tuple[str, ...]]) -> type[msgspec.Struct]:
        """A struct for the object at path `at`, and for each way to a column the attributes that lead there."""
        here = [column for column in self._columns if column.path[:-1] == at]
        inner = sorted(path for path in objects if path[:-1] == at and path)
        fields: list[tuple[str, Any, Any]] = []
        names: dict[str, str] = {}
        for number, column in enumerate(here):
            attribute = f"f{number}"
            default = _NULL if column.type is ColumnType.JSON else None
            fields.append((attribute, _ANNOTATIONS[column.type], default))
            names[attribute] = column.path[-1]
            self._getters[column.name] = (*(f"o_{_place(objects, at[: i + 1])}" for i in range(len(at))), attribute)
        for path in inner:
            attribute = f"o_{_place(objects, path)}"
            fields.append((attribute, self._struct(f"{name}_{attribute}", path, objects) | None, None))
            names[attribute] = path[-1]
        return msgspec.defstruct(name, fields, rename=names, forbid_unknown_fields=True, gc=False)


def _is_quick(column: Column) -> bool:
    return column.type in _ANNOTATIONS and not any(sign in step for step in column.path for sign in '\\"')


def _place(objects: frozenset[tuple[str, ...]], path: tuple[str, ...]) -> int:
    return sorted(objects).index(path)


def _follow(record: object, way: Sequence[str]) -> object:
    for attribute in way:
        if record is None:
            return None
        record = getattr(record, attribute)
    return record


def _values(records: Sequence[msgspec.Struct], way: Sequence[str]) -> list[Any]:
    values: list[Any] = list(records)
    for attribute in way:
        values = [None if value is None else getattr(value, attribute) for value in values]
    return values


def _array(values: list[Any], kind: ColumnType) -> pa.Array | None:
    if kind is ColumnType.JSON:
        texts = [None if value is None else str(value, "utf-8") for value in values]
        return pa.array([None if text == "null" else text for text in texts], pa.string())
    if kind is ColumnType.STRING:
        return pa.array(values, pa.string())
    if kind is ColumnType.BOOLEAN:
        return pa.array(values, pa.bool_())
    try:
        numbers = pa.array(values, pa.int64())
    except (OverflowError, pa.ArrowInvalid):
        return None
    if kind is ColumnType.INTEGER:
        return numbers
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is not None and (bounds["min"] not in SECONDS or bounds["max"] not in SECONDS):
        return None
    return pc.multiply(numbers, 1_000_000).cast(TIMESTAMP)


def _joined(keys: Sequence[pa.Array]) -> pa.Array:
    texts = [key.cast(pa.string()) for key in keys]
    return texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "|")
