"""Records treated by rules before they land."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import PageShapeError
from cio_replicate.base.text import Secret
from cio_replicate.config.table_options import naming
from cio_replicate.source.redact import Redactor, hash_with, hashed, masked
from cio_replicate.source.values import key_text
from tests.source.landings import SALT, holding, landed, wanted
from tests.source.records import ANY, text_of

KEY = hash_with(SALT)
MARK = "marked-value"
SHAPES: list[Any] = [
    MARK,
    {MARK: MARK},
    [MARK, [MARK]],
    [{"email": MARK, "id": MARK, "x": {"y": MARK}}],
    {"email": MARK, "EMAIL": MARK, "id": [MARK]},
    json.dumps({"email": MARK}),
]


def treated(name: str, record: Any, *texts: str) -> Any:
    """The record as these rules leave it."""
    (done,), _ = Redactor(wanted(name, *texts)).apply([text_of(record)])
    return json.loads(bytes(done))


def hash_of(value: Any) -> str:
    """The hash that stands for a value."""
    return str(json.loads(bytes(hashed(text_of(value), KEY))))


def test_a_table_without_rules_costs_nothing() -> None:
    """Records of a table without rules for values are handed on as they are, also when columns are renamed."""
    for one in (wanted("messages"), wanted("messages", "messages:rename=created:sent_at", naming=naming("a_", "b_"))):
        records = [b"anything"]
        assert Redactor(one).apply(records)[0] is records


def test_values_are_excluded_hashed_and_masked_where_the_rules_say() -> None:
    """Columns, columns of flattened objects, keys in JSON objects and in arrays of objects all follow their rule."""
    record = {
        "cio_id": "c1",
        "id": 7,
        "identifiers": {"email": "ann@example.com", "id": "7", "cio_id": "c1"},
        "attributes": {"ssn": 1, "email": "ann@example.com", "a.b c": "x", "phone": "+1 555", "kept": "k"},
        "devices": [{"id": "d1", "platform": "ios"}, {"platform": "android"}, None],
        "timestamps": {"ssn": 1},
    }
    found = treated(
        "customers",
        record,
        "customers:exclude=attributes.ssn,timestamps",
        "customers:hash=identifiers__email,attributes.email,devices.id,id",
        "customers:mask=attributes.a.b c,attributes.phone",
    )
    assert found == {
        "cio_id": "c1",
        "id": hash_of("7"),
        "identifiers": {"email": hash_of("ann@example.com"), "id": "7", "cio_id": "c1"},
        "attributes": {"email": hash_of("ann@example.com"), "a.b c": "***", "phone": "***", "kept": "k"},
        "devices": [{"id": hash_of("d1"), "platform": "ios"}, {"platform": "android"}, None],
    }


def test_only_what_is_included_stays() -> None:
    """What no rule includes is left out, fields that nobody knows among it; it is no misfit."""
    record = {"id": "m1", "created": 5, "type": "email", "new": 1, "metrics": {"sent": 1, "waved": 2}, "Type": 1}
    found = treated("messages", record, "messages:include=type,metrics__sent")
    assert found == {"id": "m1", "created": 5, "type": "email", "metrics": {"sent": 1}}


@pytest.mark.parametrize("action", ["exclude", "hash", "mask"])
@pytest.mark.parametrize("spot", ["recipient", "customer_identifiers__email", "+surprise", "campaign_id"])
@pytest.mark.parametrize("value", SHAPES, ids=str)
def test_a_treated_value_never_reaches_the_disk(tmp_path: Path, action: str, spot: str, value: Any) -> None:
    """Whatever type it has and however its field is written, no file of the state folder holds the value."""
    one = wanted("messages", f"messages:{action}={spot}")
    name = spot.removeprefix("+")
    records: list[dict[str, Any]] = [
        {"id": "m1", "created": 1_700_000_000, name: value},
        {"id": "m2", "created": 1_700_000_000, name.upper(): value},
    ]
    if name == "customer_identifiers__email":
        records += [
            {"id": "m3", "customer_identifiers": value if isinstance(value, str) else {"email": value, "Email": value}},
            {"id": "m4", "Customer_Identifiers": {"email": value}},
            {"id": "m5", "customer_identifiers": [{"email": value}]},
        ]
    rows, _, _ = landed(tmp_path / "state", one, *map(text_of, records), seen=[text_of(records[0])])
    assert len(rows) == len(records) + 1
    assert holding(tmp_path, MARK) == []
    assert (tmp_path / "state" / "journal.sqlite").exists()


def test_the_search_finds_what_no_rule_takes_away(tmp_path: Path) -> None:
    """A value that is not treated is found on the disk, so that the test above can fail."""
    landed(tmp_path / "state", wanted("messages"), text_of({"id": "m1", "recipient": MARK}))
    assert len(holding(tmp_path, MARK)) == 1


@pytest.mark.parametrize("action", ["exclude", "hash", "mask"])
@pytest.mark.parametrize("value", [MARK, [MARK], [[[MARK]]], 'a "' + MARK, [{"ssn": [MARK]}], [[{"ssn": MARK}]]])
def test_where_a_rule_cannot_be_followed_nothing_is_kept(tmp_path: Path, action: str, value: Any) -> None:
    """A value that is not of the shape that a rule reaches into is withheld, and counted."""
    one = wanted("customers", f"customers:{action}=attributes.ssn")
    _, tally, _ = landed(tmp_path / "state", one, text_of({"cio_id": "c1", "attributes": value}))
    assert holding(tmp_path, MARK) == []
    assert tally.withheld == (0 if isinstance(value, list) and "ssn" in str(value) else 1)


def test_a_rule_does_not_touch_what_it_does_not_name() -> None:
    """A key that differs by case is another attribute, and people's identifiers stand in other columns too."""
    record = {
        "cio_id": "c1",
        "attributes": {"SSN": 1, "ssn ": 2, "email": "a@b.cc"},
        "identifiers": {"email": "a@b.cc"},
    }
    found = treated("customers", record, "customers:exclude=attributes.ssn,identifiers__email")
    assert found == {**record, "identifiers": {}}


def test_an_excluded_column_is_not_discovered_again(tmp_path: Path) -> None:
    """What is excluded comes back neither as a new column nor beside the columns."""
    one = wanted("messages", "messages:exclude=recipient,customer_identifiers__email")
    record = {"id": "m1", "recipient": [1], "Recipient": 1, "customer_identifiers": {"email": 3}, "subject": 4}
    rows, tally, fields = landed(tmp_path, one, text_of(record))
    assert fields.discovered == []
    assert json.loads(rows[0]["_cio_extra"]) == {"subject": 4}
    assert tally.misfits == 1


def test_a_hash_is_an_hmac_that_others_can_make() -> None:
    """`h_` and 32 hex digits of HMAC-SHA256, so that a database that has the salt can join by it."""
    expected = hmac.new(SALT.reveal().encode(), b"ann@example.com", hashlib.sha256).hexdigest()[:32]
    assert hash_of("ann@example.com") == f"h_{expected}"
    assert hashed(b'"ann@example.com"', hash_with(Secret("another salt"))) != hashed(b'"ann@example.com"', KEY)


def test_nothing_stays_nothing() -> None:
    """`null` and the empty text name nobody, and are neither hashed nor masked."""
    for nothing in (None, ""):
        assert json.loads(bytes(hashed(text_of(nothing), KEY))) == nothing
        assert json.loads(bytes(masked(text_of(nothing)))) == nothing


def test_numbers_and_texts_are_hashed_as_their_text() -> None:
    """7, 7.0 and "7" are one value, as they are one key."""
    assert {bytes(hashed(text, KEY)) for text in (b"7", b"7.0", b'"7"', b" 7 ")} == {bytes(hashed(b"7", KEY))}
    assert len({bytes(hashed(text, KEY)) for text in (b"7", b"70", b"7.5", b"true", b"[7]", b'"07"', b'"7.0"')}) == 7


@given(one=ANY, other=ANY)
def test_values_hash_alike_only_when_they_are_the_same_key(one: Any, other: Any) -> None:
    """Two numbers or texts have the same hash when rows are matched by them, and never else."""
    keys = [key_text({"id": msgspec.Raw(text_of(value))}, ("id",)) for value in (one, other)]
    if all(keys):
        assert (hash_of(one) == hash_of(other)) == (keys[0] == keys[1])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ann@example.com", "***@example.com"),
        ('"ann b"@example.co.uk', "***"),
        ("ann+x@mail.example.co.uk", "***@mail.example.co.uk"),
        ("Ann <ann@example.com>", "***"),
        ("ann@example", "***"),
        ("ann@example.com?x=secret", "***"),
        ("a@secret@example.com", "***"),
        ("secret", "***"),
        (7, "***"),
        (True, "***"),
        (["ann@example.com"], "***"),
    ],
)
def test_a_mask_leaves_at_most_the_domain_of_an_address(value: Any, shown: str) -> None:
    """Of a plain email address the domain stays readable, of anything else nothing."""
    assert json.loads(bytes(masked(text_of(value)))) == shown


def test_half_a_character_is_hashed_too() -> None:
    """A text that cannot be decoded is treated as what was received."""
    assert bytes(hashed(b'"\\ud800"', KEY)).startswith(b'"h_')
    assert bytes(masked(b'"\\ud800"')) == b'"***"'


def test_rows_are_told_apart_by_a_hashed_key(tmp_path: Path) -> None:
    """A hashed key is the row's key as well, the same for a record that is only seen, whatever its type."""
    one = wanted("campaigns", "campaigns:hash=id")
    rows, _, _ = landed(tmp_path, one, b'{"id":7}', b'{"id":8}', seen=[b'{"id":"7"}'])
    assert [row["_cio_key"] for row in rows] == [hash_of("7"), hash_of("8"), hash_of("7")]
    assert [row["id"] for row in rows] == [hash_of("7"), hash_of("8"), None]
    assert [row["_cio_seen_only"] for row in rows] == [False, False, True]


def test_a_record_without_a_key_is_known_by_what_is_left_of_it(tmp_path: Path) -> None:
    """The digest that stands for a missing key gives no hint at what was excluded."""
    one = wanted("campaigns", "campaigns:exclude=name", "campaigns:hash=id")
    rows, _, _ = landed(tmp_path, one, b'{"id":"","name":"a"}', b'{"id":"","name":"b"}', b'{"id":"","type":"c"}')
    assert rows[0]["_cio_key"] == rows[1]["_cio_key"] != rows[2]["_cio_key"]
    assert rows[0]["_cio_key"].startswith("#")


def test_a_renamed_key_and_time_are_followed(tmp_path: Path) -> None:
    """Under other names, rows have the same keys and times as ever, in both lanes."""
    one = wanted("messages", "messages:rename=id:message_id,created:sent_at", naming=naming("", "m_", "upper"))
    rows, tally, _ = landed(
        tmp_path, one, b'{"id":"a","created":1700000000,"new":1}', b'{"id":"b","created":1700000005}'
    )
    assert {row["_cio_key"]: row["message_id"] for row in rows} == {"a": "a", "b": "b"}
    assert {row["M_NEW"] for row in rows} == {1, None}
    assert (tally.earliest, tally.latest) == (1_700_000_000, 1_700_000_005)


@pytest.mark.parametrize("texts", [(), ("*:hash=endpoint",), ("*:exclude=name",), ("*:include=endpoint",)])
def test_credentials_in_an_endpoint_are_masked_whatever_the_rules(tmp_path: Path, texts: tuple[str, ...]) -> None:
    """No rule for the columns of reporting webhooks brings a password onto the disk."""
    texts = tuple(text.replace("*", "reporting_webhooks") for text in texts)
    one = wanted("reporting_webhooks", *texts)
    record = {"id": 1, "name": "n", "endpoint": f"https://ann:{MARK}@example.com/hook"}
    rows, _, _ = landed(tmp_path, one, text_of(record))
    assert holding(tmp_path, MARK) == []
    masked_url = "https://***@example.com/hook"
    assert rows[0]["endpoint"] == (hash_of(masked_url) if "hash" in str(texts) else masked_url)


def test_what_is_no_record_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A list that holds something else than records lands nothing of it."""
    one = wanted("messages", "messages:exclude=recipient")
    with pytest.raises(PageShapeError):
        landed(tmp_path, one, text_of([{"recipient": MARK}]))
    assert holding(tmp_path, MARK) == []


@pytest.mark.parametrize("name", ["customers", "messages", "activities"])
@given(data=st.data())
def test_rules_for_other_columns_change_no_value(name: str, data: st.DataObject) -> None:
    """A record comes out of a rule that does not concern it just as it went in, value by value."""
    record = data.draw(st.dictionaries(st.text(max_size=5), ANY, max_size=4))
    found = treated(name, record, f"{name}:exclude=+of no record", f"{name}:hash=+nor this")
    assert json.dumps(found, sort_keys=True) == json.dumps(record, sort_keys=True)
