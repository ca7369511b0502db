"""The process of one run: a job comes in by standard input, what happens goes out by standard output, a line each.

Its arguments are the folder below which the state of tasks is kept, and for how many seconds it goes on without a sign
of life.

It ends by itself, and in order, when whoever started it is gone, as its standard input ends then, and when it gets no
sign of life for long, as its lease is not renewed then.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from pathlib import Path
from typing import IO, Self

import msgspec

from cio_replicate.app.settings import resolve
from cio_replicate.app.sync import sync
from cio_replicate.base.errors import CioReplicateError
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.config.secret_references import stored_variable
from cio_replicate.jobs.ports import Job, ProcessMessage
from cio_replicate.pipeline import events
from cio_replicate.pipeline.events import (
    ERROR,
    INFO,
    WARNING,
    LogLine,
    RunProgress,
    after,
    line_of,
    new_standing,
    progress_of,
)
from cio_replicate.pipeline.report import Report, Status, iso, recorded


class MessageRenderer:
    """Shows a run by telling messages. The progress is told with each beat, so that events never block the run."""

    seconds = 1.0

    def __init__(self, out: IO[bytes], clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._standing: RunProgress = new_standing([], clock.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.beat()

    def begin(self, tables: list[str]) -> None:
        """Only these tables are there."""
        self._standing = new_standing(tables, self._clock.monotonic())

    def tell(self, event: events.Event) -> None:
        """Take an event in; tell it if it is worth a line."""
        self._standing = after(self._standing, event, self._clock.monotonic())
        text = line_of(event, self._standing)
        if text is not None:
            failed = isinstance(event, events.TableEnded) and event.error is not None
            self._line(ERROR if failed else WARNING if isinstance(event, events.NoteAdded) else INFO, text)

    def beat(self) -> None:
        """Tell how the run stands."""
        self.send(ProcessMessage(progress=progress_of(self._standing, self._clock.monotonic())))

    def say(self, text: str) -> None:
        """Tell a sentence."""
        self._line(INFO, text)

    def send(self, message: ProcessMessage) -> None:
        """Write a message; if nobody reads any more, the run is stopped by the end of its input."""
        try:
            self._out.write(msgspec.json.encode(message) + b"\n")
            self._out.flush()
        except (BrokenPipeError, ValueError):
            self._out = open(os.devnull, "wb")  # noqa: SIM115, PTH123 - until the process ends

    def _line(self, level: str, text: str) -> None:
        self.send(ProcessMessage(line=LogLine(int(self._clock.now()), level, text)))


def main() -> int:
    """Execute the job that comes in by standard input; the exit code of its end."""
    clock = SystemClock()
    state_dir, silence = Path(sys.argv[1]), float(sys.argv[2])
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    for name, value in job.stored.items():  # where references find them: in this process alone
        os.environ[stored_variable(name)] = value
    threading.Thread(target=_stop_with_input, args=(sys.stdin.fileno(), silence), daemon=True).start()
    teller = MessageRenderer(sys.stdout.buffer, clock)
    report = _executed(job, state_dir, clock, teller)
    teller.send(ProcessMessage(report=report))
    return report.exit_code


def _executed(job: Job, state_dir: Path, clock: Clock, teller: MessageRenderer) -> Report:
    try:
        task = resolve(job.connection, job.task, clock, job.action, state_dir=state_dir)
    except CioReplicateError as error:
        now = iso(clock.now())
        return Report(run_id=job.run_id[:12], status=Status.REFUSED, started=now, ended=now, error=recorded(error))
    teller.begin([table.name for table in task.spec.tables])
    for caution in task.cautions:
        teller.say(caution)
    return sync(task, clock, teller)


def _stop_with_input(source: int, silence: float) -> None:
    """Stop the run, as a signal does, when whoever started it has gone or is held up.

    Read past the buffer, of which the lock would be held when the process ends.
    """
    while select.select([source], [], [], silence)[0] and os.read(source, 1_024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
