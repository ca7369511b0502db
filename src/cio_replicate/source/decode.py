"""Decode records to Arrow rows: an exact decoder, a careful one that loses nothing, and chunks of pages."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cio_replicate.base.errors import PageShapeError, SchemaChangedError
from cio_replicate.config.table_options import SchemaChanges
from cio_replicate.schema.table import (
    LONGEST_NAME,
    MOST_DISCOVERED,
    TIMESTAMP,
    Column,
    ColumnType,
    KnownColumns,
    Table,
    arrow_type,
    schema_of,
)
from cio_replicate.source.pages import Cursor, Page
from cio_replicate.source.redact import Redactor
from cio_replicate.source.strategies.base import PageContent, Partition, ReadStats, slice_of

# One raw JSON value against one column type: what the column holds, and whether that is the whole value.


INT64 = range(-(2**63), 2**63)
# the years 1 to 9999, which every destination and every client language can show
SECONDS = range(-62_135_596_800, 253_402_300_800)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LONGEST_INTEGER = 20


class ConvertedValue(NamedTuple):
    """What a column holds of a value. When not `whole`, the value as received belongs into `_cio_extra` as well.

    Timestamps are microseconds since 1970.
    """

    value: Any
    whole: bool


NOTHING = ConvertedValue(None, whole=True)
MISFIT = ConvertedValue(None, whole=False)


def fit(raw: msgspec.Raw | bytes, kind: ColumnType) -> ConvertedValue:
    """`raw` as a value of a column of this type.

    A value of another JSON type that means the same ("7" or 7.0 for 7, 7 for "7", an ISO 8601 time with its offset)
    fills the column and is kept as received besides; anything else is only kept as received. `null` is nothing.
    """
    text = str(raw, "utf-8").strip()
    if text == "null":
        return NOTHING
    if kind is ColumnType.JSON:
        return ConvertedValue(str(raw, "utf-8"), whole=True)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError):
        return MISFIT
    match kind:
        case ColumnType.STRING:
            return _string(value, text)
        case ColumnType.INTEGER:
            return _integer(value)
        case ColumnType.NUMBER:
            return _number(value, text)
        case ColumnType.BOOLEAN:
            return ConvertedValue(value, whole=True) if isinstance(value, bool) else MISFIT
        case ColumnType.TIMESTAMP:
            return _timestamp(value)


def kind_of(raw: msgspec.Raw | bytes) -> ColumnType:
    """The column type that holds this value whole."""
    for kind in (ColumnType.BOOLEAN, ColumnType.STRING, ColumnType.INTEGER, ColumnType.NUMBER):
        if fit(raw, kind).whole:
            return kind
    return ColumnType.JSON


def _string(value: object, text: str) -> ConvertedValue:
    if isinstance(value, str):
        return ConvertedValue(value, whole=True)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ConvertedValue(text, whole=False)
    return MISFIT


def _integer(value: object) -> ConvertedValue:
    if isinstance(value, bool):
        return MISFIT
    if isinstance(value, int):
        return ConvertedValue(value, whole=True) if value in INT64 else MISFIT
    same = _same_integer(value)
    return MISFIT if same is None else ConvertedValue(same, whole=False)


def _same_integer(value: object) -> int | None:
    """The 64-bit integer that a float or a text is, written the only way; None for all else."""
    number: int | None = None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        number = int(value)
    if isinstance(value, str) and len(value) <= LONGEST_INTEGER and value.isascii() and value.lstrip("-").isdigit():
        number = int(value) if str(int(value)) == value else None
    return number if number is not None and number in INT64 else None


def _number(value: object, text: str) -> ConvertedValue:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return MISFIT
    try:
        number = float(value)
    except OverflowError:
        return MISFIT
    try:
        return ConvertedValue(number, whole=Decimal(text) == Decimal(repr(number)))
    except ArithmeticError:  # an exponent beyond even what a decimal can hold
        return MISFIT


def _timestamp(value: object) -> ConvertedValue:
    fitted = _integer(value)
    if fitted.value is not None:
        return ConvertedValue(fitted.value * 1_000_000, fitted.whole) if fitted.value in SECONDS else MISFIT
    if isinstance(value, float) and SECONDS.start <= value < SECONDS.stop:
        return ConvertedValue(round(value * 1_000_000), whole=False)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return MISFIT
        if moment.tzinfo is not None and (since := (moment - EPOCH) // MICROSECOND) // 1_000_000 in SECONDS:
            return ConvertedValue(since, whole=False)
    return MISFIT


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


# Reads from a page when its records happened, without a look at anything else in them.


def times_reader(table: Table) -> Callable[[Page], list[int]]:
    """A function that gives the unix seconds of all records of a page in the table's start date column, in order.

    It gives nothing when a record has no such integer, or the table no such column.
    """
    name = table.column(table.start_date_column).path[-1] if table.start_date_column else None
    if name is None:
        return lambda _page: []
    at = attrgetter("at")
    decode = msgspec.json.Decoder(msgspec.defstruct("Dated", [("at", int)], rename={"at": name}, gc=False)).decode

    def times(page: Page) -> list[int]:
        try:
            return [at(decode(item)) for item in page.items]
        except msgspec.DecodeError:
            return []

    return times


MOST_NAMED, OTHERS = 50, "…"  # new fields that are counted one by one, and all that come after them


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one API response, with the cursor that its partition has once they are durable.

    `rows` are in the table's columns and the system columns. `stats` is what this response adds to the counters of its
    read. `columns` were found in it. `oldest` is the earliest moment among the rows, in unix seconds, if the table has
    one.
    """

    partition: Partition
    rows: pa.Table
    cursor: Cursor
    partitions: Sequence[Partition]
    stats: ReadStats
    columns: Sequence[Column]
    oldest: int | None


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

    def decode(self, part: Partition, page: PageContent, cursor: Cursor, at: int) -> Chunk:
        """Return the rows of a page that was read `at` (unix seconds) and is followed by the page at `cursor`."""
        known = len(self._fields.discovered)
        records = self._redactor.apply(self._shaped(part, page.records))
        only_seen = self._redactor.apply(page.seen)
        encoded = self._encoder.encode(records.records, at)
        rows = self._before_start(encoded.table)
        if page.seen:
            others = self._encoder.encode(only_seen.records, at).table
            index = others.schema.get_field_index("_cio_seen_only")
            others = others.set_column(index, "_cio_seen_only", pa.repeat(pa.scalar(value=True), len(others)))
            rows = pa.concat_tables([rows, others], promote_options="default")
        earliest, latest = self._bounds(encoded.table)
        stats = ReadStats(
            rows=len(page.records),
            seen=len(page.seen),
            misfits=encoded.misfits,
            left_out=page.left_out,
            withheld=records.withheld,
            ignored=_by_name(encoded.ignored),
            latest=latest,
            earliest=earliest,
        )
        return Chunk(part, rows, cursor, page.more, stats, self._fields.discovered[known:], earliest)

    def _shaped(self, part: Partition, records: Sequence[bytes | msgspec.Raw]) -> Sequence[bytes | msgspec.Raw]:
        shape = self._table.shape
        if shape is None:
            return records
        declared = slice_of(self._table, part)
        return [shape(msgspec.Raw(record), declared) for record in records]

    def _before_start(self, table: pa.Table) -> pa.Table:
        """Mark the rows before the start date as only seen; a row without that date is kept.

        A date of 1970 or before is none either: 0 stands for "never" in more than one list.
        """
        name = self._table.start_date_column
        if name is None:
            return table
        start = pa.scalar(self._start * 1_000_000, pa.int64()).cast(table.schema.field(name).type)
        never = pa.scalar(0, pa.int64()).cast(start.type)
        early = pc.and_(pc.less(table[name], start), pc.greater(table[name], never))
        early = pc.fill_null(early, fill_value=False)
        index = table.schema.get_field_index("_cio_seen_only")
        return table.set_column(index, "_cio_seen_only", early)

    def _bounds(self, table: pa.Table) -> tuple[int | None, int | None]:
        """The earliest and the latest moment of the rows, in unix seconds."""
        if self._column is None:
            return None, None
        bounds = pc.min_max(table[self._column].cast(pa.int64())).as_py()
        if bounds["max"] is None:
            return None, None
        return bounds["min"] // 1_000_000, bounds["max"] // 1_000_000


def _by_name(ignored: Mapping[tuple[str, ...], int]) -> dict[str, int]:
    """The counts of new fields by their dotted names, as long as names of columns may be."""
    counts: dict[str, int] = {}
    for path, count in ignored.items():
        name = ".".join(path)[:LONGEST_NAME]
        counts[name] = counts.get(name, 0) + count
    return counts


def add_stats(total: ReadStats, more: ReadStats) -> None:
    """Add what a chunk counted to the counters of its read; new fields beyond the first fifty are counted as one."""
    total.rows += more.rows
    total.seen += more.seen
    total.misfits += more.misfits
    total.left_out += more.left_out
    total.withheld += more.withheld
    for path, count in more.ignored.items():
        name = path if path in total.ignored or len(total.ignored) < MOST_NAMED else OTHERS
        total.ignored[name] = total.ignored.get(name, 0) + count
    if more.latest is not None:
        total.latest = more.latest if total.latest is None else max(total.latest, more.latest)
    if more.earliest is not None:
        total.earliest = more.earliest if total.earliest is None else min(total.earliest, more.earliest)
