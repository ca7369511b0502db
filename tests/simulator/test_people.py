"""People: searched by filter, read by id, counted by segment."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from customerio_simulator import Simulator
from tests.simulator.conftest import Simulate
from tests.simulator.walking import EVERYBODY


def search(client: httpx2.Client, condition: dict[str, Any]) -> list[dict[str, str | None]]:
    """Up to a thousand people that match."""
    answer = client.post("/v1/customers", params={"limit": 1000}, json={"filter": condition})
    found: list[dict[str, str | None]] = answer.json()["identifiers"]
    return found


def has(field: str) -> dict[str, Any]:
    """The filter for people who have the attribute."""
    return {"attribute": {"field": field, "operator": "exists"}}


def test_everybody_has_a_cio_id_but_not_everybody_an_id(client: httpx2.Client) -> None:
    """`cio_id exists` finds all people, `id exists` misses those without one (live)."""
    everyone, with_id = search(client, has("cio_id")), search(client, has("id"))
    assert len(everyone) == 250
    assert {one["cio_id"] for one in everyone if one["id"]} == {one["cio_id"] for one in with_id}
    assert 0 < len(with_id) < len(everyone)


def test_a_not_filter_matches_nobody(client: httpx2.Client) -> None:
    """`not` finds nobody, even where the rest of the filter does (live)."""
    assert search(client, {"not": has("id")}) == []
    assert search(client, {"and": [has("cio_id"), {"not": has("nothing")}]}) == []


def test_ids_hold_empty_strings_for_people_without_one(client: httpx2.Client) -> None:
    """`ids` stands beside `identifiers`, with "" where there is no id."""
    page = client.post("/v1/customers", params={"limit": 1000}, json=EVERYBODY).json()
    assert page["ids"] == [one["id"] or "" for one in page["identifiers"]]
    assert {None, ""} <= {one["id"] for one in page["identifiers"]}


def test_and_or_and_eq_combine(client: httpx2.Client) -> None:
    """Conditions are joined by `and` and `or`, values compared by `eq`, of identifiers and of attributes."""
    everyone = search(client, has("cio_id"))
    one, two = everyone[3], everyone[10]
    either = {"or": [equal("cio_id", one["cio_id"]), equal("cio_id", two["cio_id"])]}
    assert search(client, either) == [one, two]
    assert search(client, {"and": [either, equal("cio_id", two["cio_id"])]}) == [two]
    plans = [search(client, equal("plan", plan)) for plan in ("free", "starter", "team", "business")]
    assert sum(map(len, plans)) == len(everyone)


def equal(field: str, value: str | None) -> dict[str, Any]:
    """The filter for one value of an attribute."""
    return {"attribute": {"field": field, "operator": "eq", "value": value}}


@pytest.mark.parametrize(
    "body",
    [{}, {"filter": {}}, {"filter": {"xor": []}}, {"filter": {"and": []}}, {"filter": []}, [],
     {"filter": {"attribute": {"field": "id", "operator": "like"}}}],
)  # fmt: skip
def test_a_malformed_filter_is_refused(client: httpx2.Client, body: object) -> None:
    """A body that is not a filter answers 400."""
    assert client.post("/v1/customers", json=body).status_code == 400


@pytest.mark.parametrize("id_type", ["id", "email", "cio_id"])
def test_people_are_read_by_each_identifier(client: httpx2.Client, id_type: str) -> None:
    """Attributes of many take ids, addresses or cio_ids without prefix; unknown ones are silently left out (live)."""
    known = [one for one in search(client, has("cio_id")) if one[id_type]][:60]
    ids = [str(one[id_type]) for one in known]
    asked = {"ids": [*ids[:30], "nobody", *ids[30:], "cio_nobody"]}
    people = client.post("/v1/customers/attributes", params={"id_type": id_type}, json=asked).json()["customers"]
    assert [one["attributes"][id_type] for one in people] == ids


@pytest.mark.parametrize("ids", [[], ["x"] * 101, [1], "x", None])
def test_attributes_take_one_to_a_hundred_text_ids(client: httpx2.Client, ids: object) -> None:
    """Fewer than one, more than a hundred, or ids that are no text answer 400."""
    assert client.post("/v1/customers/attributes", json={"ids": ids}).status_code == 400


def test_people_can_come_wrapped(simulate: Simulate) -> None:
    """The specification wraps each person, live they are not; either can be had."""
    _, client = simulate(wrapped_people=True)
    answer = client.post("/v1/customers/attributes?id_type=cio_id", json={"ids": ["30e00001"]}).json()
    assert answer["customers"][0]["customer"]["attributes"]["cio_id"] == "30e00001"


def test_an_odd_id_is_found_only_when_it_is_encoded(client: httpx2.Client) -> None:
    """An id with `+`, `%`, `@`, `/` and a space is read when percent-encoded, and is a 404 when not (live)."""
    odd = next(str(one["id"]) for one in search(client, has("id")) if "/" in str(one["id"]))
    found = client.get(f"/v1/customers/{quote(odd, safe='')}/attributes")
    assert found.json()["customer"]["attributes"]["id"] == odd
    assert client.get(f"/v1/customers/{quote(odd, safe='%+@/')}/attributes").status_code == 404


def test_a_cio_id_in_a_path_carries_its_prefix(client: httpx2.Client) -> None:
    """One person is read by `cio_<cio_id>`; without the prefix the request is refused."""
    url = "/v1/customers/{}/attributes?id_type=cio_id"
    assert client.get(url.format("cio_30e00001")).json()["customer"]["attributes"]["cio_id"] == "30e00001"
    assert client.get(url.format("30e00001")).status_code == 400


def test_membership_count_and_filter_agree(sim: Simulator, client: httpx2.Client) -> None:
    """A segment's members, its count and a search by it are the same people; the first segment holds everyone."""
    for segment in (1, 2, 5):
        members = client.get(f"/v1/segments/{segment}/membership", params={"limit": 30_000}).json()
        count = client.get(f"/v1/segments/{segment}/customer_count").json()
        assert members["segment_id"] == segment
        assert count == {"segment_id": segment, "count": len(members["identifiers"])}
        assert search(client, {"segment": {"id": segment}}) == members["identifiers"]
    everyone = client.get("/v1/segments/1/customer_count").json()["count"]
    assert everyone == len(list(sim.workspace.truth("customers")))
