"""The engine of a console as a program of its own, to be killed: `killed_engine.py STORE FOLDER LEASE`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from cio_replicate.base.runtime import SystemClock
from cio_replicate.console.background import BackgroundServices
from cio_replicate.console.secrets import keys_for
from cio_replicate.database.connection import Database
from cio_replicate.jobs.worker import ProcessStarter


def _main(store: str, folder: Path, lease: int) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = Database(store, os.environ)
    keys = keys_for(database.address, os.environ)
    engine = BackgroundServices(database, keys, SystemClock(), ProcessStarter(folder / "state"), slots=2, lease=lease)
    engine.start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    stop.wait()
    engine.stop()


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
