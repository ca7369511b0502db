"""The API under a property-based tester, once for each role: no failure of the server, and no way past a role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from cio_replicate.console.web.application import inner
from cio_replicate.database.actor import LOCAL, Role
from tests.web.visiting import Console, console_of

pytestmark = pytest.mark.web

EXAMPLES = 25
#: What reaches out to wherever a connection says: a made-up connection must not send a test anywhere.
REACHES_OUT = r"/(test|metadata|rows/\{table\})$"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console with something of each kind."""
    with console_of(tmp_path_factory.mktemp("console")) as made:
        made.stage.connection("main")
        made.stage.task("nightly", "main")
        made.services.runs.ask("nightly", LOCAL)
        for role in Role:
            made.user(f"{role} person", role)
        yield made


@pytest.fixture(scope="module")
def needed(console: Console) -> dict[tuple[str, str], Role]:
    """The role that each operation needs, as its handler declares."""
    return {
        (method, re.sub(r":\w+", "", route.path)): Role(handler.opt["needs"])
        for route in inner(console.services).routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if handler.opt.get("needs") in list(Role)
    }


@pytest.fixture(scope="module")
def tokens(console: Console) -> dict[Role, str]:
    """A token for each role."""
    return {role: console.token(role) for role in Role}


@pytest.fixture(scope="module")
def operations(console: Console) -> list[Any]:
    """All that the API describes of itself, without what reaches out."""
    schema = schemathesis.openapi.from_asgi(
        "/api/v1/schema/openapi.json", console.app, headers={"host": "127.0.0.1:8765"}
    ).exclude(path_regex=REACHES_OUT)
    return [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("role", [*Role, None])
def test_whatever_is_sent_is_answered_in_order(
    operations: list[Any],
    tokens: dict[Role, str],
    needed: dict[tuple[str, str], Role],
    role: Role | None,
    mode: GenerationMode,
) -> None:
    """Every answer is one that the description promises, none is a failure of the server, none is past the role."""
    assert len(operations) > 30
    for operation in operations:
        wanted = needed[operation.method.upper(), operation.path]
        with suppress(Unsatisfiable):  # nothing wrong can be sent where nothing is sent at all
            _try_out(operation, mode, role, tokens.get(role) if role is not None else None, wanted)


def _try_out(operation: Any, mode: GenerationMode, role: Role | None, token: str | None, wanted: Role) -> None:
    headers = {"host": "127.0.0.1:8765"} | ({"authorization": f"Bearer {token}"} if token is not None else {})
    checks = [not_a_server_error, status_code_conformance, response_schema_conformance]

    @settings(
        max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: schemathesis.Case[Any]) -> None:
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=checks)
        if mode is GenerationMode.NEGATIVE:  # which may have spoilt the token or the address as well
            assert answer.status_code >= 400 or (role is not None and role.covers(wanted))
        elif role is None:
            assert answer.status_code == 401
        elif not role.covers(wanted):
            assert answer.status_code == 403
        else:
            assert answer.status_code not in (401, 403)

    each()
