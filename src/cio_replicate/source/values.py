"""Convert raw JSON values: to what a column holds, to the text of a key, to the times of a page's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from cio_replicate.base.errors import PageShapeError
from cio_replicate.schema.table import ColumnType, Table
from cio_replicate.source.pages import Page

INT64 = range(-(2**63), 2**63)
# the years 1 to 9999, which every destination and every client language can show
SECONDS = range(-62_135_596_800, 253_402_300_800)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LONGEST_INTEGER = 20
_FRACTION = re.compile(r"\.0+$")
_record = msgspec.json.Decoder(dict[str, msgspec.Raw])


def record_of(item: msgspec.Raw | bytes, of: str = "A list") -> dict[str, msgspec.Raw]:
    """The fields of an item of a list, which is named in the PageShapeError for one that is not an object."""
    try:
        return _record.decode(item)
    except msgspec.ValidationError:
        raise PageShapeError(f"{of} holds something that is not a record.") from None


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


def key_text(record: Mapping[str, msgspec.Raw], key: Iterable[str]) -> str:
    """The key of a record as text, or "" when it has none; 7, "7" and 7.0 are one key, since lists differ (live)."""
    parts = []
    for name in key:
        fitted = fit(record[name], ColumnType.STRING) if name in record else None
        if fitted is None or fitted.value is None or fitted.value == "":
            return ""
        parts.append(_FRACTION.sub("", fitted.value) if not fitted.whole else fitted.value)
    return "|".join(parts)


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
