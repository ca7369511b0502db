"""Record schemas of the served tables, as the API's specification publishes them."""

from __future__ import annotations

import copy
from functools import cache
from importlib import resources
from typing import Any

import msgspec

_FILE = "schemas.json"


class UnknownTableError(LookupError):
    """There is no table of that name."""


@cache
def _bundled() -> bytes:
    return resources.files(__package__).joinpath(_FILE).read_bytes()


def _entries() -> dict[str, dict[str, Any]]:
    return msgspec.json.decode(_bundled(), type=dict[str, dict[str, Any]])


def _entry(table: str) -> dict[str, Any]:
    entries = _entries()
    if table not in entries:
        raise UnknownTableError(table)
    return entries[table]


def schema_tables() -> tuple[str, ...]:
    """Names that `record_schema` knows: the tables served, and the child records beside them."""
    return tuple(_entries())


def record_schema(table: str) -> dict[str, Any]:
    """JSON-Schema-like description of one record of the table (spec): `type`, `properties`, `nullable`, `enum`.

    Fields that official examples hold null in are `nullable` even where the specification forgot it. Every call
    gives a fresh copy.
    """
    return copy.deepcopy(_entry(table)["record"])


def extra_fields_seen(table: str) -> list[dict[str, str]]:
    """Undocumented fields observed on the table's records: `name`, `type` and where it was `seen`."""
    return copy.deepcopy(_entry(table)["extra_fields_seen"])
