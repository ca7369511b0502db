"""Every list, walked to its end, is exactly the truth."""

from __future__ import annotations

import json

import httpx2
import pytest

from customerio_simulator import Simulator, WorkspaceSpec
from tests.simulator.conftest import Simulate
from tests.simulator.walking import flat, parts, read_table, records, walk

TABLES = (
    "broadcasts", "transactional_messages", "customers", "campaigns", "newsletters", "segments", "messages", "exports",
    "activities", "sender_identities", "reporting_webhooks", "snippets", "ip_addresses", "collections", "topics",
    "workspaces", "types", "eps_suppression",
)  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_a_walk_to_the_end_gives_exactly_the_truth(sim: Simulator, client: httpx2.Client, table: str) -> None:
    """Reading a table page by page gives every record of the truth once, byte for byte."""
    read = read_table(client, table)
    assert len(read) > 0
    assert sorted(read) == sorted(sim.workspace.truth(table))


def test_every_table_has_a_truth_and_every_truth_is_served(sim: Simulator) -> None:
    """The tables that have a truth are the tables that the tests read."""
    assert set(sim.workspace.table_names) == set(TABLES)


def test_senders_carry_a_token_even_after_the_last_one(client: httpx2.Client) -> None:
    """The last page of senders has a `next`, and that token gives an empty page with an empty `next` (live)."""
    pages = walk(client, "sender_identities", "sender_identities", limit=50)
    assert [len(page) > 0 for page in pages] == [True, False]


def test_hidden_senders_are_only_in_the_hidden_list(client: httpx2.Client) -> None:
    """The default list leaves hidden senders out, `hidden=true` gives nothing else (live)."""
    shown = [json.loads(one) for one in flat(walk(client, "sender_identities", "sender_identities"))]
    hidden = flat(walk(client, "sender_identities", "sender_identities", hidden="true"))
    assert {one["hidden"] for one in shown} == {False}
    assert {json.loads(one)["hidden"] for one in hidden} == {True}


def test_descending_newsletters_are_the_ascending_ones_backwards(client: httpx2.Client) -> None:
    """`sort=desc` walks the same list from the other end."""
    ascending = flat(walk(client, "newsletters", "newsletters", limit=30, sort="asc"))
    assert flat(walk(client, "newsletters", "newsletters", limit=30, sort="desc")) == ascending[::-1]


def test_campaign_actions_come_ten_at_a_time(client: httpx2.Client) -> None:
    """A campaign with fourteen actions needs two pages, whatever limit is asked for (live)."""
    pages = walk(client, "campaigns/3/actions", "actions", limit=1000)
    assert [len(page) for page in pages] == [10, 4]


def test_a_campaign_names_its_actions(client: httpx2.Client) -> None:
    """The ids in a campaign's summary are those of its actions."""
    listed = [json.loads(one) for one in flat(walk(client, "campaigns/3/actions", "actions"))]
    campaign = client.get("/v1/campaigns/3").json()["campaign"]
    assert [action["id"] for action in campaign["actions"]] == [int(action["id"]) for action in listed]


def test_suppressions_are_null_past_the_end(client: httpx2.Client) -> None:
    """An offset beyond the list answers null beside its category (live)."""
    answer = client.get("/v1/esp/suppression/spam_reports", params={"offset": 100_000}).json()
    assert answer == {"suppressions": None, "category": "spam"}


def test_suppressions_of_one_domain_are_a_part_of_the_list(client: httpx2.Client) -> None:
    """The two sending domains share the list between them, and some addresses are in both."""
    url = "/v1/esp/suppression/bounces"
    whole = client.get(url, params={"limit": 1000}).json()["suppressions"]
    domains = [
        client.get(url, params={"limit": 1000, "domain": name}).json()["suppressions"]
        for name in ("mg.example.com", "news.example.org")
    ]
    assert sum(map(len, domains)) == len(whole)
    assert {one["email"] for one in domains[0]} & {one["email"] for one in domains[1]}


def test_a_suppressed_address_is_found_by_search(client: httpx2.Client) -> None:
    """An address with `+` and `%` in it is found when it is percent-encoded."""
    listed = client.get("/v1/esp/suppression/bounces", params={"limit": 1000}).json()["suppressions"]
    odd = next(one["email"] for one in listed if "+" in one["email"])
    path = "/v1/esp/search_suppression/" + odd.replace("%", "%25").replace("+", "%2B")
    assert [one["email"] for one in client.get(path).json()["suppressions"]] == [odd]


def test_empty_lists_come_as_the_api_gives_them(simulate: Simulate) -> None:
    """Exports and suppressions of an empty workspace are null, other lists are empty (live)."""
    spec = WorkspaceSpec(
        people=0, messages=0, drafts=0, activities=0, campaigns=0, broadcasts=0, newsletters=0, transactional=0,
        segments=0, senders=0, suppressions=0, exports=0, snippets=0, collections=0, topics=0, webhooks=0,
        ip_addresses=0, object_types=0,
    )  # fmt: skip
    _, client = simulate(spec)
    assert client.get("/v1/exports").json() == {"exports": None}
    assert client.get("/v1/esp/suppression/bounces").json() == {"suppressions": None, "category": "bounces"}
    assert client.get("/v1/subscription_topics").json() == {"topics": []}
    for table in set(TABLES) - {"workspaces"}:
        assert read_table(client, table) == []


def test_workspaces_count_the_people_served(sim: Simulator, client: httpx2.Client) -> None:
    """Several workspaces are listed, and the served one says how many people it really has."""
    listed = client.get("/v1/workspaces").json()["workspaces"]
    served = next(one for one in listed if one["id"] == sim.workspace.spec.workspace_id)
    assert len(listed) == 3
    assert served["people"] == len(list(sim.workspace.truth("customers")))


@pytest.mark.parametrize(
    ("path", "limit", "most"),
    [("messages", 5000, 1000), ("newsletters", 500, 100), ("activities", 500, 100), ("messages", None, 50),
     ("activities", None, 10), ("esp/suppression/bounces", None, 40)],
)  # fmt: skip
def test_a_page_has_at_most_the_documented_records(
    client: httpx2.Client, path: str, limit: int | None, most: int
) -> None:
    """A limit above the ceiling is cut to it, and each list has its own default."""
    page = parts(client.get(f"/v1/{path}", params={} if limit is None else {"limit": limit}))
    key = next(iter(page))
    assert len(records(page, key)) == most


def test_no_page_is_longer_than_the_servers_own_ceiling(simulate: Simulate) -> None:
    """Whatever `limit` says, cursor lists and offset lists come in pages that short, and whole all the same."""
    sim, client = simulate(page_ceiling=6)
    for path, key in (("messages", "messages"), ("activities", "activities"), ("newsletters", "newsletters"),
                      ("campaigns/3/actions", "actions"), ("segments/1/membership", "identifiers")):  # fmt: skip
        pages = walk(client, path, key, **({} if "campaigns" in path else {"limit": 100}))
        assert {len(page) for page in pages[:-1]} == {6}
    assert len(flat(walk(client, "newsletters", "newsletters", limit=100))) == sim.workspace.spec.newsletters
    offsets = [
        client.get("/v1/esp/suppression/bounces", params={"limit": 1000, "offset": offset}).json()["suppressions"]
        for offset in range(0, 48, 6)
    ]
    assert [len(page or []) for page in offsets] == [6, 6, 6, 6, 6, 6, 4, 0]
    sim.behaviour.page_ceiling = None
    assert len(client.get("/v1/newsletters", params={"limit": 100}).json()["newsletters"]) == 100


def test_a_limit_above_the_ceiling_is_refused_on_request(simulate: Simulate) -> None:
    """With `limit_over_max="reject"` a limit above the ceiling answers 400."""
    _, client = simulate(limit_over_max="reject")
    assert client.get("/v1/messages", params={"limit": 1001}).status_code == 400
    assert client.get("/v1/messages", params={"limit": 1000}).status_code == 200


@pytest.mark.parametrize("token", ["x", "MDox", "AAAA", "☕", "MTc5MDgxMjgwMDoyOTg3OjA6ZGVhZGJlZWY"])
def test_a_cursor_that_was_never_given_is_refused(client: httpx2.Client, token: str) -> None:
    """An invented or foreign token answers 400."""
    assert client.get("/v1/messages", params={"start": token}).status_code == 400


def test_a_cursor_belongs_to_its_list(client: httpx2.Client) -> None:
    """A token of one list is refused by another."""
    token = client.get("/v1/newsletters").json()["next"]
    assert client.get("/v1/activities", params={"start": token}).status_code == 400
