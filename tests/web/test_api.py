"""The API: the same services as the pages, for programs; and its description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cio_replicate.console import gateways
from cio_replicate.database.actor import Role
from cio_replicate.jobs.ports import ProbeResult, TableProbe
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator, WorkspaceSpec
from tests.web.visiting import Console

TOKEN = "marked-7f3a9c51-token"
CONNECTION = {"start_date": "2024-01-31", "access_token_from": "env:TOKEN"}
TASK = {"connection": "main", "to": ["duckdb:////tmp/copy.duckdb"], "tables": "campaigns,messages"}


@pytest.fixture
def admin(console: Console) -> Any:
    """A program that may do everything."""
    console.stage.variables["TOKEN"] = "made-up"
    return console.api(Role.ADMIN)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A small workspace."""
    with Simulator(WorkspaceSpec(seed=3), token=TOKEN) as running:
        yield running


def _said(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["message"]


def test_a_connection_is_made_shown_edited_and_deleted(admin: Any) -> None:
    """What is sent is what is shown; what is gone is not found."""
    made = admin.post("/api/v1/connections", json={"name": "main", "settings": CONNECTION})
    assert made.status_code == 201
    assert made.json()["settings"] | CONNECTION == made.json()["settings"]
    assert [one["name"] for one in admin.get("/api/v1/connections").json()] == ["main"]
    edited = admin.put("/api/v1/connections/main", json={"settings": {**CONNECTION, "region": "eu"}})
    assert edited.json()["settings"]["region"] == "eu"
    assert admin.delete("/api/v1/connections/main").status_code == 204
    assert _said(admin.get("/api/v1/connections/main")) == (404, "There is no connection 'main'.")


def test_a_refusal_has_a_code_and_the_field_that_is_wrong(console: Console, admin: Any) -> None:
    """Programs branch on the code, and settings have the names that they are sent by, not those of options."""
    console.stage.connection("main")
    admin.post("/api/v1/tasks", json={"name": "nightly", "settings": TASK})
    twice = admin.post("/api/v1/tasks", json={"name": "nightly", "settings": TASK})
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    both = admin.post("/api/v1/tasks", json={"name": "other", "settings": {**TASK, "exclude": "topics"}})
    assert (both.status_code, both.json()["code"], both.json()["field"]) == (422, "invalid_settings", "tables")
    assert both.json()["message"] == "tables and exclude were both given."
    assert admin.get("/api/v1/tasks/none").json()["code"] == "not_found"


def test_a_token_that_is_sent_is_stored_and_never_comes_back(admin: Any) -> None:
    """Neither the connection, nor the list of secrets, nor the audit log shows an access token."""
    sent = {"name": "main", "settings": {"start_date": "2024-01-31"}, "access_token": TOKEN}
    assert (
        admin.post("/api/v1/connections", json=sent).json()["settings"]["access_token_from"] == "stored:connection/main"
    )
    everything = [admin.get(path).text for path in ("/api/v1/connections/main", "/api/v1/secrets", "/api/v1/audit")]
    assert TOKEN not in "".join(everything)
    assert admin.get("/api/v1/secrets").json()[0]["used_by"] == ["connection main"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({**CONNECTION, "regoin": "eu"}, "There is no setting 'regoin'."),
        ({**CONNECTION, "region": "mars"}, "The region 'mars' does not exist."),
        ({**CONNECTION, "start_date": "soon"}, "The start date 'soon' is not a date."),
        ({**CONNECTION, "access_token_from": "a-token-itself"}, "For the access token"),
        ({"start_date": "2024-01-31", "gateway": "nowhere"}, "The connection main names the data gateway 'nowhere'"),
    ],
)
def test_a_mistake_is_answered_with_its_cause(admin: Any, settings: dict[str, Any], said: str) -> None:
    """What is wrong with settings is said in the words of the commands, and nothing is kept."""
    answer = admin.post("/api/v1/connections", json={"name": "main", "settings": settings})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(said) or "access" in answer.json()["message"]
    assert answer.json()["fix"]
    assert admin.get("/api/v1/connections").json() == []


def test_a_body_of_another_shape_is_answered_with_its_place(admin: Any) -> None:
    """What cannot be read is a mistake of who sent it, with the place where it is wrong."""
    bodies: tuple[Any, ...] = (
        {"name": "main"},
        {"name": "Not A Name", "settings": CONNECTION},
        [],
        "text",
        {"settings": 3},
    )
    for body in bodies:
        answer = admin.post("/api/v1/connections", json=body)
        assert (answer.status_code, bool(answer.json()["message"])) == (400, True)
    assert (
        admin.post("/api/v1/connections", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    )


def test_what_is_too_deep_or_too_large_is_refused_too(admin: Any) -> None:
    """Nobody brings the console down by nesting or by weight."""
    headers = {"content-type": "application/json"}
    for deep in (b"[" * 100_000, b'{"settings":' * 50_000, b'{"name":"x","settings":{"to":' + b"[" * 90_000):
        assert admin.post("/api/v1/tasks", content=deep, headers=headers).status_code in (400, 422)
    assert admin.post("/api/v1/tasks", content=b" " * 1_000_001, headers=headers).status_code == 413


def test_a_connection_is_tested_and_its_metadata_opened(admin: Any, simulator: Simulator) -> None:
    """The API finds out what the pages do: whether the key works, what the tables hold, their first rows."""
    reached = {"start_date": "2024-01-31", "api_url": simulator.url, "max_rps": 500.0}
    admin.post("/api/v1/connections", json={"name": "main", "settings": reached, "access_token": TOKEN})
    tested = admin.post("/api/v1/connections/main/test").json()
    assert [one["readable"] for one in tested["tables"]] == [True] * len(TABLES)
    assert admin.get("/api/v1/connections/main/metadata").json()["at"] is None
    opened = admin.post("/api/v1/connections/main/metadata").json()
    assert [one["name"] for one in opened["tables"]] == [one.name for one in TABLES]
    assert admin.get("/api/v1/connections/main/metadata").json() == opened
    rows = admin.get("/api/v1/connections/main/rows/campaigns?limit=2").json()
    assert len(rows) == 2
    assert all(row["id"] for row in rows)


def test_a_key_that_does_not_work_is_told_with_the_fix(admin: Any, simulator: Simulator) -> None:
    """A wrong key is an answer, not an error: it says what is wrong and what to do."""
    reached = {"start_date": "2024-01-31", "api_url": simulator.url}
    admin.post("/api/v1/connections", json={"name": "main", "settings": reached, "access_token": "wrong"})
    tested = admin.post("/api/v1/connections/main/test")
    assert tested.status_code == 200
    assert tested.json()["cause"]
    assert tested.json()["fix"]


def test_a_gateways_connection_is_asked_about_there(console: Console, admin: Any) -> None:
    """A question waits for the gateway; its answer is shown, and kept as metadata."""
    database, clock = console.stage.database, console.stage.clock
    admin.post("/api/v1/gateways/vienna")
    console.stage.connection("inside", gateway="vienna")
    assert "data gateway" in _said(admin.post("/api/v1/connections/inside/test"))[1]
    number = admin.post("/api/v1/connections/inside/inquiries", json={"about": "tables"}).json()["inquiry"]
    address = f"/api/v1/connections/inside/inquiries/{number}"
    assert admin.get(address).json() == {"waiting": True, "found": None}
    found = ProbeResult(requests=29, tables=[TableProbe(name="campaigns", readable=True, rows=12, basis="the list")])
    with database.writing() as connection:
        assert gateways.take(connection, "vienna", "machine/1", int(clock.now())) is not None
        assert gateways.answer(connection, number, "machine/1", found, int(clock.now()))
    assert admin.get(address).json()["found"]["tables"][0]["rows"] == 12
    opened = admin.get("/api/v1/connections/inside/metadata").json()
    assert next(one["rows"] for one in opened["tables"] if one["name"] == "campaigns") == 12


def test_a_task_is_made_run_paused_and_deleted(console: Console, admin: Any) -> None:
    """A task has its schedule, its runs wait once, and it rests when it is told to."""
    admin.post("/api/v1/connections", json={"name": "main", "settings": CONNECTION})
    sent = {"name": "nightly", "settings": {**TASK, "schedule": {"every": "6h"}}}
    made = admin.post("/api/v1/tasks", json=sent).json()
    assert made["next_at"] == console.stage.clock.now() + 6 * 3_600
    first = admin.post("/api/v1/tasks/nightly/runs").json()["run"]
    assert admin.post("/api/v1/tasks/nightly/runs").json()["run"] == first
    assert admin.get(f"/api/v1/runs/{first[:8]}").json()["run"]["merged"] == 1
    paused = admin.post("/api/v1/tasks/nightly/pause").json()
    assert (paused["paused"], paused["next_at"]) == (True, None)
    assert admin.post("/api/v1/tasks/nightly/resume").json()["paused"] is False
    assert admin.post(f"/api/v1/runs/{first}/cancel").json()["status"] == "cancelled"
    again = admin.post(f"/api/v1/runs/{first}/retry").json()["run"]
    assert [one["status"] for one in admin.get("/api/v1/runs?task=nightly").json()].count("queued") == 1
    assert admin.get("/api/v1/runs?status=queued").json()[0]["id"] == again
    assert admin.delete("/api/v1/tasks/nightly").status_code == 204


def test_tables_are_read_again_by_resync_and_backfill(admin: Any) -> None:
    """A resync names tables of the task, a backfill one of them and a stretch of time."""
    admin.post("/api/v1/connections", json={"name": "main", "settings": CONNECTION})
    admin.post("/api/v1/tasks", json={"name": "nightly", "settings": TASK})
    asked = admin.post("/api/v1/tasks/nightly/runs", json={"kind": "resync", "tables": ["campaigns"]})
    assert asked.status_code == 201
    wrong = admin.post("/api/v1/tasks/nightly/runs", json={"kind": "resync", "tables": ["customers"]})
    assert _said(wrong) == (422, "The task has no table 'customers'.")
    stretch = {"kind": "backfill", "tables": ["messages"], "first": "2025-02-01", "until": "2025-03-01"}
    run = admin.post("/api/v1/tasks/nightly/runs", json=stretch).json()["run"]
    assert admin.get(f"/api/v1/runs/{run}").json()["run"]["action"] == stretch


def test_channels_secrets_gateways_and_users_are_kept_too(admin: Any) -> None:
    """Everything an admin does on pages can be done by a program."""
    channel = {"name": "team", "settings": {"url": "stored:channel/team"}, "address": "json://127.0.0.1/hook"}
    assert admin.post("/api/v1/channels", json=channel).status_code == 201
    assert "127.0.0.1" not in admin.get("/api/v1/channels").text
    assert admin.put("/api/v1/secrets?name=db/password", json={"value": "x"}).status_code == 204
    assert {one["name"] for one in admin.get("/api/v1/secrets").json()} == {"channel/team", "db/password"}
    assert admin.delete("/api/v1/secrets?name=db/password").status_code == 204
    code = admin.post("/api/v1/gateways/vienna").json()
    assert code["gateway"] == "vienna"
    assert code["code"] not in admin.get("/api/v1/gateways").text
    assert admin.delete("/api/v1/gateways/vienna").status_code == 204
    link = admin.post("/api/v1/users", json={"name": "vera", "role": "viewer"}).json()["link"]
    assert "/welcome/" in link
    vera = next(one for one in admin.get("/api/v1/users").json() if one["name"] == "vera")
    assert admin.put(f"/api/v1/users/{vera['id']}", json={"role": "operator"}).json()["role"] == "operator"
    assert admin.delete(f"/api/v1/users/{vera['id']}").status_code == 204


def test_the_description_has_every_address_and_asks_for_a_token(console: Console) -> None:
    """The description of the API names each of its addresses with a sentence, and pages not at all."""
    told = console.client().get("/api/v1/schema/openapi.json").json()
    assert all(path.startswith("/api/v1/") for path in told["paths"])
    operations = [one for path in told["paths"].values() for one in path.values()]
    assert len(operations) > 35
    assert all(one["description"] for one in operations)
    assert told["security"] == [{"token": []}]


def test_numbers_for_prometheus_need_a_token(console: Console) -> None:
    """The numbers are for who may look, and name tasks, runs and their states."""
    console.stage.connection("main")
    console.stage.task("nightly", "main")
    console.stage.ask("nightly")
    answer = console.api(Role.VIEWER).get("/metrics")
    assert answer.status_code == 200
    assert 'cio_replicate_runs{status="queued"} 1.0' in answer.text
    assert "cio_replicate_tasks 1.0" in answer.text


def test_whether_it_works_anybody_may_ask(console: Console) -> None:
    """A load balancer gets a plain answer."""
    answer = console.client().get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")
