"""Records as a later version of the API might send them: unknown fields, and known ones of another type."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

Fields = dict[str, msgspec.Raw]
_INTEGER = re.compile(rb"-?\d{1,18}")
_UNIX = range(1_000_000_000, 4_000_000_000)
_SAFE_DIGITS = re.compile(rb'"-?(?:0|[1-9]\d{0,17})"')


def drifted(record: bytes, what: str) -> bytes:
    """The record with `extra` fields, with changed `types`, or `both`; one that is no object stays as it is."""
    if not record.startswith(b"{"):
        return record
    fields = msgspec.json.decode(record, type=Fields)
    if what in {"types", "both"}:
        fields = {name: _retyped(bytes(value), position) for position, (name, value) in enumerate(fields.items())}
    if what in {"extra", "both"}:
        fields |= _unknown(next(iter(fields), "id"))
    return msgspec.json.encode(fields)


def _unknown(known: str) -> Fields:
    """Fields of every type, with names that need care in a database; one differs from a known one only by case."""
    added: dict[str, object] = {
        "new_text": "beta",
        "newInteger": 9_007_199_254_740_993,
        "new_float": 0.5,
        "new_flag": True,
        "new_object": {"a": {"b": [1, None]}},
        "new_array": [1, "two", None],
        "new_null": None,
        "select": "keyword",
        "order by": 1,
        'quo"ted': "x",
        "naïve_☕": "ü",
        known.swapcase(): "same name, other case",
    }
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in added.items()}


def _retyped(value: bytes, position: int) -> msgspec.Raw:
    """Integers become text and the reverse, times ISO text or floats, objects text, other scalars arrays.

    The first field stays: a record that loses its key is another fault.
    """
    if position == 0 or value == b"null":
        return msgspec.Raw(value)
    if _INTEGER.fullmatch(value):
        return msgspec.Raw(_retyped_integer(int(value), position))
    if _SAFE_DIGITS.fullmatch(value):
        return msgspec.Raw(value[1:-1])
    if value.startswith(b"{"):
        return msgspec.Raw(msgspec.json.encode(value.decode()))
    return msgspec.Raw(value if value.startswith(b"[") else b"[" + value + b"]")


def _retyped_integer(number: int, position: int) -> bytes:
    if number not in _UNIX:
        return b'"%d"' % number
    if position % 2:
        return msgspec.json.encode(datetime.fromtimestamp(number, UTC).isoformat())
    return b"%d.0" % number
