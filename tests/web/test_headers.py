"""What every answer carries, and what no page holds: headers, policy, no script and no style of its own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from litestar.testing import TestClient

from cio_replicate.base.errors import DatabaseError
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console.web.application import application
from cio_replicate.console.web.http_security import POLICY
from cio_replicate.database.actor import LOCAL, Role
from tests.console.stage import STORES
from tests.web.visiting import ORIGIN, Console, console_of

PAGES = (
    "/",
    "/connections",
    "/new-connection",
    "/connections/main",
    "/connections/main/edit",
    "/connections/main/metadata",
    "/connections/main/rows",
    "/tasks",
    "/new-task",
    "/tasks/nightly",
    "/tasks/nightly/edit",
    "/tasks/nightly/history",
    "/runs",
    "/runs/{run}",
    "/runs/{run}/log",
    "/runs/{run}/proof",
    "/gateways",
    "/channels",
    "/users",
    "/account",
    "/secrets",
    "/audit",
    "/about",
)
OTHERS = (
    "/login",
    "/welcome/none",
    "/no-such-page",
    "/connections/none",
    "/static/console.css",
    "/static/htmx.js",
    "/static/../app.py",
    "/healthz",
    "/metrics",
    "/api/v1/me",
    "/api/v1/none",
    "/api/v1/schema/openapi.json",
)


@pytest.fixture(scope="module", params=STORES)
def console(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console with a connection, a task and a run that waits, over a database of each kind."""
    with console_of(tmp_path_factory.mktemp("console"), kind=request.param) as made:
        made.stage.variables["TOKEN"] = "made-up"
        made.stage.keep({"main": ConnectionSettings(start_date="2024-01-01", access_token_from="env:TOKEN")})
        made.stage.keep({"nightly": TaskSettings(connection="main", to=["duckdb:////tmp/copy.duckdb"])})
        yield made


@pytest.fixture(scope="module")
def admin(console: Console) -> Any:
    """A browser of an admin."""
    return console.visitor(Role.ADMIN)


@pytest.fixture(scope="module")
def run(console: Console) -> str:
    """A run that waits."""
    return console.services.runs.ask("nightly", LOCAL)


def _require_headers(headers: Any, path: str) -> None:
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["x-frame-options"] == "DENY"
    cached = (path.startswith("/static/") and "console.css" in path) or "htmx" in path
    assert headers["cache-control"] == ("public, max-age=31536000, immutable" if cached else "no-store")
    assert "server" not in headers


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_whole_and_guarded(admin: Any, run: str, path: str) -> None:
    """Every page comes with all headers, and holds no script, style or handler that the policy would have to allow."""
    answer = admin.get(path.format(run=run))
    assert answer.status_code == 200
    _require_headers(answer.headers, path)
    scripts = re.findall(r"<script\b([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    assert all('src="/static/' in attributes and not body.strip() for attributes, body in scripts)
    assert re.findall(r"<style|\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|javascript:", answer.text) == []
    assert re.findall(r'(?:src|href)="(?:https?:)?//(?!docs\.customer\.io)[^"]*"', answer.text) == []


@pytest.mark.parametrize("path", OTHERS)
def test_every_other_answer_is_guarded_too(console: Console, path: str) -> None:
    """Errors, refusals, files and answers to programs come with the same headers."""
    _require_headers(console.client().get(path, follow_redirects=False).headers, path)


def test_another_host_is_refused_with_the_same_headers(console: Console) -> None:
    """The answer to another host is guarded like any other."""
    _require_headers(console.client().get("/", headers={"host": "evil.example"}).headers, "/")


def test_every_form_that_changes_something_has_the_sessions_token(admin: Any, run: str) -> None:
    """No form that is sent by POST lacks the field that other sites cannot know."""
    for path in PAGES:
        text = admin.get(path.format(run=run)).text
        for form in re.findall(r"<form\b[^>]*method=\"post\".*?</form>", text, re.DOTALL):
            assert f'name="csrf" value="{admin.csrf}"' in form


def test_files_are_served_from_one_folder_only(console: Console) -> None:
    """No name leads out of the folder of files."""
    client = console.client()
    for name in ("../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "templates/base.html", ""):
        assert client.get(f"/static/{name}").status_code in (401, 404)


class _Broken:
    """Stands where the database is, and breaks with a text that must not be shown."""

    def reading(self) -> Any:
        """Breaks."""
        raise RuntimeError("marked-secret in the words of an error")

    writing = reading


class _Away:
    """Stands where the database is, and is away."""

    def reading(self) -> Any:
        """Is away."""
        raise DatabaseError("The control database at marked-host cannot be used (it is away).", "Start it.")

    writing = reading


def _over(console: Console, database: Any) -> TestClient[Any]:
    """A console that has this in the place of its database."""
    services = replace(console.services, database=database)
    return TestClient(application(services), base_url=ORIGIN, raise_server_exceptions=False)


def test_a_defect_is_answered_with_a_number_and_nothing_else(
    console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    """Visitors and programs get a number; the log has it with the place, and not with the words of the error."""
    with caplog.at_level(logging.ERROR, "cio_replicate.console"):
        answer = _over(console, _Broken()).get("/healthz")
    assert answer.status_code == 500
    number = re.search(r"<code>([0-9a-f]{8})</code>", answer.text)
    assert number is not None
    assert "marked-secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert number[1] in caplog.text
    assert "RuntimeError" in caplog.text
    assert "marked-secret" not in caplog.text


def test_a_database_that_is_away_is_said_so(console: Console, caplog: pytest.LogCaptureFixture) -> None:
    """While the database is away the console says so, and leaves where it is and why to its log: anybody may ask."""
    answer = _over(console, _Away()).get("/healthz")
    assert answer.status_code == 503
    assert "database is away" in answer.text.replace("&#39;", "'")
    assert "marked-host" not in answer.text
    assert "marked-host" in caplog.text
