"""Made-up records: such as the API's schemas allow, and such as they do not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from customerio_simulator.schemas import record_schema

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INTEGER = st.integers(-(2**70), 2**70) | st.integers(0, 2_000_000_000)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ANY = st.recursive(
    st.none() | st.booleans() | INTEGER | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def allowed(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a record schema allows: optional fields may be missing, nullable ones null."""
    match schema.get("type"):
        case "object":
            properties = {name: allowed(inner) for name, inner in schema.get("properties", {}).items()}
            required = {name: properties.pop(name) for name in schema.get("required", ()) if name in properties}
            fixed = st.fixed_dictionaries(required, optional=properties)
            more = schema.get("additionalProperties") or (not properties and not required)
            value: st.SearchStrategy[Any] = (
                st.builds(lambda free, known: {**free, **known}, st.dictionaries(TEXT, ANY, max_size=3), fixed)
                if more
                else fixed
            )
        case "array":
            value = st.lists(allowed(schema.get("items", {})), max_size=3)
        case "integer":
            value = st.integers(0, 4_000_000_000)
        case "number":
            value = NUMBER
        case "boolean":
            value = st.booleans()
        case "string":
            value = st.sampled_from(schema["enum"]) if "enum" in schema else TEXT
        case _:
            value = ANY
    return value | st.none() if schema.get("nullable") else value


def records(table: str) -> st.SearchStrategy[Any]:
    """Records that the schema of a table allows."""
    return allowed(record_schema(table))


def drifted(table: str) -> st.SearchStrategy[Any]:
    """Records of a table in which any field may hold anything, and fields that no schema knows appear."""
    names = list(record_schema(table).get("properties", {"id": {}}))
    known = st.dictionaries(st.sampled_from(names), ANY, max_size=6)
    cased = st.sampled_from(names).map(str.swapcase)
    system = st.sampled_from(["_cio_key", "_cio_extra", "filename", "file_row_number", "metrics__sent", ""])
    unknown = st.dictionaries(TEXT | cased | system, ANY, max_size=4)
    return st.builds(lambda base, wrong, new: {**base, **new, **wrong}, records(table), known, unknown)


def text_of(value: Any) -> bytes:
    """The JSON of a made-up record."""
    return json.dumps(value, ensure_ascii=False).encode()
