"""Pages and their forms: what one sees, what is kept, and what is said when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cio_replicate.config.documents import ScheduleSettings
from cio_replicate.console import gateways
from cio_replicate.console import gateways as inquiries
from cio_replicate.database.actor import LOCAL, Role
from cio_replicate.jobs.ports import Outcome, ProbeResult, TableProbe
from cio_replicate.pipeline.events import LogLine, Progress, TableProgressEvent
from cio_replicate.pipeline.report import Report, Status, TableReport, Verification, VerificationStatus
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator, WorkspaceSpec
from tests.console.stage import run_of
from tests.web.visiting import Browser, Console, error_of, title_of

TOKEN = "marked-7f3a9c51-token"
CONNECTION = {"name": "shop", "start_date": "2024-01-31", "region": "eu", "access_from": "typed", "token": TOKEN}
TASK: dict[str, Any] = {
    "name": "nightly",
    "connection": "main",
    "which": "only",
    "table": ["campaigns", "messages"],
    "to": "duckdb:////tmp/copy.duckdb",
    "dataset": "customerio",
    "mode": "apply",
    "mode:campaigns": "history",
    "when": "cron",
    "cron": "0 3 * * *",
    "zone": "Europe/Berlin",
    "missed": "skip",
    "retries": "5",
    "retry_pause": "60",
    "columns": "customers:exclude=devices\nmessages:rename=created:sent_at",
}


@pytest.fixture
def admin(console: Console) -> Browser:
    """An admin at a console with a connection."""
    console.stage.connection("main")
    return console.visitor(Role.ADMIN)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A small workspace."""
    with Simulator(WorkspaceSpec(seed=3), token=TOKEN) as running:
        yield running


def test_an_empty_console_says_what_to_do_first(console: Console) -> None:
    """While there is nothing, pages lead to the next step and not to an empty table."""
    browser = console.visitor(Role.ADMIN)
    for path, said in (
        ("/", "Create the first connection"),
        ("/connections", "Create the first connection"),
        ("/tasks", "Create a connection"),
        ("/new-task", "Create a connection"),
        ("/runs", "To the tasks"),
        ("/gateways", "Make a gateway when"),
        ("/channels", "Make a channel for"),
        ("/secrets", "Nothing is stored yet"),
    ):
        assert said in browser.get(path).text


def test_what_one_may_not_do_is_not_offered(console: Console) -> None:
    """A viewer sees no button that would be refused."""
    console.stage.connection("main")
    console.stage.task("nightly", "main")
    viewer = console.visitor(Role.VIEWER)
    for path in ("/", "/connections", "/connections/main", "/connections/main/metadata", "/tasks", "/tasks/nightly"):
        text = viewer.get(path).text
        forms = set(re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', text))
        assert forms == {"/theme", "/logout"}
        assert "/users" not in text
        assert "/edit" not in text


def test_a_connection_is_made_with_its_token_stored(console: Console, admin: Browser) -> None:
    """The token that was typed is kept encrypted, and no page shows it."""
    assert admin.post("/new-connection", **CONNECTION).headers["location"] == "/connections/shop"
    kept = console.services.connections.named("shop").settings
    assert (kept.region, kept.start_date, kept.access_token_from) == ("eu", "2024-01-31", "stored:connection/shop")
    for path in ("/connections/shop", "/connections/shop/edit", "/secrets", "/audit"):
        answer = admin.get(path)
        assert (answer.status_code, TOKEN in answer.text) == (200, False)


def test_what_is_wrong_with_a_connection_is_said_beside_what_was_written(console: Console, admin: Browser) -> None:
    """A refused form comes back with the cause, the fix and all fields but the secret one."""
    answer = admin.post("/new-connection", **{**CONNECTION, "start_date": "31.1.2024"})
    assert answer.status_code == 422
    assert "is not a date. Write it as 2024-01-31" in error_of(answer)
    assert 'value="31.1.2024"' in answer.text
    assert 'value="shop"' in answer.text
    assert TOKEN not in answer.text
    assert [one.name for one in console.services.connections.all()] == ["main"]


def test_a_connection_is_tested_before_it_is_kept(console: Console, admin: Browser, simulator: Simulator) -> None:
    """The button tries what the form says, keeps nothing, and names cause and fix of what does not work."""
    reached = {**CONNECTION, "api_url": simulator.url, "test": "yes"}
    assert f"The key works: it may read all {len(TABLES)} tables." in admin.post("/new-connection", **reached).text
    wrong = admin.post("/new-connection", **{**reached, "token": "wrong"})
    assert "not accepted" in error_of(wrong) or "unknown" in error_of(wrong) or error_of(wrong)
    assert [one.name for one in console.services.connections.all()] == ["main"]


def test_editing_a_connection_keeps_its_token(console: Console, admin: Browser) -> None:
    """A form that says nothing of the token leaves it; a new one takes its place."""
    admin.post("/new-connection", **CONNECTION)
    fields = {"start_date": "2024-02-01", "region": "us", "access_from": "typed", "token": ""}
    assert admin.post("/connections/shop/edit", **fields).status_code == 303
    kept = console.services.connections.named("shop").settings
    assert (kept.start_date, kept.region, kept.access_token_from) == ("2024-02-01", "us", "stored:connection/shop")


def test_opening_metadata_shows_rows_costs_and_columns(admin: Browser, simulator: Simulator) -> None:
    """With the box ticked the metadata is open right after the connection is made."""
    made = admin.post("/new-connection", **CONNECTION, api_url=simulator.url, max_rps="500", open_metadata="yes")
    assert made.headers["location"] == "/connections/shop/metadata"
    text = admin.get("/connections/shop/metadata").text
    assert text.count('<span class="state good">') == len(TABLES)
    assert "https://docs.customer.io/api/app/#operation/" in text
    assert "cio_id" in text


def test_rows_are_shown_as_a_task_copies_them(console: Console, simulator: Simulator) -> None:
    """First rows come with the task's rules for columns, to operators, and each look is in the audit log."""
    console.stage.connection("shop", token=TOKEN, api_url=simulator.url, max_rps=500.0)
    console.stage.task("masked", "shop", columns=["customers:exclude=identifiers__email"], tables="customers,campaigns")
    operator = console.visitor(Role.OPERATOR)
    plain = operator.get("/connections/shop/rows?table=customers").text
    masked = operator.get("/connections/shop/rows?table=customers&task=masked").text
    assert "<code>identifiers__email</code>" in plain
    assert "<code>identifiers__email</code>" not in masked
    assert "table customers as task masked has it" in console.visitor(Role.ADMIN).get("/audit").text
    assert error_of(operator.get("/connections/shop/rows?table=nothing")).startswith("There is no table 'nothing'.")


def test_rows_behind_a_gateway_are_not_shown(console: Console) -> None:
    """No row of a gateway's connection passes the console, whoever asks."""
    gateways.create(console.stage.database, "vienna", 0, LOCAL)
    console.stage.connection("inside", gateway="vienna")
    admin = console.visitor(Role.ADMIN)
    assert "Rows stay behind the gateway" in admin.get("/connections/inside/rows").text
    assert admin.get("/connections/inside/rows?table=campaigns").status_code == 409


def test_a_gateways_connection_is_asked_about_there(console: Console) -> None:
    """Metadata of a connection with a gateway comes from the gateway: the page waits for it, and then has it."""
    database, clock = console.stage.database, console.stage.clock
    gateways.create(database, "vienna", 0, LOCAL)
    console.stage.connection("inside", gateway="vienna")
    operator = console.visitor(Role.OPERATOR)
    asked = operator.post("/connections/inside/metadata").headers["location"]
    assert 'hx-trigger="every 2s"' in operator.get(asked).text
    tested = operator.post("/connections/inside/test").headers["location"]
    assert "Asking the gateway vienna" in operator.get(tested).text
    found = ProbeResult(
        api="https://api.example", requests=29, tables=[TableProbe(name="campaigns", readable=True, rows=1_234)]
    )
    with database.writing() as connection:
        for _ in range(2):
            inquiry = inquiries.take(connection, "vienna", "machine/1", int(clock.now()))
            assert inquiry is not None
            assert inquiries.answer(connection, inquiry.id, "machine/1", found, int(clock.now()))
    assert operator.get(asked).headers["location"] == "/connections/inside/metadata"
    assert "1,234" in operator.get("/connections/inside/metadata").text
    assert "The key works" in operator.get(tested).text
    console.stage.connection("beside", gateway="vienna")
    for number in (asked.rpartition("/")[2], tested.rpartition("=")[2]):
        assert "did not answer" in operator.get(f"/connections/beside/metadata/{number}").text
        assert operator.get("/connections/beside/metadata").text.count("1,234") == 0
    late = operator.post("/connections/inside/metadata").headers["location"]
    clock.time += inquiries.PATIENCE + 1
    assert "did not answer" in operator.get(late).text


def test_a_task_is_made_as_the_form_says(console: Console, admin: Browser) -> None:
    """Tables, modes, columns, schedule and retries of the form are those of the task, and the form shows them again."""
    assert admin.post("/new-task", **TASK).headers["location"] == "/tasks/nightly"
    kept = console.services.tasks.named("nightly").settings
    assert kept.tables == "campaigns,messages"
    assert kept.mode == ["campaigns=history"]
    assert kept.schedule == ScheduleSettings(cron="0 3 * * *", zone="Europe/Berlin", missed="skip")
    assert (kept.retries, kept.retry_pause) == (5, 60)
    assert kept.columns == ["customers:exclude=devices", "messages:rename=created:sent_at"]
    again = admin.get("/tasks/nightly/edit").text
    assert re.search(r'value="campaigns" checked', again)
    assert '<option value="history" selected>' in again
    same = {name: value for name, value in TASK.items() if name != "name"}
    assert admin.post("/tasks/nightly/edit", **same).status_code == 303
    assert console.services.tasks.named("nightly").settings == kept


def test_a_task_that_cannot_be_is_refused_in_the_words_of_the_form(admin: Browser) -> None:
    """What is wrong is said with the labels of the form, not with options of a command line."""
    answer = admin.post("/new-task", **{**TASK, "to": "nowhere"})
    assert answer.status_code == 422
    assert "--" not in error_of(answer)
    assert "customers:exclude=devices" in answer.text
    assert error_of(admin.post("/new-task", **{**TASK, "table": []})).startswith("No table is chosen.")
    assert "is no whole number" in error_of(admin.post("/new-task", **{**TASK, "retries": "many"}))


def test_a_destination_is_tried_out_by_a_button(admin: Browser, tmp_path: Any) -> None:
    """The button says of each address whether it can be written, and what to do if not."""
    good, bad = tmp_path / "copy.duckdb", tmp_path / "no" / "folder" / "copy.duckdb"
    answer = admin.post("/new-task", **{**TASK, "to": f"duckdb:///{good}\nsqlite:////proc/none/x.db", "check": "yes"})
    assert "copy.duckdb can be written." in answer.text
    assert "✕" in answer.text
    assert not good.exists()
    assert not bad.exists()


def test_the_next_times_are_shown_while_one_writes(admin: Browser) -> None:
    """The schedule that is being written is shown as times, or says what is wrong with it."""
    text = admin.post("/next-times", when="every", every="6h", zone="UTC").text
    assert text.count("<li>") == 5
    assert "There is no time zone" in admin.post("/next-times", when="cron", cron="0 3 * * *", zone="Mars/Base").text


def test_a_task_is_run_paused_and_read_again(console: Console, admin: Browser) -> None:
    """The buttons of a task do what they say, and the run that waits says why it does."""
    admin.post("/new-task", **TASK)
    run = admin.post("/tasks/nightly/run").headers["location"]
    assert "Waiting for its turn" in admin.get(run).text
    assert admin.post("/tasks/nightly/pause").status_code == 303
    assert "Paused" in admin.get("/tasks/nightly").text
    admin.post("/tasks/nightly/resume")
    assert admin.post("/tasks/nightly/resync", table="campaigns").status_code == 303
    assert (
        admin.post("/tasks/nightly/backfill", table="messages", first="2025-01-01", until="2025-02-01").status_code
        == 303
    )
    wrong = admin.post("/tasks/nightly/backfill", table="messages", first="someday")
    assert (wrong.status_code, "someday" in error_of(wrong)) == (422, True)
    admin.post(f"{run}/cancel")
    assert {one.status for one in console.services.runs.listed(task="nightly")} == {"queued", "cancelled"}


def test_a_run_is_shown_while_it_goes_on_and_when_it_has_ended(console: Console, admin: Browser) -> None:
    """Per table rows, pages, rate and time left; then what changed, the log, the proof, and the fix of what failed."""
    console.stage.task("nightly", "main")
    run = console.stage.ask("nightly")
    queue = console.stage.queue()
    run_of(queue.claim("worker"))
    table = TableProgressEvent(
        name="campaigns", status="reading", rows=1_500, pages=3, requests=3, done=0.5, rate=250.0, left=6.0
    )
    progress = Progress(seconds=6.0, requests=9, throttled=2, allowed=10.0, used=0.93, tables=[table])
    queue.heartbeat("worker", run, progress, [LogLine(1_767_225_601, "warning", "campaigns: <b>slow</b>")])
    text = admin.get(f"/runs/{run}").text
    for said in (
        "1,500",
        "93 %",
        "2 answers of 429",
        "6.0 s",
        'hx-trigger="every 2s"',
        "campaigns: &lt;b&gt;slow&lt;/b&gt;",
    ):
        assert said in text
    short = Verification(
        verdict=VerificationStatus.SHORT, why="The copy lacks 2 rows.", source=12, basis="the list", rows=10
    )
    told = TableReport(
        name="campaigns", status=Status.FAILED, read=12, inserted=10, error="It is short. Resync it.", proof=short
    )
    report = Report(run_id="r", status=Status.FAILED, started="2026-01-01T00:00:00Z", tables=[told])
    queue.end("worker", run, Outcome(status="failed", report=report, error="campaigns: It is short. Resync it."))
    text = admin.get(f"/runs/{run}").text
    assert "It is short. Resync it." in text
    assert "every 2s" not in text
    proof = admin.get(f"/runs/{run}/proof").text
    assert all(said in proof for said in ("The copy lacks 2 rows.", "12", "10", "1 table of the copy"))
    assert "slow" in admin.get(f"/runs/{run}/log").text
    assert title_of(admin.get("/")) == "Overview"
    assert "To be looked at" in admin.get("/").text
    assert admin.post(f"/runs/{run}/retry").status_code == 303


def test_a_gateways_code_is_shown_once(console: Console, admin: Browser) -> None:
    """The command with the code stands on the page that made it, and on no other."""
    made = admin.post("/gateways", name="vienna").text
    code = re.search(r"cio-replicate gateway start --console (\S+) --code (\S+)", made)
    assert code is not None
    assert code[1] == console.services.site.url
    assert code[2] not in admin.get("/gateways").text
    assert admin.post("/gateways/vienna/revoke").status_code == 303
    assert admin.post("/gateways/vienna/remove").status_code == 303


def test_a_channel_is_made_with_its_address_stored(console: Console, admin: Browser) -> None:
    """An address with a secret in it is kept encrypted; a test says what did not work, without it."""
    address = "json://user:marked-secret@127.0.0.1:9/hook"
    assert admin.post("/channels", name="team", secret_url=address, events=["failure"]).status_code == 303
    kept = console.services.channels.named("team").settings
    assert (kept.url, kept.events) == ("stored:channel/team", ["failure"])
    assert "marked-secret" not in admin.get("/channels").text
    failed = admin.post("/channels/team/test")
    assert (failed.status_code, "marked-secret" in failed.text) == (422, False)
    assert error_of(failed).startswith("The test was not taken")


def test_what_is_not_there_is_not_found(admin: Browser) -> None:
    """An address of something that is gone, or never was, is a page that says so."""
    for path in (
        "/connections/none",
        "/tasks/none",
        "/runs/ffffffff",
        "/runs/none",
        "/connections/%00",
        "/tasks/A%20b",
    ):
        assert admin.get(path).status_code == 404


def test_whatever_is_typed_is_shown_as_text(console: Console, admin: Browser) -> None:
    """What users, workspaces or errors say never becomes markup."""
    marked = "<script>alert(1)</script>"
    admin.post("/users", name=marked, role="viewer")
    assert marked not in admin.get("/users").text
    assert marked not in admin.get("/audit").text
    assert marked not in admin.post("/new-connection", **{**CONNECTION, "name": marked}).text
    assert marked not in console.browser().post("/login", name=marked, password=marked).text


def test_a_page_that_follows_a_run_ends_with_the_session(console: Console) -> None:
    """What asks again and again is led to the login when the session is over, not filled with it."""
    console.stage.connection("main")
    answer = console.browser().get("/", **{"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-redirect"], answer.text) == (401, "/login", "")
