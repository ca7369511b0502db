"""Runs a command and measures it with all processes that it starts: time, CPU time, memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
SAMPLED_EVERY = 0.05  # seconds
KIBIBYTE = 1024


class CommandFailedError(RuntimeError):
    """The command ended with an error, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command cost, from its start to its end: seconds, CPU seconds (user and system), bytes at the peak."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measured(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Cost:
    """Run the command to its end, standard output into a file. Raises CommandFailedError unless it ends with 0.

    CPU time is what the system counted for the process and those of its children that it waited for. The peak is the
    larger of the one that the system noted for the process and the largest sum over all processes, taken 20 times a
    second.
    """
    errors = output.with_suffix(".errors")
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env={**os.environ, **environment}, cwd=ROOT)
        ended, peaks = threading.Event(), [0]
        sampler = threading.Thread(target=_sample, args=(process.pid, ended, peaks))
        sampler.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        except BaseException:
            process.kill()
            raise
        finally:
            ended.set()
            sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        told = errors.read_text(encoding="utf-8", errors="replace")[-4000:]
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{told}")
    alone = usage.ru_maxrss * (1 if sys.platform == "darwin" else KIBIBYTE)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, max(alone, *peaks))


def _sample(pid: int, ended: threading.Event, peaks: list[int]) -> None:
    """Note how much memory the processes hold together whenever it is more than before."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        while not ended.wait(SAMPLED_EVERY):
            peaks[0] = max(peaks[0], sum(map(_resident, [root, *root.children(recursive=True)])))


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
