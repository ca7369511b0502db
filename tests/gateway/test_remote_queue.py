"""A gateway's queue: only its own gateway's runs, nothing kept of the console; and what happens while that is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from cio_replicate.base.errors import Unavailable
from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.console import gateways
from cio_replicate.console.gateways import ask, reply
from cio_replicate.database.actor import LOCAL
from cio_replicate.database.tables import connections, run_lines, tasks
from cio_replicate.gateway.agent import ProbeRunner
from cio_replicate.gateway.gateway_client import MOST_LINES, RemoteQueue
from cio_replicate.gateway.policy import MOST_NOTES, allowed
from cio_replicate.jobs.gateway_protocol import EndRequest
from cio_replicate.jobs.local_engine import LEASE, REST
from cio_replicate.jobs.ports import HeartbeatReply, Outcome, ProbeRequest
from cio_replicate.pipeline.events import LogLine, Progress, TableProgressEvent
from cio_replicate.pipeline.report import Report, Status, TableReport
from tests.console.stage import ended, run_of
from tests.gateway.in_process import Machine, another_machine, machine_of


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine of the gateway vienna, for which there is a task that waits."""
    with machine_of(tmp_path) as made:
        made.stage.connection("main", gateway="vienna")
        made.stage.task("nightly", "main")
        yield made


def _lines(*texts: str) -> list[LogLine]:
    return [LogLine(number, "info", text) for number, text in enumerate(texts, 1)]


def _texts(machine: Machine, run: str) -> list[str]:
    with machine.stage.database.reading() as connection:
        return list(
            connection.scalars(select(run_lines.c.text).where(run_lines.c.run_id == run).order_by(run_lines.c.number))
        )


def _back(machine: Machine) -> None:
    """The console is reachable again, and the longest pause is over."""
    machine.transport.away = False
    machine.clock.time += 61  # type: ignore[attr-defined] # a test's own clock


def test_a_gateway_gets_its_own_runs_and_no_others(machine: Machine, tmp_path: Path) -> None:
    """Runs of the console's machine and of other gateways are not handed out to it, nor by it to others."""
    other = another_machine(machine.stage, tmp_path, "graz", new=True)
    machine.stage.connection("local")
    machine.stage.task("here", "local")
    for name in ("nightly", "here"):
        machine.stage.ask(name)
    assert other.queue.claim("w") is None
    claim = machine.queue.claim("w")
    assert claim is not None
    assert claim.job.task_name == "nightly"
    assert machine.queue.claim("w") is None


def test_a_gateway_cannot_speak_of_runs_that_are_not_its_own(machine: Machine, tmp_path: Path) -> None:
    """A run of another machine, of another gateway, or of the console is lost to it, and stays as it is."""
    twin = another_machine(machine.stage, tmp_path, "vienna")
    other = another_machine(machine.stage, tmp_path, "graz", new=True)
    machine.stage.connection("local")
    machine.stage.task("here", "local")
    for name in ("nightly", "here"):
        machine.stage.ask(name)
    mine = run_of(machine.queue.claim("w"))
    here = run_of(machine.stage.queue().claim("w"))
    for one in (twin, other):
        for run in (mine, here):
            assert one.queue.heartbeat("w", run, Progress(requests=9), _lines("not mine")) is HeartbeatReply.LOST
            assert one.queue.end("w", run, ended("failed", error="not mine")) is HeartbeatReply.LOST
    assert machine.queue.heartbeat("w", here, None, _lines("not mine")) is HeartbeatReply.LOST
    assert machine.queue.heartbeat("w", mine, None, ()) is HeartbeatReply.GO_ON
    assert {status for _, status in machine.stage.states()} == {"running"}
    assert _texts(machine, mine) == _texts(machine, here) == []


def test_a_job_holds_no_secret(machine: Machine) -> None:
    """It says where secrets are kept on the gateway's side; the console resolves none of them."""
    machine.stage.variables["TOKEN_MAIN"] = "marked-token"
    machine.stage.ask("nightly")
    claim = machine.queue.claim("w")
    assert claim is not None
    assert (claim.job.stored, claim.job.connection.access_token_from) == ({}, "env:TOKEN_MAIN")
    assert "marked-token" not in b"".join(machine.transport.answered).decode()


def test_a_setting_that_this_version_does_not_know_is_not_passed_over(machine: Machine) -> None:
    """A job that a newer console has made ends as refused, with a sentence that says so."""
    run = machine.stage.ask("nightly")
    desk = machine.transport._desk
    respond = desk.respond

    class Newer:
        @staticmethod
        def respond(request: object) -> tuple[int, bytes]:
            status, body = respond(request)  # type: ignore[arg-type] # as it comes
            return status, body.replace(b'"dataset":', b'"encrypt_columns":["email"],"dataset":')

    machine.transport._desk = Newer()  # type: ignore[assignment] # a console of another version
    assert machine.queue.claim("w") is None
    (shown,) = machine.stage.listed()
    assert (shown.id, shown.status) == (run, "refused")
    assert "does not understand what the console asks for" in (shown.error or "")
    assert "encrypt_columns" in (shown.error or "")


def test_rows_go_only_where_the_gateway_s_owner_lets_them(machine: Machine) -> None:
    """Whatever a console asks for: another destination, or another address for the token, is refused in here."""
    machine.queue = RemoteQueue(
        machine.link, machine.outbox, machine.clock, 60.0, allowed=allowed([], ["duckdb:////data"])
    )
    run = machine.stage.ask("nightly")  # into /tmp/copy.duckdb
    assert machine.queue.claim("w") is None
    (shown,) = machine.stage.listed()
    assert (shown.id, shown.status) == (run, "refused")
    assert "This gateway does not write to duckdb:////tmp/copy.duckdb." in (shown.error or "")
    settings = ConnectionSettings(start_date="2024-01-01", api_url="https://evil.example", gateway="vienna")
    number = ask(machine.stage.database, settings, ProbeRequest.ACCESS, int(machine.clock.now()))
    assert ProbeRunner("w", machine.link, machine.clock).step()
    found = reply(machine.stage.database, number, int(machine.clock.now())).found
    assert found is not None
    assert "does not send its access token to https://evil.example" in found.cause


def test_a_run_goes_on_while_the_console_is_away(machine: Machine) -> None:
    """What it tells is kept, in its order, and told when the console is back."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.queue.heartbeat("w", run, None, _lines("one"))
    machine.transport.away = True
    for text in ("two", "three"):
        assert (
            machine.queue.heartbeat("w", run, Progress(requests=5), [LogLine(9, "info", text)]) is HeartbeatReply.GO_ON
        )
        machine.stage.clock.time += 20
    assert _texts(machine, run) == ["one"]
    _back(machine)
    assert machine.queue.heartbeat("w", run, Progress(requests=6), _lines("four")) is HeartbeatReply.GO_ON
    assert _texts(machine, run) == ["one", "two", "three", "four"]


def test_lines_that_a_worker_tells_again_are_told_once(machine: Machine, tmp_path: Path) -> None:
    """Where a run does not go on alone, the worker keeps what it could not tell."""
    strict = another_machine(machine.stage, tmp_path, "vienna", alone=0.0)
    run = machine.stage.ask("nightly")
    strict.queue.claim("w")
    strict.transport.away = True
    for _ in range(2):
        machine.stage.clock.time += 10
        with pytest.raises(Unavailable):
            strict.queue.heartbeat("w", run, None, _lines("one", "two"))
    _back(strict)
    assert strict.queue.heartbeat("w", run, None, _lines("one", "two", "three")) is HeartbeatReply.GO_ON
    assert _texts(machine, run) == ["one", "two", "three"]


def test_it_does_not_go_on_for_ever(machine: Machine, tmp_path: Path) -> None:
    """After the time that was allowed the worker hears that the queue is away, and stops the run."""
    lone = another_machine(machine.stage, tmp_path, "vienna", alone=300.0)
    run = machine.stage.ask("nightly")
    lone.queue.claim("w")
    lone.transport.away = True
    for _ in range(29):
        machine.stage.clock.time += 10
        assert lone.queue.heartbeat("w", run, None, ()) is HeartbeatReply.GO_ON
    machine.stage.clock.time += 10
    with pytest.raises(Unavailable):
        lone.queue.heartbeat("w", run, None, ())


def test_lines_that_wait_are_bounded(machine: Machine) -> None:
    """Of too many the oldest go, and the log says how many."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.transport.away = True
    for number in range(30):
        machine.queue.heartbeat("w", run, None, [LogLine(1, "info", f"{number}-{one}") for one in range(100)])
    _back(machine)
    machine.queue.heartbeat("w", run, None, ())
    texts = _texts(machine, run)
    assert texts[0] == f"The console was away for long: {3_000 - MOST_LINES:,} lines of the log were left out here."
    assert (len(texts), texts[1], texts[-1]) == (MOST_LINES + 1, "10-0", "29-99")


def test_the_end_of_a_run_is_told_when_the_console_is_back(machine: Machine) -> None:
    """Also by the next process, if this one ends meanwhile; before that nothing is claimed."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.transport.away = True
    machine.queue.heartbeat("w", run, None, _lines("one"))
    assert machine.queue.end("w", run, ended("complete", LogLine(3, "info", "two"))) is HeartbeatReply.GO_ON
    machine.stage.ask("nightly")
    _back(machine)
    machine.queue = machine.new_queue()
    assert machine.queue.claim("w2") is None  # the end is told now, and a workspace rests after it
    machine.stage.later(REST)
    second = run_of(machine.queue.claim("w2"))
    assert sorted(status for _, status in machine.stage.states()) == ["complete", "running"]
    assert second != run
    assert _texts(machine, run) == ["one", "two"]
    assert list(machine.outbox.waiting()) == []


def test_a_run_that_another_has_taken_meanwhile_is_lost(machine: Machine, tmp_path: Path) -> None:
    """The machine that was cut off hears it with its first word, and what it says is not heard."""
    twin = another_machine(machine.stage, tmp_path, "vienna")
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.transport.away = True
    machine.queue.heartbeat("w", run, None, _lines("unheard"))
    machine.stage.later(LEASE + 20)
    assert run_of(twin.queue.claim("w")) == run
    _back(machine)
    assert machine.queue.heartbeat("w", run, Progress(requests=9), ()) is HeartbeatReply.LOST
    assert machine.queue.holding == 0
    assert "unheard" not in _texts(machine, run)


def test_an_end_that_comes_too_late_changes_nothing(machine: Machine, tmp_path: Path) -> None:
    """It is thrown away once the console has heard it, and the machine goes on to claim."""
    twin = another_machine(machine.stage, tmp_path, "vienna")
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.transport.away = True
    machine.queue.end("w", run, ended("failed", error="too late"))
    machine.stage.later(LEASE + 20)
    assert run_of(twin.queue.claim("w")) == run
    _back(machine)
    assert machine.queue.claim("w") is None
    assert (machine.stage.states(), list(machine.outbox.waiting())) == ([("nightly", "running")], [])


def test_an_end_that_cannot_be_told_does_not_stand_in_the_way(machine: Machine) -> None:
    """What the console refuses to read, as another version has written it, is given up; runs are claimed."""
    run = machine.stage.ask("nightly")
    machine.outbox.put("x" * 32, EndRequest("w", ended("complete")))
    assert run_of(machine.queue.claim("w")) == run
    assert list(machine.outbox.waiting()) == []


def test_a_log_of_notes_is_bounded(machine: Machine) -> None:
    """A report with thousands of notes is told with the first of them."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    notes = [f"GET /v1/things/{number} does not exist (404: “{'x' * 90}”)." for number in range(9_000)]
    tables = [TableReport(name="segments", notes=notes)]
    assert machine.queue.end("w", run, ended("complete", tables=tables)) is HeartbeatReply.GO_ON
    (told,) = machine.stage.runs.show(run).report.tables  # type: ignore[union-attr] # it was just told
    assert (len(told.notes), told.notes[0], told.notes[-1]) == (
        MOST_NOTES + 1,
        "GET /v1/things/0 does not exist (404: “…”).",
        f"{9_000 - MOST_NOTES} more notes are in the gateway's own report.",
    )


def test_a_console_that_is_away_is_asked_less_and_less(machine: Machine) -> None:
    """The pauses double up to a minute, by chance not at the same time as others'."""
    machine.transport.away = True
    tried = []
    for _ in range(1_800):
        machine.stage.clock.time += 1
        before = machine.link._failures
        with suppress(Unavailable):
            machine.queue.claim("w")
        if machine.link._failures > before:
            tried.append(machine.clock.now())
    pauses = [later - sooner for sooner, later in pairwise(tried)]
    assert pauses[0] <= 3
    assert all(30 <= pause <= 61 for pause in pauses[8:])
    assert len(set(pauses[8:])) > 3


def test_a_machine_that_is_shut_out_loses_its_runs(machine: Machine, tmp_path: Path) -> None:
    """It hears so with its next word and claims nothing more; another machine goes on once the lease is over."""
    twin = another_machine(machine.stage, tmp_path, "vienna")
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    gateways.revoke(machine.stage.database, machine.member, int(machine.clock.now()), LOCAL)
    assert machine.queue.heartbeat("w", run, None, _lines("shut out")) is HeartbeatReply.LOST
    assert machine.queue.refusal is not None
    assert machine.queue.refusal.code == "revoked"
    sent = len(machine.transport.sent)
    assert (machine.queue.end("w", run, ended("complete")), machine.queue.claim("w")) == (HeartbeatReply.LOST, None)
    assert len(machine.transport.sent) == sent
    machine.stage.later(LEASE + 20)
    assert run_of(twin.queue.claim("w")) == run


def test_a_machine_that_is_stopped_gives_its_run_back(machine: Machine, tmp_path: Path) -> None:
    """Another goes on at once; it does not count as a try, nor as a worker that was lost."""
    twin = another_machine(machine.stage, tmp_path, "vienna")
    run = machine.stage.ask("nightly")
    for number in range(8):
        machine.queue.claim(f"w{number}")
        interrupted = ended("interrupted", LogLine(3, "info", f"stopping {number}"), given_back=True)
        assert machine.queue.end(f"w{number}", run, interrupted) is HeartbeatReply.GO_ON
        machine.queue = machine.new_queue()
    assert run_of(twin.queue.claim("w")) == run
    (shown,) = machine.stage.listed()
    assert (shown.status, shown.attempt, shown.claims) == ("running", 1, 2)
    assert "The run waits for another" in _texts(machine, run)[-1]


def test_a_run_that_a_user_has_cancelled_is_not_given_back(machine: Machine) -> None:
    """It has been cancelled, whatever else its machine was told."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.stage.runs.cancel(run, LOCAL)
    machine.queue.end("w", run, ended("interrupted", given_back=True))
    assert machine.stage.states() == [("nightly", "cancelled")]


def test_what_others_said_does_not_leave(machine: Machine) -> None:
    """Progress, log, errors and report are told without what APIs, databases and libraries said."""
    run = machine.stage.ask("nightly")
    machine.queue.claim("w")
    said = "It failed (“Key (email)=(eva@example.com) already exists”). Run again."
    report = Report(
        run_id="r",
        started="2026-01-01T00:00:00Z",
        status=Status.FAILED,
        error=said,
        notes=[said],
        tables=[TableReport(name="segments", error=said, notes=[said])],
    )
    progress = Progress(tables=[TableProgressEvent(name="segments", rows=3, error=said)])
    machine.queue.heartbeat("w", run, progress, [LogLine(1, "error", said)])
    machine.queue.end("w", run, Outcome(status="failed", report=report, error=said, lines=[LogLine(2, "error", said)]))
    sent = b"".join(one.body for one in machine.transport.sent).decode()
    assert "eva@example.com" not in sent
    shown = machine.stage.runs.show(run)
    assert shown.run.error == "It failed (“…”). Run again."
    assert _texts(machine, run) == ["It failed (“…”). Run again."] * 2


def test_a_question_about_a_connection_is_answered_by_its_gateway(machine: Machine, tmp_path: Path) -> None:
    """Not by another; the answer comes without what others said, and a question that nobody takes is given up."""
    other = another_machine(machine.stage, tmp_path, "graz", new=True)
    settings = ConnectionSettings(start_date="2024-01-01", access_token_from="env:NOT_SET_ANYWHERE", gateway="vienna")
    database, clock = machine.stage.database, machine.stage.clock
    number = ask(database, settings, ProbeRequest.ACCESS, int(clock.now()))
    assert ask(database, settings, ProbeRequest.ACCESS, int(clock.now())) == number
    assert reply(database, number, int(clock.now())).waiting
    assert not ProbeRunner("w", other.link, clock).step()
    assert ProbeRunner("w", machine.link, clock).step()
    found = reply(database, number, int(clock.now())).found
    assert found is not None
    assert "NOT_SET_ANYWHERE" in found.cause
    assert not ProbeRunner("w", machine.link, clock).step()
    second = ask(database, settings, ProbeRequest.TABLES, int(clock.now()))
    clock.time += 3_000
    assert not ProbeRunner("w", machine.link, clock).step()
    late = reply(database, second, int(clock.now()))
    assert (late.found, late.waiting, late.taken) == (None, False, False)


def test_a_gateway_reads_nothing_of_the_console_but_its_jobs(machine: Machine) -> None:
    """What it is answered names no connection or task that is not its own."""
    machine.stage.connection("hidden-connection")
    machine.stage.task("hidden-task", "hidden-connection")
    machine.stage.ask("hidden-task")
    machine.stage.ask("nightly")
    machine.queue.claim("w")
    machine.queue.claim("w")
    with machine.stage.database.reading() as connection:
        ids = {row.id for table in (connections, tasks) for row in connection.execute(table.select())}
    told = b"".join(machine.transport.answered).decode()
    assert "hidden" not in told
    assert len([one for one in ids if one in told]) == 1
