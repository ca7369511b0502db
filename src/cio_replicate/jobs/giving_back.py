"""Runs that a worker gives back because it is stopped: they wait for another one at once."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import case, update

from cio_replicate.database.connection import Database
from cio_replicate.database.tables import runs
from cio_replicate.jobs.queueing import QUEUED, RUNNING
from cio_replicate.jobs.run_log import add_lines
from cio_replicate.pipeline.progress import INFO, LogLine


def give_back(
    database: Database, gateway: str | None, worker: str, run_id: str, lines: Sequence[LogLine], now: int
) -> bool:
    """Let a run wait again, if it is this worker's and nobody wants it to end; whether it was so.

    It counts as one that was begun, but not as one that lost its worker.
    """
    mine = runs.c.id == run_id, runs.c.gateway == gateway, runs.c.worker == worker
    with database.writing() as connection:
        given = connection.execute(
            update(runs)
            .where(*mine, runs.c.status == RUNNING, ~runs.c.cancelling)
            .values(
                status=QUEUED,
                worker=None,
                lease_until=None,
                claims=case((runs.c.claims > 1, runs.c.claims - 1), else_=1),
            )
        )
        if given.rowcount:
            said = "Its worker was stopped. The run waits for another one, and goes on where it was."
            add_lines(connection, run_id, [*lines, LogLine(now, INFO, said)])
    return bool(given.rowcount)
