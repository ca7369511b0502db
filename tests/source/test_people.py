"""People: asked for by the hundred, and put together from whatever shape the answers have."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.base.errors import PageShapeError
from cio_replicate.source.strategies import people

ADA = {"email": "ada@example.com", "id": "1", "cio_id": "a1"}
ATTRIBUTES = {"cio_id": "a1", "email": "ada@example.com", "plan": "free"}


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _person(answer: object, identifiers: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    known = {cio_id: _raw(value) for cio_id, value in (identifiers or {}).items()}
    cio_id, record = people.person(_raw(answer), known)
    return cio_id, json.loads(record)


def test_wrapped_and_flat_answers_make_the_same_record() -> None:
    """The specification wraps each person in `customer`, live they come flat."""
    flat = {"identifiers": ADA, "attributes": ATTRIBUTES, "unsubscribed": False, "devices": []}
    assert _person(flat) == _person({"customer": flat}) == ("a1", {**flat, "cio_id": "a1"})


def test_what_stands_beside_the_wrap_is_kept() -> None:
    """Fields next to `customer` are fields of the person."""
    cio_id, record = _person({"customer": {"attributes": ATTRIBUTES}, "timestamps": {"plan": 5}})
    assert cio_id == "a1"
    assert record == {"attributes": ATTRIBUTES, "timestamps": {"plan": 5}, "cio_id": "a1"}


def test_a_field_called_customer_of_a_flat_answer_is_a_field() -> None:
    """Only an answer without attributes is wrapped."""
    flat = {"attributes": ATTRIBUTES, "customer": {"attributes": {"cio_id": "b2"}}}
    assert _person(flat) == ("a1", {**flat, "cio_id": "a1"})


@pytest.mark.parametrize("lacking", [{}, {"identifiers": None}])
def test_missing_identifiers_come_from_the_list(lacking: dict[str, Any]) -> None:
    """The official example has no identifiers, so those of the list are taken."""
    _, record = _person({"attributes": ATTRIBUTES, **lacking}, {"a1": ADA})
    assert record["identifiers"] == ADA


def test_given_identifiers_stay() -> None:
    """What the answer says stands before what the list said."""
    newer = {**ADA, "email": "ada@new.example"}
    _, record = _person({"attributes": ATTRIBUTES, "identifiers": newer}, {"a1": ADA})
    assert record["identifiers"] == newer


@pytest.mark.parametrize(
    ("answer", "cio_id"),
    [
        ({"attributes": {"cio_id": "30e00001"}}, "30e00001"),
        ({"attributes": {}, "cio_id": "a1"}, "a1"),
        ({"identifiers": {"cio_id": "a1"}, "attributes": {"cio_id": "of the customer's own"}}, "a1"),
        ({"identifiers": {"cio_id": ""}, "attributes": {"cio_id": "a1"}}, "a1"),
        ({"identifiers": None, "attributes": {"cio_id": "a1"}}, "a1"),
        ({"identifiers": {"cio_id": 7}, "attributes": {}}, "7"),
        ({"attributes": {"cio_id": 30}}, "30"),
        ({"identifiers": {"cio_id": "cio_a1"}, "attributes": {}}, "a1"),
        ({"cio_id": "cio_a1"}, "a1"),
    ],
)
def test_the_cio_id_is_found_wherever_it_stands(answer: dict[str, Any], cio_id: str) -> None:
    """Identifiers first, then attributes, then the record itself; as text, and without the prefix."""
    found, record = _person(answer)
    assert found == record["cio_id"] == cio_id


@pytest.mark.parametrize(
    ("answer", "cio_id"),
    [
        ({"attributes": {"cio_id": ["a1"]}}, "a1"),
        ({"identifiers": '{"cio_id":"a1"}'}, "a1"),
        ({"identifiers": "[]", "attributes": "no json", "cio_id": 7}, "7"),
    ],
)
def test_a_cio_id_that_drifted_still_names_its_person(answer: dict[str, Any], cio_id: str) -> None:
    """In a list of its own, or inside of an object sent as text."""
    found, _ = _person(answer)
    assert found == cio_id


@pytest.mark.parametrize(
    "answer",
    [{"attributes": {}}, {"identifiers": {"cio_id": None}}, {"cio_id": ""}, {"attributes": {"cio_id": ["a1", "b2"]}}],
)
def test_an_answer_about_nobody_is_kept_under_no_name(answer: dict[str, Any]) -> None:
    """Without a cio_id nobody knows whose attributes these are, but they are not thrown away."""
    found, record = _person(answer)
    assert found == ""
    assert record == answer


@pytest.mark.parametrize("answer", [{"customer": None}, {"customer": "a1"}, [], "a1", None, 7])
def test_an_answer_that_is_no_record_is_an_error(answer: object) -> None:
    """What is no object cannot be a person."""
    with pytest.raises(PageShapeError):
        _person(answer)


@pytest.mark.parametrize(
    "attributes",
    [
        '{"cio_id":"a1","n":1.0,"big":123456789012345678901234567890,"e":1e400}',
        '{"cio_id":"a1","\\u0000":"\\u0000","😀":"\\ud83d\\ude00"}',
        '{"cio_id":"a1","Plan":"a","plan":"b","plan":"c"}',
        '{"cio_id":"a1", "spaced" : [ 1 ,2 ] }',
        '{"cio_id":"a1","":"","a.b":"\\"","customer":{"x":1},"identifiers":[]}',
        '{"plan":"{\\"json\\":true}","cio_id":"a1"}',
    ],
)
def test_attributes_stay_as_received(attributes: str) -> None:
    """Keys and values are the customer's own, and none of their text is touched."""
    for answer in ('{"attributes":%s}', '{"customer":{"attributes":%s}}'):
        _, record = people.person(msgspec.Raw((answer % attributes).encode()), {})
        fields = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        assert bytes(fields["attributes"]).decode() == attributes


def test_a_list_is_sorted_by_cio_id() -> None:
    """People known by email only count like all others, a number is an id like its text, and a prefix is none of it."""
    entries = [ADA, {"email": "b@x", "id": None, "cio_id": "30e00001"}, {"cio_id": 7}, {"cio_id": "cio_c3"}]
    listed = people.listed_people([_raw(entry) for entry in entries])
    assert list(listed.by_id) == ["a1", "30e00001", "7", "c3"]
    assert json.loads(bytes(listed.by_id["30e00001"])) == entries[1]
    assert not listed.nameless


@pytest.mark.parametrize("entry", [{}, {"email": "x@y"}, {"cio_id": ""}, {"cio_id": None}, {"cio_id": "cio_"}])
def test_entries_without_an_id_are_kept_apart(entry: dict[str, Any]) -> None:
    """Nobody can be asked for by no id, and nobody is dropped for it."""
    listed = people.listed_people([_raw(entry), _raw(ADA)])
    assert [json.loads(bytes(raw)) for raw in listed.nameless] == [entry]
    assert json.loads(people.only_listed(listed.nameless[0]))["identifiers"] == entry


@pytest.mark.parametrize("entry", ["a1", 7, None, [ADA]])
def test_an_entry_that_is_no_record_is_an_error(entry: object) -> None:
    """A list of bare ids is not the promised shape."""
    with pytest.raises(PageShapeError):
        people.listed_people([_raw(entry)])


@pytest.mark.parametrize("cio_id", ["a1", "cio_a1", 7])
def test_who_is_only_listed_has_the_same_id_as_when_answered(cio_id: object) -> None:
    """A person left out of the answers is not taken for another one, who would then be deleted."""
    entry = {"cio_id": cio_id, "email": "x@y"}
    record = json.loads(people.only_listed(_raw(entry)))
    answered, _ = _person({"identifiers": entry, "attributes": {}})
    assert record == {"cio_id": answered, "identifiers": entry}


@given(count=st.integers(0, 1005))
def test_everybody_is_asked_for_once_by_the_hundred(count: int) -> None:
    """Every id is in exactly one request, no request has more than a hundred, and no request is half needed."""
    ids = [f"{number:x}" for number in range(count)]
    requests = people.attribute_requests(ids)
    asked = [request.body["ids"] for request in requests if request.body]
    assert [one for batch in asked for one in batch] == ids
    assert [len(batch) for batch in asked[:-1]] == [100] * (len(asked) - 1)
    assert all(0 < len(batch) <= 100 for batch in asked)


def test_the_request_names_the_kind_of_id() -> None:
    """Without `id_type=cio_id` the API takes the ids for those that the customer gave, and knows none of them."""
    (request,) = people.attribute_requests(["a1", "30e00001"])
    assert (request.method, request.target) == ("POST", "/v1/customers/attributes?id_type=cio_id")
    assert request.body == {"ids": ["a1", "30e00001"]}


def test_those_left_out_are_asked_for_by_their_id() -> None:
    """An API that knows no id_type takes an id only; people who have none are asked for as before."""
    entries = {"a1": _raw(ADA), "b2": _raw({"id": None, "email": "b@x", "cio_id": "b2"})}
    by_id, by_cio_id = people.requests_once_more(entries)
    assert (by_id.query, by_id.body) == ({}, {"ids": [ADA["id"]]})
    assert (by_cio_id.query, by_cio_id.body) == ({"id_type": "cio_id"}, {"ids": ["b2"]})
