"""Records into rows, and nothing lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio_replicate.base.errors import PageShapeError
from cio_replicate.schema.table import MOST_DISCOVERED, KnownColumns
from cio_replicate.source.catalog import TABLES, table
from cio_replicate.source.decode import DecodedRows, RowEncoder
from tests.source.rebuild import record_of, without_nothing
from tests.source.records import drifted, records, text_of

OBJECT_TABLES = [one for one in TABLES if one.name != "ip_addresses"]


def _encode(name: str, *raw: bytes) -> tuple[list[dict[str, Any]], DecodedRows, KnownColumns]:
    fields = KnownColumns(table(name))
    rows = RowEncoder(fields).encode(raw, read_at=1_760_000_000)
    return rows.table.to_pylist(), rows, fields


def _message(**more: Any) -> bytes:
    return text_of({"id": "m1", "created": 1_700_000_000, **more})


@pytest.mark.parametrize("name", [one.name for one in OBJECT_TABLES])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_every_record_comes_back_whole(name: str, data: st.DataObject) -> None:
    """Whatever the API sends, allowed by its schemas or not, the record can be rebuilt from its row, value by value."""
    _comes_back_whole(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in OBJECT_TABLES])
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_very_many_records_come_back_whole(name: str, data: st.DataObject) -> None:
    """The same, ten times as often."""
    _comes_back_whole(name, data)


def _comes_back_whole(name: str, data: st.DataObject) -> None:
    made = data.draw(st.lists(records(name) | drifted(name), min_size=1, max_size=4))
    fields = KnownColumns(table(name))
    encoder = RowEncoder(fields)
    for batch in (made[:2], made[2:]):
        rows = encoder.encode([text_of(record) for record in batch], read_at=1_760_000_000).table.to_pylist()
        back = [record_of(row, fields.all) for row in rows]
        expected = [without_nothing(record, fields.table.objects) for record in batch]
        assert _sorted(back) == _sorted(expected)
        assert all(row["_cio_key"] for row in rows)


def _sorted(made: list[Any]) -> list[str]:
    return sorted(json.dumps(_by_value(one), sort_keys=True) for one in made)


def _by_value(value: Any) -> Any:
    """The value with whole numbers written one way: a column of numbers holds 1 as 1.0, which is the same number."""
    if isinstance(value, dict):
        return {name: _by_value(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_by_value(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53:
        return float(value)
    return value


def test_a_whole_number_in_a_column_of_others_is_the_same_number() -> None:
    """Its column was found with a fraction; nothing has to be kept beside it."""
    fields = KnownColumns(table("broadcasts"))
    rows = RowEncoder(fields).encode([b'{"0":0.5}', b'{"0":0}', b'{"0":9007199254740993}'], read_at=1).table.to_pylist()
    assert [row["_cio_extra"] for row in rows] == [None, None, '{"0":9007199254740993}']


@pytest.mark.parametrize("name", [one.name for one in OBJECT_TABLES])
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_what_the_schemas_allow_needs_no_extra(name: str, data: st.DataObject) -> None:
    """A record as specified has a column for each of its values."""
    made = data.draw(records(name))
    rows, encoded, _ = _encode(name, text_of(made))
    assert rows[0]["_cio_extra"] is None
    assert encoded.misfits == 0


def test_both_lanes_agree() -> None:
    """A record makes the same row whether it takes the fast lane or, for the sake of a neighbour, the careful one."""
    plain = {"id": "m1", "created": 1, "metrics": {"sent": 2, "secondary:delivered": 3}, "forgotten": True}
    (quick,), _, _ = _encode("messages", text_of(plain))
    careful, _, _ = _encode("messages", text_of(plain), text_of({**plain, "id": "m2", "campaign_id": 2**64}))
    assert quick == careful[0]


def test_a_large_page_keeps_each_value_in_its_row() -> None:
    """However many records come together, with whatever among them, each row holds what its record held."""
    made = [
        {
            "id": f"m{number}" if number % 97 else "",
            "created": 1_700_000_000 + number,
            "subject": f"s{number}" if number % 3 else None,
            "campaign_id": number if number % 5 else str(number),
            "customer_identifiers": {"email": f"{number}@example.com"} if number % 7 else None,
            "metrics": {"sent": number} if number % 2 else {"delivered": number, "new": number},
        }
        for number in range(1200)
    ]
    rows, encoded, fields = _encode("messages", *map(text_of, made))
    expected = [without_nothing(record, fields.table.objects) for record in made]
    assert _sorted([record_of(row, fields.all) for row in rows]) == _sorted(expected)
    assert encoded.table["created"].num_chunks == 1


def test_a_value_of_another_type_that_means_the_same_fills_the_column_and_is_kept() -> None:
    """IDs arrive as text in some lists and as numbers in others: the column is usable and the original not lost."""
    (row,), encoded, _ = _encode("messages", _message(campaign_id="12", action_id=7.0, customer_id=5))
    assert (row["campaign_id"], row["action_id"], row["customer_id"]) == (12, 7, "5")
    assert json.loads(row["_cio_extra"]) == {"campaign_id": "12", "action_id": 7.0, "customer_id": 5}
    assert encoded.misfits == 3


@pytest.mark.parametrize("value", ["abc", "007", "1e3", "", 2**63, -(2**63) - 1, 1.5, True, [1], {"a": 1}, "9" * 30])
def test_a_value_that_does_not_fit_is_kept_beside(value: Any) -> None:
    """What is no such number is not forced into its column."""
    (row,), _, _ = _encode("messages", _message(campaign_id=value))
    assert row["campaign_id"] is None
    assert json.loads(row["_cio_extra"]) == {"campaign_id": value}


@pytest.mark.parametrize("text", ["1e400", "123456789012345678901234567890", "1.0", "-0", '"\\u0000"', '{"A":1,"a":2}'])
def test_free_json_stays_as_received(text: str) -> None:
    """A JSON column holds the text that the API sent, to the letter."""
    raw = b'{"id":"a1","timestamp":1700000000,"data":' + text.encode() + b"}"
    (row,), _, _ = _encode("activities", raw)
    assert row["data"] == text


def test_an_iso_time_and_a_fraction_are_times() -> None:
    """A timestamp that arrives in another notation is still that moment."""
    (row, other), _, _ = _encode(
        "messages", _message(created="2023-11-14T22:13:20Z"), _message(id="m2", created=1_700_000_000.5)
    )
    assert row["created"].timestamp() == 1_700_000_000
    assert other["created"].timestamp() == 1_700_000_000.5


def test_a_moment_that_no_calendar_has_is_kept_beside() -> None:
    """Milliseconds where seconds are promised do not become the year 55840."""
    (row,), _, _ = _encode("messages", _message(created=1_700_000_000_000))
    assert row["created"] is None
    assert json.loads(row["_cio_extra"]) == {"created": 1_700_000_000_000}


def test_an_unknown_field_becomes_a_column_of_its_first_type() -> None:
    """A field the table does not know gets a column; a later value of another type is kept beside it."""
    fields = KnownColumns(table("messages"))
    encoder = RowEncoder(fields)
    encoder.encode([_message(surprise=1, metrics={"waved": 5})], 0)
    rows = encoder.encode([_message(surprise=2), _message(id="m2", surprise="two")], 0).table.to_pylist()
    assert [column.name for column in fields.discovered] == ["surprise", "metrics__waved"]
    assert {row["id"]: row["surprise"] for row in rows} == {"m1": 2, "m2": None}
    assert json.loads(rows[1]["_cio_extra"]) == {"surprise": "two"}


@pytest.mark.parametrize(
    "name",
    [
        "SUBJECT",
        "metrics__waved",
        "file_row_number",
        "_cio_key",
        "_CIO_new",
        "",
        " ",
        "a\x00b",
        "x" * 101,
        "metrics__sent",
    ],
)
def test_a_name_that_no_column_can_have_is_kept_beside(name: str) -> None:
    """Names that differ by case only, are reserved, or cannot be written lead into `_cio_extra`."""
    (row,), _, fields = _encode("messages", _message(**{name: 1}))
    assert json.loads(row["_cio_extra"]) == {name: 1}
    assert not fields.discovered


def test_keys_without_end_do_not_make_columns_without_end() -> None:
    """A source that names each value anew fills `_cio_extra`, not the catalogue of the database."""
    _, encoded, fields = _encode("messages", _message(**{f"new{number}": 1 for number in range(MOST_DISCOVERED + 50)}))
    assert len(fields.discovered) == MOST_DISCOVERED
    assert encoded.misfits == 50


def test_text_and_number_are_the_same_key() -> None:
    """7 and "7" are one campaign, and a text stays the text it is."""
    rows, _, _ = _encode("campaigns", b'{"id":7}', b'{"id":"7"}')
    assert [row["_cio_key"] for row in rows] == ["7", "7"]
    rows, _, _ = _encode("customers", b'{"cio_id":"30e00001"}', b'{"cio_id":"0007"}')
    assert [row["cio_id"] for row in rows] == ["30e00001", "0007"]


def test_records_without_a_key_stay_apart() -> None:
    """A record that lacks its key is kept under a digest of itself."""
    rows, _, _ = _encode("campaigns", b'{"name":"a"}', b'{"name":"b"}', b'{"id":null,"name":"c"}', b'{"name":"a"}')
    keys = [row["_cio_key"] for row in rows]
    assert len(set(keys)) == 3
    assert all(key.startswith("#") for key in keys)


@pytest.mark.parametrize("item", [b"null", b"7", b'"text"', b"[]"])
def test_what_is_no_record_is_an_error(item: bytes) -> None:
    """A list that holds something else than records is not of the promised shape."""
    with pytest.raises(PageShapeError):
        _encode("campaigns", item)
