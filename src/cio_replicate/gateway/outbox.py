"""Ends of runs that could not be told yet, kept on disk until the console has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from cio_replicate.jobs.gateway_protocol import EndRequest

MOST = 1_000  # files; of more the oldest go, whose leases have run out long ago


class Outbox:
    """A folder with a file for each end. A file that cannot be read is thrown away: its run's lease runs out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, run_id: str, end: EndRequest) -> None:
        """Keep the end of a run. What the disk does not take is lost, as the run's lease runs out."""
        with suppress(OSError):
            new = self._folder / f"{run_id}.new"
            new.write_bytes(msgspec.json.encode(end))
            new.replace(self._folder / f"{run_id}.json")
            for file in self._files()[:-MOST]:
                file.unlink(missing_ok=True)

    def waiting(self) -> Iterator[tuple[str, EndRequest]]:
        """What is kept, the oldest first."""
        for file in self._files():
            try:
                end = msgspec.json.decode(file.read_bytes(), type=EndRequest)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                file.unlink(missing_ok=True)
                continue
            yield file.stem, end

    def take(self, run_id: str) -> None:
        """Forget an end: the console has it, or does not want it any more."""
        (self._folder / f"{run_id}.json").unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name))
