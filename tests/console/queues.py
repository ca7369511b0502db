"""The implementations of the ports of an engine: all of a port pass the same tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cio_replicate.config.documents import ConnectionSettings
from cio_replicate.jobs.ports import Dispatch, JobQueue
from tests.console.stage import STORES, Stage, stage
from tests.gateway.in_process import machine_of


@dataclass(frozen=True)
class QueueUnderTest:
    """A queue over a control database, in which connections are for those that the queue is for."""

    stage: Stage
    queue: JobQueue
    gateway: str | None = None

    def tasks(self, *names: str, workspace: str | None = None, **settings: Any) -> None:
        """Tasks, each with a connection of its own; to the same workspace, if one is named."""
        for name in names:
            if self.gateway is None or workspace is None:
                self.stage.connection(f"to-{name}", token=workspace, gateway=self.gateway)
            else:  # tokens of gateways are not known here, so one is known by where it is kept there
                kept = ConnectionSettings(
                    start_date="2024-01-01", access_token_from=f"env:{workspace}", gateway=self.gateway
                )
                self.stage.keep({f"to-{name}": kept})
            self.stage.task(name, f"to-{name}", **settings)


@contextmanager
def _of_database(kind: str, folder: Path) -> Iterator[QueueUnderTest]:
    with stage(kind, folder) as made:
        yield QueueUnderTest(made, made.queue())


@contextmanager
def _of_gateway(folder: Path) -> Iterator[QueueUnderTest]:
    with machine_of(folder, "vienna") as machine:
        yield QueueUnderTest(machine.stage, machine.queue, "vienna")


#: Each makes a hall in an empty folder.
QUEUES: dict[str, Callable[[Path], AbstractContextManager[QueueUnderTest]]] = {
    **{kind: partial(_of_database, kind) for kind in STORES},
    "gateway": _of_gateway,
}


@dataclass(frozen=True)
class DispatchUnderTest:
    """A dispatch over a control database, and the queue that hands out what it was asked for."""

    stage: Stage
    dispatch: Dispatch
    queue: JobQueue


@contextmanager
def _local(kind: str, folder: Path) -> Iterator[DispatchUnderTest]:
    with stage(kind, folder) as made:
        yield DispatchUnderTest(made, made.dispatch, made.queue())


#: Each makes a dispatch in an empty folder.
DISPATCHES: dict[str, Callable[[Path], AbstractContextManager[DispatchUnderTest]]] = {
    f"local engine, {kind}": partial(_local, kind) for kind in STORES
}
