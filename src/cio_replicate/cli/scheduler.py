"""`scheduler`: tasks are run by their schedules, without the pages of a console, until a signal."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from cio_replicate.app.settings import state_root
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted
from cio_replicate.cli.failure import COMPLETE, INTERRUPTED
from cio_replicate.cli.terminal import messages, say
from cio_replicate.console.background import BackgroundServices
from cio_replicate.console.installation import opened
from cio_replicate.jobs.worker import ProcessStarter


def scheduler(store: str | None, slots: int, state_dir: Path | None) -> int:
    """Work until a signal; the exit code. Raises Refused and DatabaseError."""
    clock, environment = SystemClock(), dict(os.environ)
    with opened(store, environment, clock) as kept:
        _log_to_stderr()
        stop = _stopped_by_signals()
        launcher = ProcessStarter(state_root(state_dir))
        engine = BackgroundServices(kept.database, kept.keys, clock, launcher, slots=slots, environment=environment)
        engine.start()
        say(messages(), f"Running the tasks in {kept.database.shown}, {counted(slots, 'run')} at a time, until Ctrl-C.")
        stop.wait()
        say(messages(), "Stopping: each run finishes its page and its batch first. Once more to stop at once.")
        engine.stop()
    return COMPLETE


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    log = logging.getLogger("cio_replicate")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def _stopped_by_signals() -> threading.Event:
    """Set by the first signal; a second one ends the process at once, and its runs end in order by themselves."""
    stop = threading.Event()

    def asked(number: int, frame: object) -> None:
        _ = number, frame
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, asked)
    return stop
