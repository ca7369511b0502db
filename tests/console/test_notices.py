"""Notifications: which there are, what they say, to whom they go, and what becomes of those that cannot be sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from cio_replicate.base.text import Secret
from cio_replicate.config.documents import EVENTS, ChannelSettings, ScheduleSettings
from cio_replicate.console.notifications import (
    MOST_TRIES,
    PAUSES,
    REMINDED,
    NotificationHistory,
    Send,
    events_for,
    events_of,
    note,
    scrubbed,
    send_by_apprise,
    send_due,
)
from cio_replicate.console.secrets import Secrets
from cio_replicate.console.stored_settings import address_of
from cio_replicate.database.actor import LOCAL
from cio_replicate.database.tables import notices, runs
from cio_replicate.jobs.local_engine import LEASE, LocalEngine
from cio_replicate.jobs.outcomes import EndedRun
from cio_replicate.jobs.ports import Outcome
from cio_replicate.pipeline.report import Report, Status, TableReport, Verification, VerificationStatus
from tests.adversary.standin import Reply, StandIn
from tests.console.receivers import PASSWORD, USER, mail_server
from tests.console.stage import Stage, ended, run_of, stage

NOW = 1_767_225_600
SHORT = TableReport(
    name="segments",
    status=Status.FAILED,
    error="The copy is not true.",
    proof=Verification(
        verdict=VerificationStatus.SHORT,
        why="The copy has 3 rows fewer than were loaded into it: somebody else has changed it. Run `cio-replicate "
        "resync` for this table.",
    ),
)
FAILED = TableReport(name="messages", status=Status.FAILED, error="The API answered 500 eight times. Try later.")
FROZEN = TableReport(name="topics", status=Status.FAILED, error="The field 'x' is new.", frozen_out=True)
GROWN = TableReport(name="customers", status=Status.COMPLETE, new_columns=["colour", "size"], inserted=4)
WELL = TableReport(name="types", status=Status.COMPLETE, updated=2)
TOKEN = "marked-token-of-a-channel"


def _ended(status: str, *tables: TableReport, will_retry: bool = False, error: str | None = None) -> EndedRun:
    report = Report(run_id="r", started="", tables=list(tables))
    return EndedRun("0" * 32, "nightly", status, 1, error, report, will_retry=will_retry)


@pytest.mark.parametrize(
    ("run", "before", "events"),
    [
        (_ended("complete", WELL), NotificationHistory(), []),
        (_ended("failed", FAILED), NotificationHistory(), ["failure"]),
        (_ended("refused"), NotificationHistory(), ["failure"]),
        (_ended("interrupted"), NotificationHistory(), ["failure"]),
        (_ended("cancelled"), NotificationHistory(), []),
        (_ended("failed", FAILED, will_retry=True), NotificationHistory(), []),
        (_ended("failed", SHORT), NotificationHistory(), ["failure", "short"]),
        (_ended("failed", SHORT, will_retry=True), NotificationHistory(), []),
        (_ended("complete", GROWN), NotificationHistory(), []),
        (_ended("complete", GROWN), NotificationHistory(complete_at=NOW - 100), ["schema"]),
        (_ended("failed", GROWN, FAILED, will_retry=True), NotificationHistory(complete_at=NOW - 100), ["schema"]),
        (_ended("failed", FROZEN), NotificationHistory(), ["failure", "schema"]),
        (_ended("failed", FAILED), NotificationHistory(NOW - 900, {"failure": NOW - 300}), []),
        (_ended("failed", FAILED), NotificationHistory(NOW - 300, {"failure": NOW - 900}), ["failure"]),
        (_ended("failed", FAILED), NotificationHistory(None, {"failure": NOW - REMINDED}), ["failure"]),
        (_ended("failed", FAILED, SHORT), NotificationHistory(None, {"failure": NOW - 300}), ["short"]),
        (_ended("complete", WELL), NotificationHistory(NOW - 900, {"failure": NOW - 300}), ["recovery"]),
        (_ended("complete", WELL), NotificationHistory(NOW - 900, {"short": NOW - 300}), ["recovery"]),
        (_ended("complete", WELL), NotificationHistory(NOW - 300, {"failure": NOW - 900}), []),
        (_ended("complete", WELL), NotificationHistory(NOW - 300), []),
    ],
)
def test_which_events_the_end_of_a_run_is(run: EndedRun, before: NotificationHistory, events: list[str]) -> None:
    """Trouble when no other try follows, once a day; that it is over, if it was told; new columns."""
    assert events_of(run, before, NOW) == events


def test_what_failed_a_run_is_told_instead_of_that_it_failed() -> None:
    """A channel that hears of short tables, or frozen ones, is not told that the run failed besides."""
    assert events_for(EVENTS, ["failure", "short"], _ended("failed", SHORT)) == ["short"]
    assert events_for(EVENTS, ["failure", "short"], _ended("failed", SHORT, FAILED)) == ["failure", "short"]
    assert events_for(["failure"], ["failure", "short"], _ended("failed", SHORT)) == ["failure"]
    assert events_for(EVENTS, ["failure", "schema"], _ended("failed", FROZEN)) == ["schema"]
    assert events_for([], ["failure"], _ended("failed", FAILED)) == []


# --- noted in the end of a run, and sent ------------------------------------------------------------------------------


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Stage]:
    """A stage with a connection."""
    with stage("sqlite", tmp_path) as made:
        made.connection("main")
        yield made


def _channel(one: Stage, url: str, *events: str) -> None:
    """A channel whose address is stored, and a task that notifies it."""
    Secrets(one.database, one.keys, one.clock).put("channel/ops", Secret(url), LOCAL)
    settings = ChannelSettings(url="stored:channel/ops", events=list(events) or list(EVENTS))
    one.keep({"ops": settings})
    one.task("nightly", "main", notify=["ops"], retries=0, schedule=ScheduleSettings(cron="0 3 * * *"))


def _run(one: Stage, end: Outcome) -> str:
    queue = one.queue()
    run = one.ask("nightly")
    assert run_of(queue.claim("w")) == run
    queue.end("w", run, end)
    return run


def _send(one: Stage, send: Send = send_by_apprise) -> int:
    def find(transaction: Any, settings: ChannelSettings) -> Secret:
        return address_of(transaction, one.keys, one.variables, settings)

    return send_due(one.database, find, send, int(one.clock.now()))


def test_a_failure_is_told_to_a_webhook_in_plain_words(one: Stage) -> None:
    """What failed, why, what to do, when the task runs next, and where all about the run is; sent once."""
    with StandIn({"/hook": {}}) as server:
        _channel(one, f"json://{server.url.removeprefix('http://')}/hook")
        run = _run(one, ended("failed", tables=[FAILED, WELL]))
        assert (_send(one), _send(one)) == (1, 0)
    (asked,) = server.of("/hook")
    assert asked.body["title"] == "cio-replicate: nightly failed"
    assert asked.body["message"].splitlines() == [
        "The task nightly failed.",
        "- messages: The API answered 500 eight times. Try later.",
        "",
        (
            "What was read is kept. When the cause is mended, run it again, and it goes on from there: "
            "cio-replicate task run nightly"
        ),
        "",
        "By its schedule it runs next at 2026-01-01 03:00 UTC.",
        f"All about this run: cio-replicate runs show {run[:12]}",
    ]
    (notice,) = one.notices()
    assert (notice.tries, notice.sent_at, notice.error) == (1, NOW, None)


def test_a_short_proof_and_new_columns_and_a_recovery_are_told(one: Stage) -> None:
    """Each in its own words, to a chat room's webhook of another kind."""
    with StandIn({f"/hooks/{TOKEN}": Reply(b"ok")}) as server:
        _channel(one, f"mmost://{server.url.removeprefix('http://')}/{TOKEN}")
        for tables, status in (([WELL], "complete"), ([SHORT], "failed"), ([GROWN], "complete"), ([FROZEN], "failed")):
            _run(one, ended(status, tables=tables))
            one.clock.time += 60
            _send(one)
    told = [asked.body["text"] for asked in server.of(f"/hooks/{TOKEN}")]
    assert [re.findall(r"nightly(?: is complete again|: [a-z ]+|: 1 table short)", text)[0] for text in told] == [
        "nightly: 1 table short",
        "nightly: new columns",
        "nightly is complete again",
        "nightly: frozen tables failed",
    ]
    assert "- segments: The copy has 3 rows fewer than were loaded into it: somebody else has changed it." in told[0]
    assert "cio-replicate task run nightly --resync segments" in told[0]
    assert "- customers: colour, size" in told[1]
    assert "4 rows changed. Nothing needs to be done." in told[2]
    assert "--schema-changes" in told[3]


def test_a_failure_is_told_by_mail(one: Stage) -> None:
    """With a user and a password that nobody else gets to see."""
    with mail_server() as letters:
        server = f"{USER}:{PASSWORD}@127.0.0.1:{letters.port}"
        _channel(one, f"mailto://{server}?to=ops@example.com&from=copy@example.com&mode=insecure")
        _run(one, ended("refused", error="The access token is not accepted. Make a new one."))
        assert _send(one) == 1
    (letter,) = letters.taken
    assert (letter["subject"], letter["to"]) == ("cio-replicate: nightly was refused", "ops@example.com")
    body = letter.get_content()
    assert "The access token is not accepted. Make a new one." in body
    assert "Nothing was written. When it is mended, run it again" in body


@pytest.mark.parametrize("fails", [True, False], ids=["hook fails", "hook succeeds"])
def test_the_outcome_hook_and_the_end_of_a_run_are_committed_together(one: Stage, *, fails: bool) -> None:
    """If the outcome hook fails, the run has not ended and no notification waits."""
    _channel(one, "json://127.0.0.1/x")

    def hook(connection: Connection, *ending: Any) -> None:  # Any: those of an OutcomeHook, passed on
        note(connection, *ending)
        if fails:
            raise RuntimeError

    queue = LocalEngine(one.database, one.clock, hook)
    run = one.ask("nightly")
    assert run_of(queue.claim("w")) == run
    with pytest.raises(RuntimeError) if fails else nullcontext():
        queue.end("w", run, ended("failed"))
    with one.database.reading() as connection:
        status = connection.scalar(select(runs.c.status).where(runs.c.id == run))
        noted = connection.scalar(select(func.count()).select_from(notices))
    assert (status, noted) == (("running", 0) if fails else ("failed", 1))


def test_an_event_that_a_channel_does_not_want_is_not_told(one: Stage) -> None:
    """A channel hears what it is for."""
    with StandIn({"/hook": {}}) as server:
        _channel(one, f"json://{server.url.removeprefix('http://')}/hook", "schema")
        _run(one, ended("failed", tables=[FAILED]))
        _send(one)
    assert (server.asked, one.notices()) == ([], [])


def test_a_run_that_its_workers_do_not_survive_is_told(one: Stage) -> None:
    """Also a run that no worker has ended has an end, and what follows it."""
    _channel(one, "json://127.0.0.1:9/hook")
    one.ask("nightly")
    for number in range(5):
        one.queue().claim(f"w{number}")
        one.later(LEASE + 20)
    (notice,) = one.notices()
    assert (notice.event, "5 workers in turn" in notice.body) == ("failure", True)


@pytest.mark.parametrize("kind", ["refused", "mail", "away", "nonsense"])
def test_what_cannot_be_sent_is_tried_a_few_times_and_holds_no_secret(one: Stage, kind: str) -> None:
    """After growing pauses, and with an error in which nothing of the address stands; then it is given up."""
    with StandIn({f"/{TOKEN}": Reply(TOKEN.encode(), 500)}) as server, mail_server() as letters:
        letters.full = True
        host = server.url.removeprefix("http://")
        url = {
            "refused": f"json://{host}/{TOKEN}",
            "mail": f"mailto://{USER}:{PASSWORD}@127.0.0.1:{letters.port}?to=ops@example.com&mode=insecure",
            "away": f"json://{TOKEN}:{PASSWORD}@127.0.0.1:9/{TOKEN}?key={TOKEN}",
            "nonsense": f"nonsense://{TOKEN}",
        }[kind]
        _channel(one, url)
        _run(one, ended("failed"))
        tries, waits, notice = [], [], one.notices()[0]
        for _ in range(MOST_TRIES + 2):
            assert _send(one) == 0
            (notice,) = one.notices()
            tries.append(notice.tries)
            waits.append(notice.not_before - int(one.clock.now()))
            one.clock.time = float(max(notice.not_before, one.clock.now()))
    assert tries == [1, 2, 3, 4, 5, 5, 5]
    assert waits[:4] == list(PAUSES)
    assert notice.sent_at is None
    assert notice.error
    assert not re.search(f"{TOKEN}|{PASSWORD}", repr(notice))


def test_a_channel_whose_secret_is_gone_says_so(one: Stage) -> None:
    """The notification is kept with the cause, and sent once the secret is there."""
    _channel(one, "json://127.0.0.1:9/hook")
    _run(one, ended("failed"))
    with one.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM secrets WHERE name = 'channel/ops'")
    assert _send(one) == 0
    (notice,) = one.notices()
    assert "stored:channel/ops is not stored" in notice.error
    with StandIn({"/hook": {}}) as server:
        url = f"json://{server.url.removeprefix('http://')}/hook"
        Secrets(one.database, one.keys, one.clock).put("channel/ops", Secret(url), LOCAL)
        one.clock.time += PAUSES[0]
        assert _send(one) == 1


def test_several_senders_send_each_notification_once(one: Stage) -> None:
    """While one of them sends, another does not take it."""
    sent: list[str] = []
    _channel(one, "json://127.0.0.1:9/hook")
    _run(one, ended("failed"))

    def slow(_address: Secret, title: str, _body: str) -> None:
        sent.append(title)
        assert _send(one, partial(_refuse)) == 0

    assert _send(one, slow) == 1
    assert len(sent) == 1


def _refuse(_address: Secret, _title: str, _body: str) -> str:
    raise AssertionError


def test_texts_of_libraries_lose_everything_that_stands_in_an_address() -> None:
    """Whatever piece of it they quote, as it is written or as it is meant."""
    address = Secret("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?token=p%40ss-word&x=y")
    said = "slack: T1JJ3T3L2 refused A1BRTD4JD with p@ss-word, p%40ss-word\n at TIiajkdnlazkcOXrIdevi7FQ"
    assert scrubbed(said, address) == "slack: *** refused *** with p@ss-word, *** at ***".replace("p@ss-word", "p@***")
