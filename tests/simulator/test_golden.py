"""What a recipe serves stays the same, byte for byte, however it is made."""

from __future__ import annotations

import hashlib

import httpx2
import pytest

from customerio_simulator import WorkspaceSpec
from customerio_simulator.workspace import Workspace
from tests.simulator.conftest import Simulate
from tests.simulator.walking import EVERYBODY

SPECS = {
    "hostile": WorkspaceSpec(lone_surrogates=True),
    "plain": WorkspaceSpec(hostile=False),
    "dense": WorkspaceSpec(seed=7, hostile=False, people=20, messages=9_000, start=WorkspaceSpec().now - 3_000),
    "large": WorkspaceSpec(seed=3, people=1_500, messages=5_000, activities=2_500, topics=9, suppressions=900),
    "bare": WorkspaceSpec(people=0, messages=40, campaigns=0, newsletters=0, broadcasts=0, transactional=0),
}
RECORDS = {
    "hostile": "f4585ee4043e474e",
    "plain": "42dae68441a41e89",
    "dense": "24001b7a1334a2fb",
    "large": "aa536f8756671447",
    "bare": "d606ed8367309350",
}
ANSWERS = {
    "hostile": "14c5e91085af20e4",
    "plain": "a0f0be2ac6e8e093",
}


@pytest.mark.parametrize("recipe", SPECS)
def test_records_stay_as_they_are(recipe: str) -> None:
    """Every record of every table, in order, has the bytes it had when this was written."""
    workspace, digest = Workspace(SPECS[recipe]), hashlib.sha256()
    for table in (*workspace.table_names, "message_drafts"):
        for key, record in workspace.truth_items(table):
            digest.update(b"%s\t%s\t%s\n" % (table.encode(), key.encode(), record))
    for table in ("messages", "activities", "customers"):
        for later in range(200):
            stock = workspace.stock(table)
            digest.update(stock.make(stock.ledger.next_seq + later, workspace.now + later * 900))
    assert digest.hexdigest()[:16] == RECORDS[recipe]


@pytest.mark.parametrize("recipe", ["hostile", "plain"])
def test_answers_stay_as_they_are(simulate: Simulate, recipe: str) -> None:
    """Whole answers, with their cursors, have the bytes they had when this was written."""
    _, client = simulate(SPECS[recipe])
    digest = hashlib.sha256()
    for answer in some_answers(client):
        assert answer.status_code == 200
        digest.update(answer.content)
    assert digest.hexdigest()[:16] == ANSWERS[recipe]


def some_answers(client: httpx2.Client) -> list[httpx2.Response]:
    """Lists of each way of paging, short and long pages, and people."""
    listed = [client.get(f"/v1/{path}") for path in (
        "messages?limit=1000", "messages?limit=7&start_ts=1780000000", "messages?type=push&limit=9",
        "messages?drafts=true", "activities?limit=100", "activities?limit=100&deleted=true", "newsletters",
        "sender_identities", "esp/suppression/bounces?offset=3&limit=9", "campaigns/3/actions", "campaigns",
        "segments/2/membership",
    )]  # fmt: skip
    listed += [client.get(f"/v1/{one}&start={page.json()['next']}") for one, page in (
        ("messages?limit=1000", listed[0]), ("activities?limit=100", listed[4]),
    )]  # fmt: skip
    people = client.post("/v1/customers", params={"limit": 90}, json=EVERYBODY)
    ids = {"ids": [one["cio_id"] for one in people.json()["identifiers"]]}
    return [*listed, people, client.post("/v1/customers/attributes?id_type=cio_id", json=ids)]
