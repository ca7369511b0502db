"""A simulator in a process of its own, and what its control room tells."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.recipe import Changes
from benchmarks.serving import Serving

ROOT = Path(__file__).parents[1]
DAY = 86_400


class _Total(msgspec.Struct):
    total: int
    counts: dict[str, dict[str, int]]
    max_in_any_second: int


class _Logged(msgspec.Struct):
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the simulator; `seconds` passed between the first request and the last."""

    requests: int
    throttled: int
    most_in_a_second: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Requests per second while requests were sent."""
        return (self.requests - 1) / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulator that runs."""

    url: str

    def asked(self) -> Asked:
        """What was asked since the start or since `forget`."""
        told = msgspec.json.decode(self._call("/requests"), type=_Total)
        moments = [one.at for one in msgspec.json.decode(self._call("/requests/log"), type=list[_Logged])]
        throttled = sum(statuses.get("429", 0) for statuses in told.counts.values())
        seconds = max(moments) - min(moments) if moments else 0.0
        return Asked(told.total, throttled, told.max_in_any_second, seconds)

    def forget(self) -> None:
        """Count requests anew."""
        self._call("/reset-requests", b"")

    def evolve(self, edits: int) -> dict[str, Changes]:
        """Let a day and so many edits in every list go by; the changes by table.

        Activities are back-dated by half a day at most: those that are older wait for the next whole read of the log.
        """
        body = msgspec.json.encode({"edits": edits, "backdated_within": DAY // 2})
        return msgspec.json.decode(self._call("/evolve", body), type=dict[str, Changes])

    def records(self, table: str) -> list[bytes]:
        """All records of a table, each as JSON."""
        return self._call(f"/truth/{table}").splitlines()

    def _call(self, path: str, body: bytes | None = None) -> bytes:
        with urllib.request.urlopen(f"{self.url}/_simulator{path}", data=body, timeout=120) as answer:  # noqa: S310 - our own process
            content: bytes = answer.read()
        return content


@contextlib.contextmanager
def simulated(serving: Serving) -> Iterator[Simulated]:
    """A simulator that runs until the block ends."""
    command = [sys.executable, "-m", "benchmarks.serving", msgspec.json.encode(serving).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            if process.stdout is None or not (url := process.stdout.readline().strip()):
                raise RuntimeError("The simulator did not start.")
            yield Simulated(url)
        finally:
            process.terminate()
