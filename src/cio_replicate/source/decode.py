"""Records become Arrow rows: a fast lane for those that fit the table, a careful one that loses nothing."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa

from cio_replicate.base.errors import PageShapeError, SchemaChangedError
from cio_replicate.config.schema_changes import SchemaChanges
from cio_replicate.schema.arrow import schema_of
from cio_replicate.schema.fields import MOST_DISCOVERED, KnownColumns
from cio_replicate.schema.table import Column, ColumnType
from cio_replicate.source.lane import ExactDecoder
from cio_replicate.source.values import fit, kind_of

LONGEST_SHOWN = 60
_FRACTION = re.compile(r"\.0+$")

_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class DecodedRows:
    """Rows of one page, one per record. `misfits` counts the values that `_cio_extra` keeps.

    `ignored` counts the values of fields that the table does not know and that its policy leaves out, by path.
    """

    table: pa.Table
    misfits: int
    ignored: Counter[tuple[str, ...]] = field(default_factory=Counter)


class RowEncoder:
    """Turns the records of one table into rows. Not safe for two threads at once: it may discover columns."""

    def __init__(self, fields: KnownColumns) -> None:
        self._fields = fields
        self._objects = fields.table.objects
        self._policy = fields.table.schema_changes
        self._ignored: Counter[tuple[str, ...]] = Counter()  # of the page under way
        self._known_ignored: dict[tuple[str, ...], None] = {}  # those that the fast lane passes by
        self._lane = ExactDecoder(fields.table, fields.all)

    def encode(self, records: Sequence[bytes | msgspec.Raw], read_at: int) -> DecodedRows:
        """One row per record, with every value of it: in its column, or in `_cio_extra` as received, or both.

        `read_at` (unix seconds) becomes `_cio_synced_at`. Rows that took the careful lane come last. Raises
        PageShapeError for a record that is not a JSON object, and SchemaChangedError for what the table does not know,
        if its policy is to freeze.
        """
        self._ignored = Counter()
        quick, odd = self._lane.split(records)
        tables = []
        if quick:
            table = self._lane.encode(quick, read_at, self._ignored)
            if table is None:  # a number too large for its column somewhere: nobody knows where, so look at each
                odd = list(records)
            else:
                tables.append(table)
        misfits = 0
        if odd:
            known = (self._fields.changes, len(self._known_ignored))
            table, misfits = self._carefully(odd, read_at)
            tables.append(table)
            if (self._fields.changes, len(self._known_ignored)) != known:
                self._lane = ExactDecoder(self._fields.table, self._fields.all, list(self._known_ignored))
        if not tables:
            return DecodedRows(schema_of(self._fields.all).empty_table(), misfits, self._ignored)
        return DecodedRows(pa.concat_tables(tables, promote_options="default").combine_chunks(), misfits, self._ignored)

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
            column = self._fields.at(path)
            if column is None and path not in self._objects:
                if self._policy is SchemaChanges.IGNORE:
                    self._ignore(path)
                    continue
                column = self._new(path, raw)
            fitted = fit(raw, column.type) if column is not None else None
            if self._policy is SchemaChanges.FREEZE and (fitted is None or fitted.value is None):
                raise _changed(self._fields.table.name, path, "has a value of a type that its column does not take")
            if column is not None and fitted is not None:
                row[column.name] = fitted.value
            if fitted is None or not fitted.whole:
                extra[name] = raw
                misfits += 1
        return extra, misfits

    def _new(self, path: tuple[str, ...], raw: msgspec.Raw) -> Column | None:
        if self._policy is SchemaChanges.FREEZE:
            raise _changed(self._fields.table.name, path, "is new")
        return self._fields.discover(path, kind_of(raw))

    def _ignore(self, path: tuple[str, ...]) -> None:
        self._ignored[path] += 1
        if len(self._known_ignored) < MOST_DISCOVERED:
            self._known_ignored[path] = None


def _changed(table: str, path: tuple[str, ...], what: str) -> SchemaChangedError:
    shown = ".".join(path)
    shown = shown if len(shown) <= LONGEST_SHOWN else shown[:LONGEST_SHOWN] + "…"
    return SchemaChangedError(
        f"The field {shown!r} of {table} {what}, and the schema is frozen.",
        f"Let it in by --schema-changes {table}=evolve, or leave new fields out by {table}=ignore.",
    )


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
    for one in schema:
        values = system.get(one.name) or [row.get(one.name) for row in rows]
        storage = pa.int64() if pa.types.is_timestamp(one.type) else one.type
        array = pa.array(values, storage)
        arrays.append(array if storage == one.type else array.cast(one.type))
    return pa.table(arrays, schema=schema)
