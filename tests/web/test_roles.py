"""Roles: every address, asked by nobody, by who may too little, and by who may do enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.exceptions import ImproperlyConfiguredException

from cio_replicate.console.api.gateway_api import gateway_endpoint, gateway_router
from cio_replicate.console.web.application import inner
from cio_replicate.console.web.authorization import require_declared
from cio_replicate.database.actor import Role
from tests.web.visiting import ORIGIN, Browser, Console, console_of

#: What anybody may ask for, and why.
OPEN = {
    ("GET", "/login"): "one logs in there",
    ("POST", "/login"): "one logs in there",
    ("GET", "/login/oidc"): "leads to the identity provider",
    ("GET", "/login/oidc/back"): "comes back from the identity provider",
    ("GET", "/welcome/{link:str}"): "the link itself is the proof",
    ("POST", "/welcome/{link:str}"): "the link itself is the proof",
    ("GET", "/static/{name:str}"): "the console's own style and script",
    ("GET", "/healthz"): "says only whether it works",
    ("GET", "/api/v1/schema"): "describes the API, and holds nothing of this console",
    ("GET", "/api/v1/schema/openapi.json"): "describes the API, and holds nothing of this console",
    ("GET", "/api/v1/schema/{path:str}"): "describes the API, and holds nothing of this console",
}
VALUES = {
    "link": "x",
    "name": "main",
    "run_id": "0" * 32,
    "user_id": "0" * 32,
    "token_id": "0" * 32,
    "number": "0" * 32,
    "member": "0" * 32,
    "table": "campaigns",
    "what": "shut-out",
    "path": "claim",
}


@dataclass(frozen=True)
class Door:
    """One way to call the console."""

    method: str
    path: str
    needs: str

    @property
    def address(self) -> str:
        """The path with something in each of its places."""
        return re.sub(r"\{(\w+):\w+\}", lambda found: VALUES[found[1]], self.path)

    @property
    def is_for_programs(self) -> bool:
        """Whether it takes tokens, and not cookies."""
        return self.path.startswith("/api/") or self.path == "/metrics"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One console for all doors: what is refused changes nothing."""
    with console_of(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture(scope="module")
def doors(console: Console) -> list[Door]:
    """Every way to call it, gateways' too."""
    desk = gateway_endpoint(console.stage.database, {"127.0.0.1"}, console.stage.clock, 60)
    app = inner(console.services, [gateway_router(desk)])
    handlers = [(route.path, handler) for route in app.routes for handler in getattr(route, "route_handlers", ())]
    return [
        Door(method, path, str(handler.opt["needs"]))
        for path, handler in handlers
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]


@pytest.fixture(scope="module")
def visitors(console: Console) -> dict[Role, Browser]:
    """A browser for each role."""
    return {role: console.visitor(role) for role in Role}


@pytest.fixture(scope="module")
def programs(console: Console) -> dict[Role, Any]:
    """A program for each role."""
    return {role: console.api(role) for role in Role}


def test_what_anybody_may_call_is_listed_here(doors: list[Door]) -> None:
    """No door is open but those above, and gateways prove themselves at theirs."""
    assert {(one.method, one.path) for one in doors if one.needs == "nobody"} == set(OPEN)
    assert {one.path for one in doors if one.needs == "gateway"} == {"/gateway/v1/{path:path}"}
    assert len(doors) > 90


def test_nobody_gets_in_anywhere_else(console: Console, doors: list[Door]) -> None:
    """Without a session or a token every other door answers 401."""
    browser, program = console.browser(), console.client()
    answers = {}
    for door in doors:
        if door.needs in ("nobody", "gateway"):
            continue
        answers[door] = (
            program.request(door.method, door.address, json={}).status_code
            if door.is_for_programs
            else (browser.get if door.method == "GET" else browser.post)(door.address).status_code
        )
    assert {door: code for door, code in answers.items() if code != 401} == {}
    assert len(answers) > 80


def test_a_lower_role_is_refused_and_a_sufficient_one_is_not(
    doors: list[Door], visitors: dict[Role, Browser], programs: dict[Role, Any]
) -> None:
    """Every door answers 403 to each role below the one it needs, and to no other."""
    wrong = []
    for door in doors:
        if door.needs in ("nobody", "gateway"):
            continue
        for role in Role:
            if role.covers(Role(door.needs)) and (door.method == "DELETE" or door.address in ("/logout", "/theme")):
                continue  # what is allowed is tried elsewhere, where it matters what it does
            if door.is_for_programs:
                code = programs[role].request(door.method, door.address, json={}).status_code
            else:
                code = (visitors[role].get if door.method == "GET" else visitors[role].post)(door.address).status_code
            if (code == 403) is not (not role.covers(Role(door.needs))):
                wrong.append((door, role, code))
    assert wrong == []


def test_the_api_takes_no_cookie(console: Console, visitors: dict[Role, Browser]) -> None:
    """What a browser sends along by itself opens nothing in the API, so no other site can use it."""
    program = console.client()
    program.cookies = visitors[Role.ADMIN].cookies
    assert program.get("/api/v1/me").status_code == 401
    assert program.post("/api/v1/gateways/one", headers={"origin": ORIGIN}).status_code == 401
    assert program.get("/metrics").status_code == 401


def test_a_page_takes_no_token(console: Console) -> None:
    """A token is for the API alone."""
    assert console.api(Role.ADMIN).get("/users").status_code == 401


def test_a_handler_that_does_not_say_who_may_call_it_is_refused() -> None:
    """The console does not start with a door of which nobody said who may open it."""

    @get("/forgotten", sync_to_thread=False)
    def forgotten() -> None:
        """Declares nothing."""

    with pytest.raises(ImproperlyConfiguredException, match="/forgotten does not say who may call it"):
        require_declared(Litestar([forgotten], openapi_config=None))
