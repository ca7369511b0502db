"""Values and names that try to break a destination arrive as they were sent."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_replicate.sinks.port import Changes
from tests.sinks.copies import COPIES, Copy, tried
from tests.sinks.pages import Pages

TEXTS = [
    "", " ", "\x00", "a\x00b", "\t\n\r\x1f\x7f",
    "😀👩‍👩‍👧", "é", "e\u0301", "\ufeffx", "\u2028", "\U0010ffff", "\ufffe",
    "'", "''", '"', "\\", "\\u0000", "'; DROP TABLE x; --", "$1", "?", "%s", "NULL", "null", "NaN", "-", "30e00001",
    "0001", "1.0", "true", "2024-01-31", "{}", "[1", "a,b", "مرحبا", "İıſß", "x" * 1_000_000, "\x00" * 1000,
]  # fmt: skip
NUMBERS = [0, -1, 2**63 - 1, -(2**63), 2**53 + 1, 10**15]
NAMES = [
    'a"b', "a'b", "a b", "a.b", "a;b", "--", "/*", "?", "$1", "%s", "select", "table", "order", "ünï", "e\u0301", "é",
    "😀", "مرحبا", "t", "s", "staged", "landed", "number",
    "filename", "Filename2", "rowid", "merge_action", "row_number",
    "key", "count", "x" * 100, "1", "-1", "{}", "a__b", "metrics", "\\", "current_date", "ctid", "oid",
]  # fmt: skip
JSON_TEXTS = [
    "1", "-0", "-0.0", "1.0", "1e400", "-1e-400", "123456789012345678901234567890",
    "0." + "1" * 400, "1" * 5000, "1E+2",
    '""', '"\\u0000"', '"\\ud83d\\ude00"', '"\\/"', '"\\b\\f\\n\\r\\t\\u001f"', '"\x7f\u2028\ufeff"', '"null"', "true",
    "[]", "{}", "[ 1 ,\t2 ]", '{"a":1,"a":2}', '{"A":1,"a":2}', '{"":{"":[]}}', '{"\\u0000":1}', '{"$.a[0]":"b"}',
    "[" * 500 + "]" * 500, '{"a":' * 400 + "1" + "}" * 400, '"' + "x" * 1_000_000 + '"', "[" + "1," * 5000 + "1]",
]  # fmt: skip


def _written(copy: Copy, pages: Pages, *records: bytes | dict[str, Any]) -> dict[str, dict[str, Any]]:
    batch = pages.batch(pages.land(*records))
    assert copy.write(batch) == Changes(inserted=len(records))
    assert copy.write(batch) == Changes()
    return copy.rows(pages.fields.table.name)


def whole(row: dict[str, Any], name: str) -> Any:
    """The value of a column: where its place cannot hold it, from `_cio_extra`."""
    return json.loads(row["_cio_extra"] or "{}").get(name, row[name])


def test_texts_arrive_to_the_letter(copy: Copy, pages: Pages) -> None:
    """No character is lost, folded, trimmed or taken for something else."""
    rows = _written(copy, pages, *({"id": number, "name": text} for number, text in enumerate(TEXTS)))
    assert [whole(rows[str(number)], "name") for number in range(len(TEXTS))] == TEXTS


def test_keys_arrive_to_the_letter(copy: Copy, tmp_path: Path) -> None:
    """Texts that some comparison takes for the same are different rows, and stay so when they come again."""
    pages = Pages(tmp_path / "snippets", "snippets")
    keys = [text for text in TEXTS if text and len(text) < 100] + ["É", "NULL ", "a", "A", "a\x00"]
    rows = _written(copy, pages, *({"name": key} for key in keys))
    assert {whole(row, "name") for row in rows.values()} == set(keys)


def test_numbers_arrive_exactly(copy: Copy, pages: Pages) -> None:
    """The bounds of 64 bits, and what a double would round."""
    rows = _written(copy, pages, *({"id": number, "whole": number} for number in NUMBERS))
    assert {row["whole"] for row in rows.values()} == set(NUMBERS)
    assert set(rows) == {str(number) for number in NUMBERS}


def test_columns_of_any_name(copy: Copy, pages: Pages) -> None:
    """Quotes, keywords, Unicode and the names that the statements themselves use are names like any other."""
    first = {"id": 1, **dict.fromkeys(NAMES, 1)}
    rows = _written(copy, pages, first, {"id": 2})
    names = {column.path[0]: column.name for column in pages.fields.discovered}
    extra = json.loads(rows["1"]["_cio_extra"] or "{}")
    for name in NAMES:
        assert 1 in (extra.get(name), rows["1"].get(names.get(name, ""), None))
    assert len(names) > len(NAMES) - 3
    assert copy.write(pages.batch(pages.land({**first, "merge_action": 2}))) == Changes(updated=1)


def test_json_in_a_column_of_any_name(copy: Copy, pages: Pages) -> None:
    """A JSON column whose name stands in the statements is still only a column."""
    names = ["t", "s", "select", 'a"b', "filename", "merge_action"]
    one: dict[str, object] = {name: {"_cio_key": [name]} for name in names}
    other: dict[str, object] = {name: [] for name in names}
    rows = _written(copy, pages, {"id": 1, **one}, {"id": 2, **other})
    assert {name: json.loads(rows["1"][name]) for name in names} == one


def test_json_arrives_to_the_letter(copy: Copy, tmp_path: Path) -> None:
    """A JSON column holds the text as received: huge numbers, doubled keys, odd escapes, deep nesting, spaces."""
    pages = Pages(tmp_path / "activities", "activities")
    records = [b'{"id":"%d","data":%b}' % (number, text.encode()) for number, text in enumerate(JSON_TEXTS)]
    rows = _written(copy, pages, *records)
    assert [rows[str(number)]["data"] for number in range(len(JSON_TEXTS))] == JSON_TEXTS


SPACE = st.sampled_from(["", "", " ", "\n", "\t "])
ESCAPE = st.sampled_from(["\\u0000", "\\ud83d\\ude00", "\\/", "\\\\", '\\"', "\\b", "\\uFFFF", "\\ud800", "\\x"])
STRING = st.lists(ESCAPE | st.text(max_size=3), max_size=4).map(lambda parts: '"' + "".join(parts) + '"')
DIGITS = st.text("0123456789", max_size=25)
NUMBER = st.builds("{}{}{}{}".format, st.sampled_from(["", "-"]), DIGITS, st.sampled_from(["", ".", ".0", ".5e3"]),
                   st.sampled_from(["", "e400", "E-7", "e+99999999999", "e"]))  # fmt: skip
LEAF = STRING | NUMBER | st.sampled_from(["true", "false", "null", "NaN", "Infinity", "", "tru"])


def _inside(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(st.builds("{}{}{}".format, SPACE, inner, SPACE), max_size=4)
    fields = st.lists(st.builds("{}:{}{}".format, STRING, SPACE, inner), max_size=4)
    nested = st.integers(1, 300).flatmap(lambda deep: inner.map(lambda one: "[" * deep + one + "]" * deep))
    return items.map(lambda all_: f"[{','.join(all_)}]") | fields.map(lambda all_: f"{{{','.join(all_)}}}") | nested


JSON = st.recursive(LEAF, _inside, max_leaves=12) | st.text(max_size=8)


@pytest.mark.parametrize("kind", tried(COPIES, "duckdb", "twin"))
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(JSON, min_size=5, max_size=40))
def test_whatever_reads_as_json_is_taken(kind: str, texts: list[str]) -> None:
    """No text that this program accepts as JSON is refused by the destination, and none is changed."""
    values = [text for text in texts if _reads(text)]
    with TemporaryDirectory() as folder:
        copy, pages = COPIES[kind](Path(folder)), Pages(Path(folder) / "pages", "activities")
        records = [b'{"id":"%d","data":%b}' % (number, text.encode()) for number, text in enumerate(values)]
        copy.write(pages.batch(pages.land(*records)))
        rows = copy.rows("activities")
    expected = [None if text.strip() == "null" else text.strip(" \t\r\n") for text in values]
    assert [rows[str(number)]["data"] for number in range(len(values))] == expected


def _reads(text: str) -> bool:
    try:
        msgspec.json.decode(text.encode(), type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
