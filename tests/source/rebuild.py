"""From a row back to the record it came from: the proof that nothing was lost on the way into columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cio_replicate.schema.table import Column, ColumnType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(row: dict[str, Any], columns: tuple[Column, ...]) -> dict[str, Any]:
    """The record whose values a row holds: those of its columns, overruled by those kept in `_cio_extra`."""
    record: dict[str, Any] = {}
    for column in columns:
        value = row.get(column.name)
        if value is None:
            continue
        if column.type is ColumnType.TIMESTAMP:
            value = (value - EPOCH) // timedelta(seconds=1)
        if column.type is ColumnType.JSON:
            value = json.loads(value)
        at = record
        for step in column.path[:-1]:
            at = at.setdefault(step, {})
        at[column.path[-1]] = value
    return dict(overruled(record, json.loads(row["_cio_extra"] or "{}")))


def overruled(record: Any, extra: Any) -> Any:
    """`record` with the values of `extra` in their places."""
    if isinstance(record, dict) and isinstance(extra, dict):
        return {name: overruled(record.get(name), extra.get(name, record.get(name))) for name in record | extra}
    return extra


def without_nothing(record: Any, objects: frozenset[tuple[str, ...]], at: tuple[str, ...] = ()) -> Any:
    """`record` without nulls and without flattened objects that hold nothing, of which a row tells no difference."""
    kept = {}
    for name, value in record.items():
        path = (*at, name)
        whole = without_nothing(value, objects, path) if path in objects and isinstance(value, dict) else value
        if whole is not None and not (path in objects and whole == {}):
            kept[name] = whole
    return kept
