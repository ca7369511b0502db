"""The implementations of a board that hands out what a control database knows of: all pass the same tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cio_replicate.execution.board import Board
from tests.control.stage import STORES, Stage, stage


@dataclass(frozen=True)
class Hall:
    """A board over a control database, in which connections are for those that the board is for."""

    stage: Stage
    board: Board
    gateway: str | None = None

    def tasks(self, *names: str, workspace: str | None = None, **settings: Any) -> None:
        """Tasks, each with a connection of its own; to the same workspace, if one is named."""
        for name in names:
            self.stage.connection(f"to-{name}", token=workspace, gateway=self.gateway)
            self.stage.task(name, f"to-{name}", **settings)


@contextmanager
def _of_database(kind: str, folder: Path) -> Iterator[Hall]:
    with stage(kind, folder) as made:
        yield Hall(made, made.board())


#: Each makes a hall in an empty folder.
BOARDS: dict[str, Callable[[Path], AbstractContextManager[Hall]]] = {
    kind: partial(_of_database, kind) for kind in STORES
}
