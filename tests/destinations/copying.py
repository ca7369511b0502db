"""Copies into a destination by the command, and reads back what is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cio_replicate.sinks.addresses import destination
from cio_replicate.sinks.backend import NOT_DELETED
from cio_replicate.sinks.kinds import destination_at
from cio_replicate.source.catalog import table as declared
from customerio_simulator import Simulator
from tests.destinations.kinds import Where
from tests.pipeline.copies import records, truth

START = "2020-01-01"


@dataclass(frozen=True)
class Ended:
    """How a command ended, and its JSON document."""

    code: int
    document: Any
    err: str


class Copying:
    """A place, with a home of its own for the state of its task."""

    def __init__(self, where: Where, folder: Path) -> None:
        self.where = where
        self.state = folder / "state"

    def command(self, name: str, simulator: Simulator, *more: str) -> list[str]:
        """The whole command line."""
        dated = ["--start-date", START] if name in ("sync", "resync") else []
        source = ["--api-url", simulator.url, "--max-rps", "1000"]
        place = ["--to", self.where.to, "--dataset", self.where.dataset, "--state-dir", str(self.state), "--json"]
        return [sys.executable, "-m", "cio_replicate", name, *dated, *source, *place, *more]

    def environment(self, simulator: Simulator) -> Mapping[str, str]:
        """What the command finds around it."""
        return {**os.environ, **self.where.variables, "CIO_ACCESS_TOKEN": simulator.behaviour.tokens[0]}

    def run(self, name: str, simulator: Simulator, *more: str) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(name, simulator, *more),
            env=self.environment(simulator),
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        return Ended(done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr)

    def killed(self, simulator: Simulator, after: float) -> None:
        """Run a sync and kill it after so many seconds, unless it has ended by then."""
        with subprocess.Popen(
            self.command("sync", simulator),
            env=self.environment(simulator),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as run:
            try:
                run.wait(timeout=after)
            except subprocess.TimeoutExpired:
                run.kill()

    def forget(self) -> None:
        """Lose everything that this machine knows of the copy."""
        shutil.rmtree(self.state)

    def rows(self, name: str, *, live: bool = True) -> list[dict[str, Any]]:
        """The rows of a table, read back from the place."""
        table = declared(name)
        address = destination(self.where.to, {**os.environ, **self.where.variables})
        copy = destination_at(address, self.where.dataset, self.state, read_only=True)
        try:
            copy.open()
            columns = [column.name for column in (*table.columns, *copy.state.discovered(table))] + [
                "_cio_key",
                "_cio_extra",
            ]
            return [
                dict(zip(columns, row, strict=True)) for row in copy.read(table, columns, [NOT_DELETED] if live else [])
            ]
        finally:
            copy.close()

    def records(self, name: str) -> Counter[str]:
        """The records that a table was made of."""
        return records(self.rows(name), name)

    def differences(self, simulator: Simulator, *names: str) -> dict[str, str]:
        """Per table what is missing from the copy and what it has too much; empty when the copy is true."""
        found = {}
        for name in names:
            expected, got = truth(simulator, name), self.records(name)
            if expected != got:
                found[name] = (
                    f"missing {list((expected - got).items())[:2]}, too many {list((got - expected).items())[:2]}"
                )
        return found
