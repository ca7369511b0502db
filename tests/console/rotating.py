"""A program that rotates the key of a control database and is killed at one of the steps that it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cio_replicate.base.runtime import SystemClock
from cio_replicate.console.secrets import KeyFile, Secrets
from cio_replicate.database.actor import LOCAL
from cio_replicate.database.connection import Database


class FatalKeys(KeyFile):
    """Keys in a file, at which the process is killed: before or after the keys are written."""

    def __init__(self, file: Path, step: int) -> None:
        super().__init__(file)
        self._left = step

    def read(self) -> list[bytes]:
        """The keys: all of what is done between two readings is done by then."""
        keys = super().read()
        if len(keys) > 1:  # a rotation has begun
            self._die()
        return keys

    def replace(self, keys: Sequence[bytes]) -> None:
        """Write them."""
        self._die()
        super().replace(keys)
        self._die()

    def _die(self) -> None:
        if self._left == 0:
            os._exit(9)
        self._left -= 1


def main() -> None:
    """Rotate, and be killed at this step."""
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    database = Database(f"sqlite:///{folder / 'console.db'}")
    Secrets(database, FatalKeys(folder / "console.key", step), SystemClock()).rotate(LOCAL)
    database.close()


if __name__ == "__main__":
    main()
