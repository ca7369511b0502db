"""A run in a process of its own: told what to do by its input, telling how it goes on, gone when nobody listens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from cio_replicate.jobs.ports import ActionKind, ProcessMessage, RunAction
from cio_replicate.jobs.worker import ProcessStarter, RunProcess
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator, WorkspaceSpec
from tests.jobs.jobs import SECRET, job_of, until
from tests.pipeline.copies import differences
from tests.pipeline.syncs import ALL

SMALL = WorkspaceSpec(seed=5, messages=300, activities=200, people=60, workspaces=1)
SLOW = 0.2  # seconds before each answer


def _ended(child: RunProcess) -> tuple[list[ProcessMessage], int]:
    told: list[ProcessMessage] = []
    until(lambda: child.exit_code() is not None, lambda: told.extend(child.messages()))
    told += child.messages()
    child.close()
    return told, child.exit_code() or 0


def _report(told: list[ProcessMessage]) -> Report:
    (report,) = [message.report for message in told if message.report is not None]
    return report


def test_a_job_is_executed_whole_and_told(tmp_path: Path) -> None:
    """The copy is true, the end is told last, and a stored secret opens the workspace without being seen."""
    with Simulator(SMALL, token=SECRET) as simulator:
        child = ProcessStarter(tmp_path / "state").start(job_of(simulator, tmp_path))
        told, code = _ended(child)
        assert (code, told[-1].report is not None) == (0, True)
        assert _report(told).status is Status.COMPLETE
        assert not differences(simulator, tmp_path / "copy.duckdb", ALL)
    progress = [message.progress for message in told if message.progress is not None][-1]
    assert len(progress.tables) == len(TABLES)
    assert progress.requests == _report(told).requests
    assert all(SECRET not in repr(message) for message in told)


@pytest.mark.parametrize(
    ("action", "requests"),
    [
        (RunAction(kind=ActionKind.RESYNC, tables=("segments",)), range(1, 20)),
        (RunAction(kind=ActionKind.BACKFILL, tables=("messages",), first="2024-01-01"), range(1, 60)),
    ],
    ids=["resync", "backfill"],
)
def test_other_actions_do_what_the_commands_of_that_name_do(tmp_path: Path, action: RunAction, requests: range) -> None:
    """Only their tables are read, with fewer requests than a whole sync, and the copy stays true."""
    with Simulator(SMALL, token=SECRET) as simulator:
        launcher, names = ProcessStarter(tmp_path / "state"), ("campaigns", "segments", "messages")
        settings: dict[str, Any] = {"tables": ",".join(names), "mode": ["campaigns=changes"]}
        _ended(launcher.start(job_of(simulator, tmp_path, **settings)))
        report = _report(_ended(launcher.start(job_of(simulator, tmp_path, action, **settings)))[0])
        assert (report.status, report.requests in requests) == (Status.COMPLETE, True), report
        assert [table.name for table in report.tables] == list(action.tables)
        assert not differences(simulator, tmp_path / "copy.duckdb", names)


def test_wrong_settings_end_in_a_report_with_cause_and_fix(tmp_path: Path) -> None:
    """Nothing is written, nothing is asked."""
    with Simulator(SMALL, token=SECRET) as simulator:
        child = ProcessStarter(tmp_path / "state").start(job_of(simulator, tmp_path, tables="nope"))
        report = _report(_ended(child)[0])
    assert (report.status, "There is no table 'nope'" in (report.error or "")) == (Status.REFUSED, True)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_stopped_in_order(tmp_path: Path) -> None:
    """It ends as interrupted, with a report, and what has landed is kept."""
    with Simulator(SMALL, token=SECRET, latency=SLOW) as simulator:
        child = ProcessStarter(tmp_path / "state").start(job_of(simulator, tmp_path))
        told: list[ProcessMessage] = []
        until(lambda: any(one.progress and one.progress.rows for one in told), lambda: told.extend(child.messages()))
        child.stop()
        assert _report(_ended(child)[0]).status is Status.INTERRUPTED


def test_a_run_ends_when_nobody_holds_it_any_more(tmp_path: Path) -> None:
    """Its input ends with whoever started it; the process is not left behind."""
    with Simulator(SMALL, token=SECRET, latency=SLOW) as simulator:
        child = ProcessStarter(tmp_path / "state").start(job_of(simulator, tmp_path))
        told: list[ProcessMessage] = []
        until(lambda: any(one.progress and one.progress.rows for one in told), lambda: told.extend(child.messages()))
        child._input.close()  # type: ignore[attr-defined] # what the end of this process would do
        assert _report(_ended(child)[0]).status is Status.INTERRUPTED
    assert not [one for one in psutil.Process().children() if "execution.process" in " ".join(one.cmdline())]


def test_a_run_ends_when_whoever_holds_it_gives_no_sign_of_life(tmp_path: Path) -> None:
    """Its lease is then not renewed, and another worker may begin it."""
    with Simulator(SMALL, token=SECRET, latency=SLOW) as simulator:
        child = ProcessStarter(tmp_path / "state", silence=1.0).start(job_of(simulator, tmp_path))
        assert _report(_ended(child)[0]).status is Status.INTERRUPTED


def test_a_run_goes_on_as_long_as_it_gets_signs_of_life(tmp_path: Path) -> None:
    """However long it takes."""
    with Simulator(SMALL, token=SECRET) as simulator:
        child = ProcessStarter(tmp_path / "state", silence=1.0).start(job_of(simulator, tmp_path))
        told: list[ProcessMessage] = []

        def listen() -> None:
            child.keep()
            told.extend(child.messages())

        until(lambda: child.exit_code() is not None, listen)
        child.close()
        assert _report(told).status is Status.COMPLETE
