"""Decode records to Arrow rows: an exact decoder, a careful one that loses nothing, and whole pages."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.base.errors import SchemaChangedError
from cio_replicate.config.table_options import SchemaChanges
from cio_replicate.schema.table import (
    LONGEST_NAME,
    MOST_DISCOVERED,
    TIMESTAMP,
    Column,
    ColumnType,
    DeclaredPartition,
    KnownColumns,
    Table,
    arrow_type,
    schema_of,
)
from cio_replicate.source.redact import Redactor
from cio_replicate.source.strategies.base import PageContent, ReadStats
from cio_replicate.source.values import SECONDS, fit, key_text, kind_of, record_of

# The fast lane: records that fit the table exactly are decoded by a compiled decoder, column by column.


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
        self._page_decoder = msgspec.json.Decoder(list[self._shape.record])  # type: ignore[name-defined]
        self._key = table.key_columns
        self._key_attributes = [f"f{self._shape.columns.index(name)}" for name in self._key]

    def split(self, records: Sequence[bytes | msgspec.Raw]) -> tuple[list[msgspec.Struct], list[bytes | msgspec.Raw]]:
        """The decoded records that fit, and the raw ones that do not (or that lack their key)."""
        quick, taken, odd = self._decoded(records)
        for attribute in self._key_attributes:
            keys = [getattr(record, attribute) for record in quick]
            if None in keys or "" in keys:
                odd += [raw for raw, key in zip(taken, keys, strict=True) if key is None or key == ""]
                kept = [number for number, key in enumerate(keys) if key is not None and key != ""]
                quick, taken = [quick[number] for number in kept], [taken[number] for number in kept]
        return quick, odd

    def _decoded(
        self, records: Sequence[bytes | msgspec.Raw]
    ) -> tuple[list[msgspec.Struct], list[bytes | msgspec.Raw], list[bytes | msgspec.Raw]]:
        """The decoded records, what they were decoded from, and the raw ones that do not fit."""
        try:  # all at once, which takes half the time, and is enough for nearly every page
            return self._page_decoder.decode(b"[%b]" % b",".join(records)), list(records), []
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        quick: list[msgspec.Struct] = []
        taken: list[bytes | msgspec.Raw] = []
        odd: list[bytes | msgspec.Raw] = []
        for raw in records:
            try:
                quick.append(self._decoder.decode(raw))
                taken.append(raw)
            except (msgspec.ValidationError, UnicodeDecodeError):
                odd.append(raw)
        return quick, taken, odd

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
        found["_cio_synced_at"] = pa.repeat(pa.scalar(read_at * 1_000_000, TIMESTAMP), count)
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


LONGEST_SHOWN = 60


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
        rows = tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="default")
        return DecodedRows(rows.combine_chunks(), misfits, self._ignored)

    def _carefully(self, records: Sequence[bytes | msgspec.Raw], read_at: int) -> tuple[pa.Table, int]:
        rows, misfits = [], 0
        for raw in records:
            record = record_of(raw)
            row: dict[str, Any] = {}
            extra, count = self._place(record, (), row)
            row["_cio_key"] = key_text(record, self._fields.table.key) or "#" + hashlib.sha256(raw).hexdigest()[:32]
            row["_cio_extra"] = msgspec.json.encode(extra).decode() if extra else None
            row["_cio_synced_at"] = read_at * 1_000_000
            rows.append(row)
            misfits += count
        return pa.Table.from_pylist(rows, schema=schema_of(self._fields.all)), misfits

    def _place(
        self, record: Mapping[str, msgspec.Raw], at: tuple[str, ...], row: dict[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """Fill `row` from the object at path `at`; return what `_cio_extra` must hold, and how many values that is."""
        extra: dict[str, Any] = {}
        misfits = 0
        for name, raw in record.items():
            text = bytes(raw).strip()
            if text == b"null":
                continue
            path = (*at, name)
            if text[:1] == b"{" and path in self._objects:
                inner, count = self._place(record_of(raw), path, row)
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
        f"Let it in by ‹schema_changes› {table}=evolve, or leave new fields out by {table}=ignore.",
    )


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """The rows of one page in the table's columns and the system columns, and the keys of records that are only seen.

    `stats` is what the page adds to the counters of its read. `columns` were found in it.
    """

    rows: pa.RecordBatch
    seen: pa.Array
    stats: ReadStats
    columns: Sequence[Column]


class RowDecoder:
    """Turns the content of pages of one table into rows: shapes, redacts and encodes their records.

    No value that the table's rules take away is in a chunk. `start` is the start date, in unix seconds.
    """

    def __init__(self, table: Table, fields: KnownColumns, start: int) -> None:
        self._table = table
        self._fields = fields
        self._start = start
        self._encoder = RowEncoder(fields)
        self._redactor = Redactor(table)
        self._column = table.replication_key or table.start_date_column

    def decode(self, content: PageContent, declared: DeclaredPartition, at: int) -> DecodedPage:
        """Return the rows of a page that was read `at` (unix seconds) in a partition that is declared so."""
        known = len(self._fields.discovered)
        shape = self._table.shape
        shaped = content.records if shape is None else [shape(msgspec.Raw(one), declared) for one in content.records]
        records, withheld = self._redactor.apply(shaped)
        only_seen, _ = self._redactor.apply(content.seen)
        encoded = self._encoder.encode(records, at)
        rows, early = self._since_start(encoded.table)
        seen = [early] if len(early) else []
        if content.seen:
            seen.append(self._encoder.encode(only_seen, at).table["_cio_key"].combine_chunks())
        earliest, latest = _bounds(encoded.table[self._column]) if self._column else (None, None)
        stats = ReadStats(
            rows=len(content.records),
            seen=len(content.seen),
            misfits=encoded.misfits,
            left_out=content.left_out,
            withheld=withheld,
            ignored=_by_name(encoded.ignored),
            latest=latest,
            earliest=earliest,
        )
        keys = pa.concat_arrays(seen) if seen else _NO_KEYS
        return DecodedPage(_one_batch(rows), keys, stats, tuple(self._fields.discovered[known:]))

    def _since_start(self, table: pa.Table) -> tuple[pa.Table, pa.Array]:
        """The rows since the start date, and the keys of those before it; a row without that date is kept.

        A date of 1970 or before is none either: 0 stands for "never" in more than one list.
        """
        name = self._table.start_date_column
        if name is None:
            return table, _NO_KEYS
        earliest, _ = _bounds(table[name])
        if earliest is None or earliest >= self._start:
            return table, _NO_KEYS
        start, never = (pa.scalar(one * 1_000_000, table.schema.field(name).type) for one in (self._start, 0))
        early = pc.fill_null(pc.and_(pc.less(table[name], start), pc.greater(table[name], never)), fill_value=False)
        return table.filter(pc.invert(early)), table["_cio_key"].filter(early).combine_chunks()


def _bounds(moments: pa.ChunkedArray) -> tuple[int | None, int | None]:
    """The earliest and the latest of timestamps, in unix seconds; None when there is none."""
    bounds = pc.min_max(moments.cast(pa.int64()))
    earliest, latest = bounds["min"].as_py(), bounds["max"].as_py()
    return (None, None) if latest is None else (earliest // 1_000_000, latest // 1_000_000)


def _by_name(ignored: Mapping[tuple[str, ...], int]) -> dict[str, int]:
    """The counts of new fields by their dotted names, as long as names of columns may be."""
    counts: dict[str, int] = {}
    for path, count in ignored.items():
        name = ".".join(path)[:LONGEST_NAME]
        counts[name] = counts.get(name, 0) + count
    return counts


_NO_KEYS = pa.array([], pa.string())


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
