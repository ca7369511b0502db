"""Records become Arrow rows: a fast lane for those that fit the table, a careful one that loses nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from cio_replicate.base.errors import PageShapeError
from cio_replicate.extract.lane import FastLane
from cio_replicate.extract.values import fit, kind_of
from cio_replicate.tables.arrow import schema_of
from cio_replicate.tables.declare import Column, ColumnType
from cio_replicate.tables.fields import Fields

_FRACTION = re.compile(r"\.0+$")

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one page, one per record. `misfits` counts the values that `_cio_extra` keeps."""

    table: pa.Table
    misfits: int


class RowEncoder:
    """Turns the records of one table into rows. Not safe for two threads at once: it may discover columns."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._objects = fields.table.objects
        self._lane = FastLane(fields.table, fields.all)

    def encode(self, records: Sequence[bytes | msgspec.Raw], read_at: int) -> Rows:
        """One row per record, with every value of it: in its column, or in `_cio_extra` as received, or both.

        `read_at` (unix seconds) becomes `_cio_synced_at`. Rows that took the careful lane come last. Raises
        PageShapeError for a record that is not a JSON object.
        """
        quick, odd = self._lane.split(records)
        tables = []
        if quick:
            table = self._lane.encode(quick, read_at)
            if table is None:  # a number too large for its column somewhere: nobody knows where, so look at each
                odd = list(records)
            else:
                tables.append(table)
        misfits = 0
        if odd:
            known = len(self._fields.discovered)
            table, misfits = self._carefully(odd, read_at)
            tables.append(table)
            if len(self._fields.discovered) > known:
                self._lane = FastLane(self._fields.table, self._fields.all)
        if not tables:
            return Rows(schema_of(self._fields.all).empty_table(), misfits)
        return Rows(pa.concat_tables(tables, promote_options="default").combine_chunks(), misfits)

    def _carefully(self, records: Sequence[bytes | msgspec.Raw], read_at: int) -> tuple[pa.Table, int]:
        rows, misfits = [], 0
        for raw in records:
            try:
                record = _record.decode(raw)
            except msgspec.ValidationError:
                raise PageShapeError("A list holds something that is not a record.") from None
            row: dict[str, Any] = {}
            extra, count = self._place(record, (), row)
            row["_cio_key"] = key_text(record, self._fields.table.key) or "#" + hashlib.sha256(raw).hexdigest()[:32]
            row["_cio_extra"] = msgspec.json.encode(extra).decode() if extra else None
            rows.append(row)
            misfits += count
        return _assemble(rows, self._fields.all, read_at), misfits

    def _place(
        self, record: Mapping[str, msgspec.Raw], at: tuple[str, ...], row: dict[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """Fill `row` from the object at path `at`; return what must be kept besides, and how many values that is."""
        extra: dict[str, Any] = {}
        misfits = 0
        for name, raw in record.items():
            text = bytes(raw).strip()
            if text == b"null":
                continue
            path = (*at, name)
            if text[:1] == b"{" and path in self._objects:
                inner, count = self._place(_record.decode(raw), path, row)
                misfits += count
                if inner:
                    extra[name] = inner
                continue
            column = self._column_for(path, raw)
            fitted = fit(raw, column.type) if column is not None else None
            if column is not None and fitted is not None:
                row[column.name] = fitted.value
            if fitted is None or not fitted.whole:
                extra[name] = raw
                misfits += 1
        return extra, misfits

    def _column_for(self, path: tuple[str, ...], raw: msgspec.Raw) -> Column | None:
        column = self._fields.at(path)
        if column is None and path not in self._objects:
            column = self._fields.discover(path, kind_of(raw))
        return column


def key_text(record: Mapping[str, msgspec.Raw], key: Iterable[str]) -> str:
    """The key of a record as text, or "" when it has none; 7, "7" and 7.0 are one key, since lists differ (live)."""
    parts = []
    for name in key:
        fitted = fit(record[name], ColumnType.STRING) if name in record else None
        if fitted is None or fitted.value is None or fitted.value == "":
            return ""
        parts.append(_FRACTION.sub("", fitted.value) if not fitted.whole else fitted.value)
    return "|".join(parts)


def _assemble(rows: list[dict[str, Any]], columns: Sequence[Column], read_at: int) -> pa.Table:
    schema = schema_of(columns)
    system = {"_cio_synced_at": [read_at * 1_000_000] * len(rows), "_cio_seen_only": [False] * len(rows)}
    arrays = []
    for field in schema:
        values = system.get(field.name) or [row.get(field.name) for row in rows]
        storage = pa.int64() if pa.types.is_timestamp(field.type) else field.type
        array = pa.array(values, storage)
        arrays.append(array if storage == field.type else array.cast(field.type))
    return pa.table(arrays, schema=schema)
