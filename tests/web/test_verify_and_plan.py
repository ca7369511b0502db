"""Verify and plan a task from the console: on its pages and by its API."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cio_replicate.app.run_process import MessageRenderer
from cio_replicate.app.settings import copy_of, opened, resolve
from cio_replicate.app.sync import sync
from cio_replicate.console import gateways
from cio_replicate.database.actor import LOCAL, Role
from cio_replicate.pipeline.report import Status
from customerio_simulator import Simulator, WorkspaceSpec
from tests.web.visiting import Browser, Console, error_of

TOKEN = "marked-7f3a9c51-token"
TABLES = ("campaigns", "customers", "messages", "segments", "workspaces")


class Copied:
    """A task whose copy is there, and the workspace that it was made from."""

    def __init__(self, console: Console, simulator: Simulator, folder: Path) -> None:
        self.console, self.simulator, self.folder = console, simulator, folder
        self.file = folder / "copy.duckdb"
        self.state = folder / "state"
        console.stage.connection("shop", token=TOKEN, api_url=simulator.url, max_rps=500.0)
        console.stage.task("nightly", "shop", to=[f"duckdb:///{self.file}"], tables=",".join(TABLES))

    def fill(self) -> None:
        """Run the task once, as a worker of this machine does."""
        services, clock = self.console.services, self.console.stage.clock
        connection = services.connections.named("shop").settings
        task = services.tasks.named("nightly").settings
        variables = self.console.stage.variables
        resolved = resolve(connection, task, clock, state_dir=self.state, environment=variables)
        assert sync(resolved, clock, MessageRenderer(io.BytesIO(), clock)).status is Status.COMPLETE

    def lose(self, table: str) -> None:
        """Take a row out of the copy, behind the program's back."""
        with duckdb.connect(str(self.file)) as copy:
            copy.execute(f"DELETE FROM customerio.{table} WHERE id = (SELECT min(id) FROM customerio.{table})")

    def proofs(self) -> list[Any]:
        """The verifications that the copy has recorded, the last ones."""
        with duckdb.connect(str(self.file), read_only=True) as copy:
            found = copy.execute("SELECT table_name FROM customerio._cio_proof WHERE run_id LIKE 'verify-%' ORDER BY 1")
            return [name for (name,) in found.fetchall()]


@pytest.fixture
def copied(console: Console, tmp_path: Path) -> Iterator[Copied]:
    """A task that has not run yet."""
    with Simulator(WorkspaceSpec(seed=3, messages=300, people=40), token=TOKEN) as simulator:
        yield Copied(console, simulator, tmp_path)


@pytest.fixture
def operator(console: Console) -> Browser:
    """Who may start runs, and so may verify and plan."""
    return console.visitor(Role.OPERATOR)


def _text(answer: Any) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def test_a_page_verifies_the_copy(copied: Copied, operator: Browser) -> None:
    """The keys are read back, lists are counted at the source, and the copy records it."""
    copied.fill()
    assert "Verify now" in operator.get("/tasks/nightly/verify").text
    answer = operator.post("/tasks/nightly/verify")
    assert answer.status_code == 200
    assert "✓ The copy holds what was loaded into it: 5 tables" in _text(answer)
    assert answer.text.count("those that were loaded</td>") == len(TABLES)
    assert "the length of the list" in answer.text
    assert copied.proofs() == sorted(TABLES)
    assert "task.verify" in copied.console.visitor(Role.ADMIN).get("/audit").text


def test_a_page_says_what_a_copy_lacks(copied: Copied, operator: Browser) -> None:
    """A row that somebody deleted makes its table short, with the way to put it right."""
    copied.fill()
    copied.lose("segments")
    text = _text(operator.post("/tasks/nightly/verify"))
    assert "✕ The copy is not true: 5 tables, " in text
    assert " 1 short" in text
    assert "Resync the table to put it right." in text
    assert "others than were loaded" in text


def test_a_page_plans_the_next_run(copied: Copied, operator: Browser) -> None:
    """Before the first run from first pages, later from the copy; people are told apart."""
    assert "Plan now" in operator.get("/tasks/nightly/plan").text
    first = _text(operator.post("/tasks/nightly/plan"))
    assert "requests a second" in first
    assert "rows in the copy" not in first
    copied.fill()
    later = _text(operator.post("/tasks/nightly/plan"))
    assert "rows in the copy" in later
    assert "People: reading everybody costs" in later
    assert all(name in later for name in TABLES)
    assert not copied.proofs()
    assert "task.plan" in copied.console.visitor(Role.ADMIN).get("/audit").text


def test_what_cannot_be_verified_is_said_with_the_fix(copied: Copied, operator: Browser) -> None:
    """No copy yet; a run that goes on; a key that is refused."""
    answer = operator.post("/tasks/nightly/verify")
    assert (answer.status_code, "There is no copy in" in error_of(answer)) == (409, True)
    copied.fill()
    settings = copied.console.services.tasks.named("nightly").settings
    with opened(copy_of(settings.to, settings.dataset, copied.state, {})):
        assert error_of(operator.post("/tasks/nightly/verify")).startswith("Another process is running this task")
    copied.console.stage.variables["TOKEN_SHOP"] = "wrong"
    copied.file.unlink()
    answer = operator.post("/tasks/nightly/plan")
    assert (answer.status_code, "access token" in error_of(answer)) == (422, True)
    assert operator.post("/tasks/none/verify").status_code == 404


def test_behind_a_gateway_pages_and_api_say_that_it_is_not_available(console: Console) -> None:
    """The console reaches neither the copy nor the workspace of such a task."""
    gateways.create(console.stage.database, "vienna", 0, LOCAL)
    console.stage.connection("inside", gateway="vienna")
    console.stage.task("far", "inside", to=["duckdb:////data/copy.duckdb"])
    admin, program = console.visitor(Role.ADMIN), console.api(Role.OPERATOR)
    for what in ("verify", "plan"):
        page = admin.get(f"/tasks/far/{what}").text
        assert "Not available behind a gateway" in page
        assert f"cio-replicate {what}" in page
        assert f"{what.capitalize()} now" not in page
        for answer in (admin.post(f"/tasks/far/{what}"), program.post(f"/api/v1/tasks/far/{what}")):
            assert (answer.status_code, "data gateway vienna alone" in answer.text) == (409, True)


def test_the_api_verifies_and_plans(copied: Copied) -> None:
    """Programs get what `verify --json` and `plan --json` write."""
    program = copied.console.api(Role.OPERATOR)
    copied.fill()
    plan = program.post("/api/v1/tasks/nightly/plan").json()
    assert [one["table"] for one in plan["tables"]] == [one["name"] for one in _verified(program)["tables"]]
    assert plan["least"] == sum(one["least"] for one in plan["tables"])
    before = _verified(program, "?requests=0")
    assert (before["status"], before["requests"]) == ("true", 0)
    copied.lose("campaigns")
    after = _verified(program)
    assert (after["status"], after["requests"] > 0) == ("short", True)
    short = [one["name"] for one in after["tables"] if one["proof"]["verdict"] == "short"]
    assert short == ["campaigns"]


def test_viewers_may_not(copied: Copied) -> None:
    """Both use the connection's key, so it takes an operator; nobody else is offered it."""
    viewer = copied.console.visitor(Role.VIEWER)
    assert "/tasks/nightly/verify" not in viewer.get("/tasks/nightly").text
    assert viewer.post("/tasks/nightly/verify").status_code == 403
    assert copied.console.api(Role.VIEWER).post("/api/v1/tasks/nightly/plan").status_code == 403


def _verified(program: Any, query: str = "") -> Any:
    answer = program.post(f"/api/v1/tasks/nightly/verify{query}")
    assert answer.status_code == 200
    return answer.json()
