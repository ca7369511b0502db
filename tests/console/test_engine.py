"""The engine of a console: its parts do their work side by side, and go on whatever one of them meets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.console.background import BackgroundServices, worker_name
from cio_replicate.database.actor import LOCAL
from cio_replicate.jobs.ports import Job, ProcessMessage
from cio_replicate.pipeline.report import Report, Status
from tests.console.stage import Stage, stage
from tests.manual_clock import ManualClock

PATIENCE = 30.0


class QuickChild:
    """A run that ends at once when it is told to, or when it is stopped."""

    def __init__(self, job: Job, status: Status | None) -> None:
        self._job = job
        self._told: list[ProcessMessage] = []
        self._code: int | None = None
        if status is not None:
            self._end(status)

    def _end(self, status: Status) -> None:
        if self._code is None:
            report = Report(run_id=self._job.run_id[:12], started="", status=status)
            self._told, self._code = [ProcessMessage(report=report)], 0

    def messages(self) -> list[ProcessMessage]:
        """What was told since."""
        told, self._told = self._told, []
        return told

    def exit_code(self) -> int | None:
        """How it ended."""
        return None if self._told else self._code

    def keep(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """End as interrupted."""
        self._end(Status.INTERRUPTED)

    kill = stop

    def last_words(self) -> str:
        """None."""
        return ""

    def close(self) -> None:
        """Nothing is held."""


class QuickLauncher:
    """Starts runs that end so; None: when they are stopped."""

    def __init__(self, status: Status | None) -> None:
        self.status = status

    def start(self, job: Job) -> QuickChild:
        """Start one."""
        return QuickChild(job, self.status)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Stage]:
    """A stage on the machine's own time."""
    with stage("sqlite", tmp_path, ManualClock(time.time())) as made:
        made.connection("main")
        made.keep({"ops": ChannelSettings(url="json://127.0.0.1/hook")})
        yield made


@contextmanager
def _engine(one: Stage, status: Status | None, sent: list[str]) -> Iterator[BackgroundServices]:
    def send(_address: Secret, title: str, _body: str) -> None:
        sent.append(title)

    made = BackgroundServices(
        one.database, one.keys, SystemClock(), QuickLauncher(status), environment=one.variables, send=send
    )
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)  # else this thread takes the time that the others need


def test_what_is_asked_for_is_executed_and_told(one: Stage) -> None:
    """A run that waits is executed, recorded, and its failure is told."""
    one.task("a", "main", notify=["ops"], retries=0)
    runs, sent = one.runs_now(), list[str]()
    with _engine(one, Status.FAILED, sent) as engine:
        run = runs.ask("a", LOCAL)
        _until(lambda: bool(sent))
        assert runs.show(run).run.status == "failed"
        _until(lambda: engine.health().well)
    assert sent == ["cio-replicate: a failed"]
    assert not engine.health().well  # it was stopped


def test_an_engine_that_is_stopped_gives_its_runs_back(one: Stage) -> None:
    """A run that it has begun waits for the next engine, as the same run and the same try."""
    one.task("a", "main")
    runs = one.runs_now()
    run = runs.ask("a", LOCAL)
    with _engine(one, None, []):
        _until(lambda: runs.show(run).run.status == "running")
    given = runs.show(run).run
    assert (given.status, given.attempt, given.worker) == ("queued", 1, None)
    assert [line.line.text for line in runs.lines(run)] == [
        "Its worker was stopped. The run waits for another one, and goes on where it was."
    ]
    with _engine(one, Status.COMPLETE, []):
        _until(lambda: runs.show(run).run.status == "complete")
    assert len(runs.listed()) == 1


def test_a_run_that_is_cancelled_while_the_engine_stops_is_cancelled(one: Stage) -> None:
    """A user's wish is not forgotten over a restart."""
    one.task("a", "main")
    runs = one.runs_now()
    run = runs.ask("a", LOCAL)
    with _engine(one, None, []):
        _until(lambda: runs.show(run).run.status == "running")
        runs.cancel(run, LOCAL)
    assert runs.show(run).run.status == "cancelled"


def test_what_goes_wrong_is_logged_once_and_gone_on_with(one: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A defect in one part stops neither it nor the others, and its words, which may quote data, are not written."""
    tries: list[str] = []

    def send(_address: Secret, title: str, _body: str) -> None:
        tries.append(title)
        raise ValueError("a value of a row")

    one.task("a", "main", notify=["ops"], retries=0)
    runs = one.runs_now()
    engine = BackgroundServices(
        one.database, one.keys, SystemClock(), QuickLauncher(Status.FAILED), environment=one.variables, send=send
    )
    engine.start()
    try:
        runs.ask("a", LOCAL)
        _until(lambda: bool(tries))
        _until(lambda: engine.health().said is not None)
        second = runs.ask("a", LOCAL)
        _until(lambda: runs.show(second).run.status == "failed")
    finally:
        engine.stop()
    assert "Internal error: ValueError" in caplog.text
    assert "a value of a row" not in caplog.text


def test_no_two_workers_have_the_same_name() -> None:
    """Not even of one process."""
    assert len({worker_name() for _ in range(100)}) == 100
    assert len(max(map(str, (worker_name() for _ in range(3))), key=len)) <= 100


def test_a_database_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """The engine says what is wrong, and works again when the database does."""
    with stage("postgresql", tmp_path, ManualClock(time.time())) as made:
        made.connection("main")
        made.task("a", "main")
        runs, sent = made.runs_now(), list[str]()
        name = made.database.address.path
        run = partial(_sql, "postgres")
        with _engine(made, Status.COMPLETE, sent) as engine:
            _until(lambda: engine.health().well)
            run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false', _ends(name))
            _until(lambda: "cannot be used" in (engine.health().said or ""))
            run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            asked = runs.ask("a", LOCAL)
            _until(lambda: runs.show(asked).run.status == "complete")
            _until(lambda: engine.health().said is None)


def _ends(name: str) -> str:
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


def _sql(database: str, *statements: str) -> None:
    from tests.sinks.servers import postgres, postgres_run  # noqa: PLC0415 - not every test needs a server

    postgres_run(postgres(), database, *statements)
