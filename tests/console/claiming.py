"""A worker that claims until nothing is handed out, each time a line of input says what time it is."""

from __future__ import annotations

import sys

from cio_replicate.console.notifications import note
from cio_replicate.database.connection import Database
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.ports import Lease
from tests.manual_clock import ManualClock


def _main(store: str, worker: str) -> None:
    database, clock = Database(store), ManualClock(0.0)
    queue = LocalEngine(database, clock, note)
    with database.reading():  # connected before it begins
        _say("")
    for line in sys.stdin:
        clock.time = float(line)
        while isinstance(lease := queue.claim(worker), Lease):
            _say(f"{lease.job.run_id} {lease.job.task_name}")
            queue.heartbeat(worker, lease.job.run_id, None, ())
        _say("")
    database.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
