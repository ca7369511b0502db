"""Connections: kept, checked, changed and deleted; which of them share a workspace; what can be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console.gateways import create as create_gateway
from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.database.actor import Actor
from cio_replicate.database.tables import runs
from cio_replicate.jobs.ports import ProbeRequest
from cio_replicate.source.catalog import names
from customerio_simulator import Simulator, WorkspaceSpec
from tests.config.refused import refusal
from tests.console.stage import START, STORES, environment, store_url
from tests.console.stores import ADMIN, OPERATOR, VIEWER, everything, store_of, told
from tests.manual_clock import ManualClock

TOKEN = "marked-7f3a9c51-token"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ControlServices]:
    """A store of each kind."""
    with store_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def small(tmp_path: Path) -> Iterator[ControlServices]:
    """A store in a file; two variables hold the same token."""
    variables = {"ONE": TOKEN, "THE_SAME": TOKEN, "OTHER": "another-token"}
    with store_of("sqlite", tmp_path, variables=variables) as made:
        yield made


def made(**changed: Any) -> ConnectionSettings:
    """Settings that can be kept."""
    return ConnectionSettings(**({"start_date": "2024-01-31", "access_token_from": "env:ONE"} | changed))


def reading(connection: str, **changed: Any) -> TaskSettings:
    """A task that reads a connection."""
    return TaskSettings(connection=connection, to=["duckdb:////tmp/copy.duckdb"], **changed)


def test_a_connection_is_kept_as_it_was_made(store: ControlServices) -> None:
    """Every setting comes back, also one that is as it is by default, and the audit log says who made it."""
    settings = made(max_rps=5, budget_share="50%", region="eu")
    kept = store.connections.create("main", settings, ADMIN)
    assert store.connections.named("main") == kept
    assert (kept.settings, kept.created_at, kept.changed_at) == (settings, START, START)
    (entry,) = told(store)
    assert (entry.who, entry.did, entry.what) == ("ada", "connection.create", "main")
    assert "max_rps: none → 5" in (entry.detail or "")


def test_an_edit_changes_what_it_changes(store: ControlServices) -> None:
    """What differs is told, field by field; an edit that changes nothing is none."""
    store.connections.create("main", made(), ADMIN)
    changed = store.connections.edit("main", made(max_rps=2.5, region="us"), ADMIN)
    assert [(one.name, one.old, one.new) for one in changed] == [("region", "auto", "us"), ("max_rps", "10", "2.5")]
    assert store.connections.edit("main", made(max_rps=2.5, region="us"), ADMIN) == ()
    assert [one.did for one in told(store)] == ["connection.create", "connection.edit"]
    assert told(store)[1].detail == "region: auto → us; max_rps: 10 → 2.5"


def test_a_connection_is_found_by_its_name(store: ControlServices) -> None:
    """All are listed by name; one that there is not, and one that there is already, are told."""
    for name in ("b", "a"):
        store.connections.create(name, made(), ADMIN)
    assert [one.name for one in store.connections.all()] == ["a", "b"]
    assert "connection list" in refusal(lambda: store.connections.named("c"))
    assert "already" in refusal(lambda: store.connections.create("a", made(), ADMIN))
    assert "connection list" in refusal(lambda: store.connections.edit("c", made(), ADMIN))
    assert "connection list" in refusal(lambda: store.connections.delete("c", ADMIN))


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "-a", "a" * 64, "é", "a\n", "a.b"])
def test_a_name_that_cannot_stand_in_a_file_is_refused(small: ControlServices, name: str) -> None:
    """And nothing is kept."""
    assert "cannot be called" in refusal(lambda: small.connections.create(name, made(), ADMIN))
    assert small.connections.all() == []


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a token written out": ({"access_token_from": TOKEN}, "--access-token-from"),
    "a token in a reference": ({"access_token_from": f"env:{TOKEN}"}, "--access-token-from"),
    "an unknown region": ({"region": "asia"}, "us, eu or auto"),
    "an address that is none": ({"api_url": "nowhere"}, "https://host"),
    "an address with credentials": ({"api_url": f"https://me:{TOKEN}@example.com"}, "credentials"),
    "an unprotected address": ({"api_url": "http://example.com"}, "https://"),
    "a start date that is none": ({"start_date": "31.1.2024"}, "2024-01-31"),
    "a start date to come": ({"start_date": "2999-01-01"}, "future"),
    "a budget of nothing": ({"max_rps": 0.0}, "0.01 to 10"),
    "a share that is none": ({"budget_share": "half"}, "1% to 100%"),
    "a gateway that there is not": ({"gateway": "lan"}, "data gateway"),
    "a stored secret that there is not": ({"access_token_from": "stored:nothing"}, "secret put nothing"),
}


@pytest.mark.parametrize(("changed", "says"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_no_run_could_use_are_refused(small: ControlServices, changed: dict[str, Any], says: str) -> None:
    """When a connection is made and when it is edited; what is kept stays as it is, and no token is shown."""
    said = refusal(lambda: small.connections.create("main", made(**changed), ADMIN))
    assert says in said
    assert TOKEN not in said
    small.connections.create("main", made(), ADMIN)
    assert says in refusal(lambda: small.connections.edit("main", made(**changed), ADMIN))
    assert small.connections.named("main").settings == made()
    assert [one.did for one in told(small)] == ["connection.create"]


@pytest.mark.parametrize("by", [VIEWER, OPERATOR], ids=lambda by: by.role)
def test_only_an_admin_changes_connections(small: ControlServices, by: Actor) -> None:
    """Whoever may look, and whoever may run, may not."""
    small.connections.create("main", made(), ADMIN)
    for call in (
        lambda: small.connections.create("other", made(), by),
        lambda: small.connections.edit("main", made(max_rps=1), by),
        lambda: small.connections.delete("main", by),
        lambda: small.connections.inquire(made(), ProbeRequest.ACCESS, by, Secret("t")),
    ):
        assert "Only the role admin" in refusal(call)
    assert [one.settings for one in small.connections.all()] == [made()]


# --- its token -------------------------------------------------------------------------------------------------------


def test_a_token_is_stored_for_its_connection(store: ControlServices, tmp_path: Path) -> None:
    """It stands encrypted under the connection's name, is replaced by an edit, and goes with the connection."""
    kept = store.connections.create("main", made(access_token_from=None), ADMIN, Secret(f" {TOKEN}\n"))
    assert kept.settings.access_token_from == "stored:connection/main"
    assert TOKEN not in everything(store)
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    store.connections.edit("main", kept.settings, ADMIN, Secret("another-token"))
    assert [one.did for one in told(store)] == [
        "secret.put",
        "connection.create",
        "secret.replace",
        "connection.edit",
    ]
    store.connections.delete("main", ADMIN)
    assert store.secrets.all() == []


def test_a_token_that_can_be_none_is_refused(small: ControlServices) -> None:
    """Nothing of the connection is kept then."""
    for token in map(Secret, ("", " ", "two words", "schlüssel")):
        assert "access token" in refusal(partial(small.connections.create, "main", made(), ADMIN, token))
    assert (small.connections.all(), small.secrets.all()) == ([], [])


# --- which connections share a workspace -----------------------------------------------------------------------------


def workspaces(store: ControlServices) -> dict[str, str]:
    """Which workspace each connection reaches."""
    return {one.name: one.workspace for one in store.connections.all()}


def test_connections_with_the_same_token_share_a_workspace(small: ControlServices) -> None:
    """Wherever the token is kept and whichever region is named; another token, and another API, is another."""
    small.connections.create("variable", made(), ADMIN)
    small.connections.create("same", made(access_token_from="env:THE_SAME", region="eu"), ADMIN)
    small.connections.create("host", made(api_url="https://api.customer.io/v1"), ADMIN)
    small.connections.create("stored", made(), ADMIN, Secret(TOKEN))
    small.connections.create("other", made(access_token_from="env:OTHER"), ADMIN)
    small.connections.create("elsewhere", made(api_url="http://127.0.0.1:1234"), ADMIN)
    found = workspaces(small)
    assert len({found[name] for name in ("variable", "same", "host", "stored")}) == 1
    assert len(set(found.values())) == 3
    assert TOKEN not in repr(found)


def test_an_edit_of_the_token_leads_to_another_workspace(small: ControlServices) -> None:
    """And back again, also after the key of the database has been changed."""
    small.connections.create("a", made(), ADMIN)
    small.connections.create("b", made(access_token_from="env:OTHER"), ADMIN)
    before = workspaces(small)
    small.connections.edit("b", made(), ADMIN)
    assert workspaces(small)["b"] == before["a"]
    small.secrets.rotate(ADMIN)
    small.connections.edit("b", made(access_token_from="env:OTHER"), ADMIN)
    assert workspaces(small) == before


def test_a_token_that_cannot_be_found_here_is_known_by_its_place(small: ControlServices) -> None:
    """The same place is the same token; on a gateway it is another one than here, though the variable is called so."""
    for gateway in ("lan", "dmz"):
        create_gateway(small.database, gateway, int(START), ADMIN)
    small.connections.create("a", made(access_token_from="env:MISSING"), ADMIN)
    small.connections.create("b", made(access_token_from="env:MISSING", max_rps=1), ADMIN)
    small.connections.create("c", made(access_token_from="env:MISSING_TOO"), ADMIN)
    small.connections.create("here", made(), ADMIN)
    small.connections.create("lan", made(gateway="lan"), ADMIN)
    small.connections.create("lan-too", made(gateway="lan", max_rps=1), ADMIN)
    small.connections.create("dmz", made(gateway="dmz"), ADMIN)
    found = workspaces(small)
    assert found["a"] == found["b"]
    assert found["lan"] == found["lan-too"]
    assert len(set(found.values())) == 5


def test_a_token_that_was_found_once_stays_known(tmp_path: Path) -> None:
    """An edit from where it cannot be found leaves it; a program that finds it makes good what was missed."""
    url = store_url("sqlite", tmp_path)
    with opened(url, environment(tmp_path) | {"ONE": TOKEN}, ManualClock(START)) as here:
        here.connections.create("a", made(), ADMIN)
        here.connections.create("stored", made(), ADMIN, Secret(TOKEN))
    with opened(url, environment(tmp_path), ManualClock(START)) as elsewhere:
        elsewhere.connections.edit("a", made(max_rps=1), ADMIN)
        elsewhere.connections.create("b", made(), ADMIN)
        found = workspaces(elsewhere)
        assert found["a"] == found["stored"] != found["b"]
    with opened(url, environment(tmp_path) | {"ONE": TOKEN}, ManualClock(START)) as here:
        assert here.connections.recognise() == 1
        assert len(set(workspaces(here).values())) == 1
        (tmp_path / "console.key").unlink()
        here.secrets.rotate(ADMIN, key_lost=True)
        assert here.connections.recognise() == 2
        found = workspaces(here)
        assert found["a"] == found["b"]


def test_the_digest_of_a_token_is_of_no_use_elsewhere(tmp_path: Path) -> None:
    """Two databases know the same token by different digests, so that nobody can look tokens up."""
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with store_of("sqlite", tmp_path / name, variables={"ONE": TOKEN}) as store:
            store.connections.create("main", made(), ADMIN)
            found.append(workspaces(store)["main"])
    assert found[0] != found[1]


# --- with tasks, runs and gateways -----------------------------------------------------------------------------------


def test_a_connection_that_is_used_stays(small: ControlServices) -> None:
    """The refusal names the tasks that read it."""
    small.connections.create("main", made(), ADMIN)
    small.tasks.create("daily", reading("main"), ADMIN)
    assert "task daily" in refusal(lambda: small.connections.delete("main", ADMIN))
    small.tasks.delete("daily", ADMIN)
    small.connections.delete("main", ADMIN)
    assert small.connections.all() == []


def test_runs_that_wait_follow_their_connection(small: ControlServices) -> None:
    """To its other workspace, and to its gateway; one that goes on stays where it is."""
    create_gateway(small.database, "lan", int(START), ADMIN)
    small.connections.create("main", made(), ADMIN)
    first, second = (small.tasks.create(name, reading("main"), ADMIN).id for name in ("a", "b"))
    before = workspaces(small)["main"]
    common = {"gateway": None, "cause": "user", "action": "{}", "attempt": 1, "claims": 0, "merged": 0}
    common |= {"due_at": 0, "not_before": 0, "cancelling": False, "workspace": before}
    with small.database.writing() as connection:
        for task_id, status in ((first, "queued"), (second, "running")):
            connection.execute(insert(runs).values(id=status, task_id=task_id, status=status, **common))
    small.connections.edit("main", made(gateway="lan"), ADMIN)
    with small.database.reading() as connection:
        found = {row.id: (row.workspace, row.gateway) for row in connection.execute(runs.select())}
    assert found == {"queued": (workspaces(small)["main"], "lan"), "running": (before, None)}


def test_no_secret_of_the_console_is_kept_for_a_gateway(small: ControlServices) -> None:
    """Neither its connection's token, nor what its tasks write with."""
    create_gateway(small.database, "lan", int(START), ADMIN)
    afar = made(gateway="lan")
    assert "where the gateway runs" in refusal(lambda: small.connections.create("a", afar, ADMIN, Secret(TOKEN)))
    small.secrets.put("pw", Secret("1"), ADMIN)
    stored = replace(afar, access_token_from="stored:pw")
    assert "gateway lan" in refusal(lambda: small.connections.create("a", stored, ADMIN))
    small.connections.create("a", afar, ADMIN)
    task = replace(reading("a"), to=["postgresql://u@h/d?password=stored:pw"])
    assert "gateway lan" in refusal(lambda: small.tasks.create("t", task, ADMIN))
    small.connections.edit("a", made(), ADMIN)
    small.tasks.create("t", task, ADMIN)
    assert "gateway lan" in refusal(lambda: small.connections.edit("a", afar, ADMIN))
    assert small.connections.named("a").settings.gateway is None


# --- what can be asked of it -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a workspace whose key may not read segments."""
    with Simulator(WorkspaceSpec(messages=50, activities=20), token=TOKEN, denied=["segments"]) as simulator:
        yield simulator.url


def test_a_connection_is_tested_with_the_token_that_it_has(small: ControlServices, url: str) -> None:
    """Each table says whether it can be read, and if not the cause and the fix; nothing of it is kept."""
    settings = made(api_url=url, max_rps=500)
    small.connections.create("stored", settings, ADMIN, Secret(TOKEN))
    small.connections.create("variable", settings, ADMIN)
    for name in ("stored", "variable"):
        found = small.connections.test(name, OPERATOR)
        assert found.works
        assert [one.name for one in found.tables] == list(names())
        (refused,) = [one for one in found.tables if not one.readable]
        assert refused.name == "segments"
        assert refused.cause
        assert refused.fix
        assert small.connections.last_metadata(name).at is None


def test_settings_are_tried_before_they_are_kept(small: ControlServices, url: str) -> None:
    """With a token that is not stored yet."""
    settings = made(api_url=url, max_rps=500, access_token_from=None)
    assert small.connections.inquire(settings, ProbeRequest.ACCESS, ADMIN, Secret(TOKEN)).works
    assert (small.connections.all(), small.secrets.all()) == ([], [])


def test_what_does_not_work_is_told_with_its_cause_and_fix(small: ControlServices, url: str) -> None:
    """A token that the API does not know, one that is not there, and nobody at the address."""
    wrong = small.connections.inquire(made(api_url=url, access_token_from="env:OTHER"), ProbeRequest.ACCESS, ADMIN)
    missing = small.connections.inquire(made(access_token_from="env:MISSING"), ProbeRequest.ACCESS, ADMIN)
    nobody = small.connections.inquire(made(api_url="http://127.0.0.1:9"), ProbeRequest.ACCESS, ADMIN)
    for found, says in ((wrong, "App API key"), (missing, "MISSING"), (nobody, "127.0.0.1")):
        assert not found.works
        assert found.fix
        assert says in found.cause + found.fix


def test_metadata_is_opened_and_kept(small: ControlServices, url: str) -> None:
    """Before it is opened, what is known of every table is there; afterwards also what this key may read and costs."""
    small.connections.create("main", made(api_url=url, max_rps=500), ADMIN)
    before = small.connections.last_metadata("main")
    assert (before.at, [one.name for one in before.tables]) == (None, list(names()))
    assert {one.readable for one in before.tables} == {None}
    opened = small.connections.open_metadata("main", OPERATOR)
    assert opened == small.connections.last_metadata("main")
    assert opened.at == START
    assert 0 < opened.requests < 100
    by_name = {one.name: one for one in opened.tables}
    messages = by_name["messages"]
    assert (messages.readable, messages.method, messages.key) == (True, "full", ["id"])
    assert messages.rows
    assert messages.least
    assert messages.reference.startswith("https://docs.customer.io/")
    assert {"id", "created", "_cio_synced_at"} <= {column.name for column in messages.columns}
    assert [one.name for one in opened.tables if not one.readable] == ["segments"]
    assert by_name["segments"].replication_key == "updated_at"


def test_metadata_of_before_stays_when_nothing_can_be_found_out(small: ControlServices, url: str) -> None:
    """The cause is told, and what was known is still shown."""
    small.connections.create("main", made(api_url=url, max_rps=500), ADMIN)
    opened = small.connections.open_metadata("main", OPERATOR)
    small.connections.edit("main", made(api_url=url, access_token_from="env:OTHER"), ADMIN)
    assert small.connections.open_metadata("main", OPERATOR).cause
    assert small.connections.last_metadata("main") == opened
