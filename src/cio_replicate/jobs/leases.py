"""Runs whose worker has not been heard of: each waits again for another worker, a bounded number of times."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from cio_replicate.database.connection import Database
from cio_replicate.database.tables import runs
from cio_replicate.jobs.board import CANCELLED, Outcome
from cio_replicate.jobs.endings import conclude
from cio_replicate.jobs.queueing import QUEUED, RUNNING
from cio_replicate.jobs.run_log import add_lines
from cio_replicate.pipeline.progress import WARNING, LogLine
from cio_replicate.pipeline.replication_report import Status

LEASE = 60  # seconds for which a run is its worker's, from each sign of life on
MOST_CLAIMS = 5


def extend_unheard(database: Database, now: int, lease: int) -> None:
    """Let runs be their workers' for another lease whose last one ran out while no scheduler was there.

    For what is over and was not given up, none was: so these workers could not be heard of.
    """
    with database.writing() as connection:
        over = (runs.c.status == RUNNING) & (runs.c.lease_until < now)
        connection.execute(update(runs).where(over).values(lease_until=now + lease))


def give_up_lost_runs(database: Database, now: int, lease: int) -> int:
    """Take runs from workers that have not been heard of for the time of a lease; how many there were.

    Such a run waits again and goes on from where it was. One that was lost by several workers ends as failed, since it
    may be what ends them; one that was to be cancelled ends as cancelled. For the time of another lease a lost worker
    may come back to its run, unless another has taken it.
    """
    over = (runs.c.status == RUNNING) & (runs.c.lease_until < now)
    with database.reading() as connection:
        if connection.scalar(select(runs.c.id).where(over).limit(1)) is None:
            return 0
    with database.writing() as connection:
        lost = connection.execute(select(runs).where(over)).all()
        for run in lost:
            _give_up(connection, run, now, lease)
    return len(lost)


def _give_up(connection: Connection, run: Row[Any], now: int, lease: int) -> None:  # Any: of every column
    said = f"The worker {run.worker} was not heard of for {lease} seconds."
    if run.cancelling:
        conclude(connection, run, Outcome(status=CANCELLED), now)
        return
    if run.claims >= MOST_CLAIMS:
        error = (
            f"{run.claims} workers in turn were lost while they executed this run; it may need more memory than they "
            "have. Look at the machine's own log, give it more memory, and retry the run: it goes on where it was."
        )
        conclude(connection, run, Outcome(status=Status.FAILED, error=error), now)
        return
    add_lines(
        connection, run.id, [LogLine(now, WARNING, f"{said} The run waits for a worker, and goes on where it was.")]
    )
    connection.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.status == RUNNING, runs.c.lease_until == run.lease_until)
        .values(status=QUEUED, lease_until=now + lease)
    )
