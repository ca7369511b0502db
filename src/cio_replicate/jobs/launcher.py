"""Starts the process of a run, hands it its job, and takes in what it tells."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec

from cio_replicate.app.run_process import SILENCE, ProcessMessage, RunOrder
from cio_replicate.jobs.job import Job

MOST_WAITING = 10_000  # messages that a process may have told and nobody has taken in; more make it wait


class RunProcess(Protocol):
    """A run that was started. Nothing here waits."""

    def messages(self) -> list[ProcessMessage]:
        """What it has told since it was last asked."""
        ...

    def exit_code(self) -> int | None:
        """How it ended; None while it goes on, or while it has told what nobody has taken in."""
        ...

    def keep(self) -> None:
        """Give it a sign of life; without one for long it ends in order."""
        ...

    def stop(self) -> None:
        """Ask it to end in order: the page and the batch under way are finished first."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def last_words(self) -> str:
        """The end of what it said of its own defects."""
        ...

    def close(self) -> None:
        """Let go of what it held here, once it has ended."""
        ...


class Launcher(Protocol):
    """Starts runs."""

    def start(self, job: Job) -> RunProcess:
        """Start one. Raises OSError when no process can be started."""
        ...


class ProcessStarter:
    """Starts each run as a process of its own, so that one that dies, or takes much memory, takes no other with it."""

    def __init__(self, state_dir: Path, silence: float = SILENCE) -> None:
        self._state_dir = state_dir
        self._silence = silence

    def start(self, job: Job) -> RunProcess:
        """Start one."""
        return _Process(RunOrder(job=job, state_dir=str(self._state_dir), silence=self._silence))


class _Process:
    def __init__(self, ordered: RunOrder) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cio_replicate.app.run_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C at a terminal is for whoever started it, who then stops it in order
            env=dict(os.environ),
        )
        self._told: queue.Queue[ProcessMessage] = queue.Queue(MOST_WAITING)
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._input = self._process.stdin
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        with suppress(BrokenPipeError):  # it died at once, which its exit code tells
            self._input.write(msgspec.json.encode(ordered) + b"\n")
            self._input.flush()

    def messages(self) -> list[ProcessMessage]:
        told: list[ProcessMessage] = []
        while len(told) < MOST_WAITING:
            try:
                told.append(self._told.get_nowait())
            except queue.Empty:
                break
        return told

    def exit_code(self) -> int | None:
        code = self._process.poll()
        return None if code is None or self._reader.is_alive() or not self._told.empty() else code

    def keep(self) -> None:
        with suppress(BrokenPipeError):  # it has ended
            self._input.write(b"\n")
            self._input.flush()

    def stop(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def last_words(self) -> str:
        self._errors.seek(0)
        last = deque(self._errors, maxlen=5)
        return b"".join(last).decode(errors="replace").strip()

    def close(self) -> None:
        with suppress(BrokenPipeError):
            self._input.close()
        self._errors.close()

    def _read(self, out: IO[bytes]) -> None:
        for line in out:
            try:
                self._told.put(msgspec.json.decode(line, type=ProcessMessage))
            except msgspec.MsgspecError:
                continue  # a library has printed something
        out.close()
