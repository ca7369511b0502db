"""A run that was refused says whether what refused it may pass by itself."""

from __future__ import annotations

from pathlib import Path

from cio_replicate.app.settings import copy_of
from cio_replicate.jobs.ports import Job, ProcessMessage
from cio_replicate.jobs.worker import ProcessStarter
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.pipeline.staging import Staging
from customerio_simulator import Simulator, WorkspaceSpec
from tests.jobs.jobs import SECRET, job_of, until

SMALL = WorkspaceSpec(messages=10, activities=10, people=5)


def _report(job: Job, folder: Path) -> Report:
    child = ProcessStarter(folder / "state").start(job)
    told: list[ProcessMessage] = []
    until(lambda: child.exit_code() is not None, lambda: told.extend(child.messages()))
    told += child.messages()
    child.close()
    (report,) = [message.report for message in told if message.report is not None]
    assert report.status is Status.REFUSED
    return report


def test_a_task_that_another_process_runs_may_be_free_in_a_while(tmp_path: Path) -> None:
    """As when the run of a worker that was lost has not come to its end."""
    with Simulator(SMALL, token=SECRET) as simulator:
        job = job_of(simulator, tmp_path)
        copy = copy_of(job.task.to, job.task.dataset, tmp_path / "state", {})
        with Staging(copy.folder):
            assert _report(job, tmp_path).passing


def test_wrong_settings_and_a_wrong_key_stay_wrong(tmp_path: Path) -> None:
    """Nothing but a user mends them."""
    with Simulator(SMALL, token="another") as simulator:
        assert not _report(job_of(simulator, tmp_path), tmp_path).passing
        assert not _report(job_of(simulator, tmp_path, tables="nope"), tmp_path).passing
