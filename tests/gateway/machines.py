"""Gateways as a user starts them: a process each, with a home, secrets and perhaps a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

COMMAND = (sys.executable, "-m", "cio_replicate")
PATIENCE = 90.0


class GatewayProcess:
    """A gateway that was started. `inside` is what a command is put behind, to run it in another network."""

    def __init__(
        self, folder: Path, arguments: Sequence[str], variables: Mapping[str, str], inside: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._inside = tuple(inside)
        self._environment = environment(folder, variables)
        self.log = folder / "gateway.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*inside, *COMMAND, "gateway", "start", f"--state-dir={folder / 'state'}", *arguments],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        """What it wrote to its own log."""
        return self.log.read_text()

    @property
    def member(self) -> str:
        """What it is enrolled as."""
        return str(json.loads((self.folder / "state" / "gateway.json").read_text())["member"])

    def family(self) -> list[psutil.Process]:
        """Its process and those of its runs."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def lose_power(self) -> None:
        """Kill it and its runs at once."""
        for one in self.family():
            one.kill()
        self.process.wait(PATIENCE)
        sys.stdout.write(self.said)  # shown when the test fails

    def stop(self) -> int:
        """Ask it to end in order; its exit code."""
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        sys.stdout.write(self.said)
        return code

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same machine."""
        return subprocess.run(
            [*self._inside, *COMMAND, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def status(self) -> dict[str, Any]:
        """What `gateway status` says, with its exit code."""
        done = self.command("gateway", "status", f"--state-dir={self.folder / 'state'}", "--json")
        return {**json.loads(done.stdout), "code": done.returncode}


def environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """An environment with a home of its own."""
    folder.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
    return {**kept, "HOME": str(folder), "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error", **variables}


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
