"""A worker that claims until nothing is handed out: `claiming.py STORE WORKER NOW`; it begins with a line of input."""

from __future__ import annotations

import sys

from cio_replicate.console.notifications import note
from cio_replicate.database.connection import Database
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.ports import Lease
from tests.manual_clock import ManualClock


def _main(store: str, worker: str, now: float) -> None:
    database = Database(store)
    with database.reading():  # connected before it begins
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    sys.stdin.readline()
    queue = LocalEngine(database, ManualClock(now), note)
    while isinstance(lease := queue.claim(worker), Lease):
        sys.stdout.write(f"{lease.job.run_id} {lease.job.task_name}\n")
        queue.heartbeat(worker, lease.job.run_id, None, ())
    database.close()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
