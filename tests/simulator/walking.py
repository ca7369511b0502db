"""A plain reader of the API for the tests: follows cursors and keeps every record's exact text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import msgspec

EVERYBODY = {"filter": {"attribute": {"field": "cio_id", "operator": "exists"}}}
SUPPRESSION_TYPES = ("bounces", "blocks", "spam_reports", "invalid_emails")
UNPAGED = {
    "broadcasts": ("broadcasts", "broadcasts"),
    "transactional_messages": ("transactional", "messages"),
    "campaigns": ("campaigns", "campaigns"),
    "segments": ("segments", "segments"),
    "exports": ("exports", "exports"),
    "reporting_webhooks": ("reporting_webhooks", "reporting_webhooks"),
    "snippets": ("snippets", "snippets"),
    "ip_addresses": ("info/ip_addresses", "ip_addresses"),
    "collections": ("collections", "collections"),
    "topics": ("subscription_topics", "topics"),
    "workspaces": ("workspaces", "workspaces"),
    "types": ("object_types", "types"),
}


def parts(answer: httpx2.Response) -> dict[str, msgspec.Raw]:
    """The top-level fields of a good answer, each as its exact text."""
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=dict[str, msgspec.Raw])


def records(page: dict[str, msgspec.Raw], key: str) -> list[bytes]:
    """The exact texts of the records under the key; none for null."""
    return [bytes(one) for one in msgspec.json.decode(page[key], type=list[msgspec.Raw] | None) or []]


def walk(client: httpx2.Client, path: str, key: str, **query: Any) -> list[list[bytes]]:
    """The pages of a cursor list, followed until `next` is empty."""
    return [records(page, key) for page in pages(lambda start: client.get(f"/v1/{path}", params=query | start))]


def pages(ask: Callable[[dict[str, str]], httpx2.Response]) -> list[dict[str, msgspec.Raw]]:
    """Every page, each asked for with the token of the one before; a token that comes twice is a failure."""
    found, seen, start = [], set[str](), dict[str, str]()
    while True:
        page = parts(ask(start))
        found.append(page)
        token = msgspec.json.decode(page.get("next", b'""'))
        if not token:
            return found
        assert token not in seen
        seen.add(token)
        start = {"start": token}


def flat(pages_of_records: list[list[bytes]]) -> list[bytes]:
    """All records of all pages."""
    return [record for page in pages_of_records for record in page]


def read_table(client: httpx2.Client, table: str) -> list[bytes]:
    """The whole table as its truth has it, read through the API."""
    if table in UNPAGED:
        path, key = UNPAGED[table]
        return records(parts(client.get(f"/v1/{path}")), key)
    if table == "newsletters":
        return flat(walk(client, "newsletters", "newsletters", limit=40))
    if table == "sender_identities":
        lists = [walk(client, table, table, limit=4, hidden=hidden) for hidden in ("false", "true")]
        return [record for one in lists for record in flat(one)]
    if table == "activities":
        return flat(walk(client, "activities", "activities", limit=100, deleted="true"))
    if table == "messages":
        return read_messages(client)
    if table == "eps_suppression":
        return [record for kind in SUPPRESSION_TYPES for record in read_suppressions(client, kind)]
    assert table == "customers"
    return read_people(client)


def read_messages(client: httpx2.Client) -> list[bytes]:
    """Windows of half a year at most, from the workspace's start to its now."""
    times = client.get("/_simulator/now").json()
    found: list[bytes] = []
    low = times["start"]
    while low <= times["now"]:
        high = min(times["now"], low + 170 * 86_400)
        found += flat(walk(client, "messages", "messages", limit=1000, start_ts=low, end_ts=high))
        low = high + 1
    return found


def read_suppressions(client: httpx2.Client, kind: str) -> list[bytes]:
    """Pages of 7 until one is short; the type is added as the truth has it."""
    found: list[bytes] = []
    while True:
        page = parts(client.get(f"/v1/esp/suppression/{kind}", params={"limit": 7, "offset": len(found)}))
        found += records(page, "suppressions")
        if len(records(page, "suppressions")) < 7:
            return [record[:-1] + b',"suppression_type":"%s"}' % kind.encode() for record in found]


def read_people(client: httpx2.Client) -> list[bytes]:
    """Everybody's cio_id, then their attributes by the hundred, led by the cio_id as the truth has it."""
    found: list[bytes] = []
    for page in pages(lambda start: client.post("/v1/customers", params={"limit": "100"} | start, json=EVERYBODY)):
        ids = [person["cio_id"] for person in msgspec.json.decode(page["identifiers"])]
        if not ids:
            continue
        answer = client.post("/v1/customers/attributes", params={"id_type": "cio_id"}, json={"ids": ids})
        people = records(parts(answer), "customers")
        assert len(people) == len(ids)
        found += [b'{"cio_id":"%s",%s' % (cio_id.encode(), one[1:]) for cio_id, one in zip(ids, people, strict=True)]
    return found
