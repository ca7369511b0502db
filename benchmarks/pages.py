"""Reads a workspace in the plainest way that is right: table after table, one page after another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests

Row = dict[str, Any]  # a record of the API as it came
DAY = 86_400
WINDOW = 180 * DAY
PEOPLE = {"filter": {"and": [{"attribute": {"field": "cio_id", "operator": "exists"}}]}}
LISTS = {
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
SUPPRESSED = ("bounces", "blocks", "spam_reports", "invalid_emails")


class Api:
    """The API as `requests` has it: waits when it is told to, and raises for every other refusal."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, path: str, body: object = None, **query: str | int) -> Row:
        """One answer."""
        method = "GET" if body is None else "POST"
        while True:
            answer = self._session.request(method, f"{self._url}/v1/{path}", params=query, json=body, timeout=60)
            if answer.status_code != requests.codes.too_many_requests:
                answer.raise_for_status()
                decoded: Row = answer.json()
                return decoded
            time.sleep(float(answer.headers.get("Retry-After", "1")))

    def follow(self, path: str, key: str, body: object = None, **query: str | int) -> Iterator[list[Row]]:
        """The pages of a list with tokens, until there is no next one."""
        token = ""
        while True:
            answer = self.ask(path, body, **query, **({"start": token} if token else {}))
            yield answer[key] or []
            token = answer.get("next") or ""
            if not token:
                return


def all_tables(api: Api, start: int, now: int) -> Iterator[tuple[str, Iterator[list[Row]]]]:
    """Every table with its pages; `start` and `now` are unix seconds. Asks for a page only when it is taken."""
    for table, (path, key) in LISTS.items():
        yield table, _whole(api, path, key)
    yield "newsletters", api.follow("newsletters", "newsletters", limit=100)
    yield "sender_identities", _senders(api)
    yield "eps_suppression", _suppressions(api)
    yield "customers", _people(api)
    yield "activities", api.follow("activities", "activities", limit=100, deleted="true")
    yield "messages", _messages(api, start, now)
    yield "campaign_actions", _children(api, "campaigns")
    yield "broadcast_actions", _children(api, "broadcasts")


def _whole(api: Api, path: str, key: str) -> Iterator[list[Row]]:
    rows = api.ask(path)[key] or []
    yield [row if isinstance(row, dict) else {"id": row} for row in rows]


def _children(api: Api, parents: str) -> Iterator[list[Row]]:
    for parent in api.ask(parents)[parents]:
        yield from api.follow(f"{parents}/{parent['id']}/actions", "actions")


def _senders(api: Api) -> Iterator[list[Row]]:
    yield from api.follow("sender_identities", "sender_identities", limit=100)
    yield from api.follow("sender_identities", "sender_identities", limit=100, hidden="true")


def _suppressions(api: Api) -> Iterator[list[Row]]:
    for kind in SUPPRESSED:
        offset = 0
        while True:
            rows = api.ask(f"esp/suppression/{kind}", limit=1000, offset=offset)["suppressions"] or []
            yield [{"suppression_type": kind, **row} for row in rows]
            offset += len(rows)
            if len(rows) < 1000:
                break


def _people(api: Api) -> Iterator[list[Row]]:
    for page in api.follow("customers", "identifiers", PEOPLE, limit=1000):
        ids = [person["cio_id"] for person in page]
        for first in range(0, len(ids), 100):
            answer = api.ask("customers/attributes", {"ids": ids[first : first + 100]}, id_type="cio_id")
            yield [{"id": person["attributes"]["cio_id"], **person} for person in answer["customers"]]


def _messages(api: Api, start: int, now: int) -> Iterator[list[Row]]:
    for first in range(start, now + 1, WINDOW):
        last = min(first + WINDOW - 1, now)
        yield from api.follow("messages", "messages", limit=1000, start_ts=first, end_ts=last)
