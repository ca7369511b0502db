"""Values of a workspace that would give a row away, to be looked for where they must not be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator

SHORTEST = 6
OWN_WORDS = {
    *(table.name for table in TABLES),
    *(column.name for table in TABLES for column in table.columns),
    *(step for table in TABLES for column in table.columns for step in column.path),
}


def values_of(simulator: Simulator, tables: tuple[str, ...]) -> set[str]:
    """Texts and long numbers of all rows: names, addresses, subjects, bodies, ids; not single words of our own."""
    found: set[str] = set()
    for table in tables:
        for raw in simulator.workspace.truth(table):
            found.update(_texts(json.loads(bytes(raw))))
    return {one for one in found if len(one) >= SHORTEST and one not in OWN_WORDS and not _is_plain(one)}


def found_in(traffic: str, values: set[str]) -> set[str]:
    """The values that occur there, as they are or as JSON writes them."""
    return {one for one in values if one in traffic or json.dumps(one)[1:-1] in traffic}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)


def _is_plain(text: str) -> bool:
    """A word of lower case, such as a state, which may stand in anybody's sentence; or a moment in seconds."""
    return re.fullmatch(r"[a-z_]+|1[4-9]\d{8}", text) is not None
