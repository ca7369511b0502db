"""What a gateway's machine is enrolled as, and the folder that remembers it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import filelock
import msgspec

from cio_replicate.base.errors import SettingsError, StateFolderError, TaskBusyError
from cio_replicate.gateway.key import KEY_FILE
from cio_replicate.pipeline.staging import PRIVATE, default_root

IDENTITY_FILE = "gateway.json"
PATIENCE = 2.0  # seconds


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """This machine is that member of a gateway at a console."""

    console: str
    gateway: str
    member: str
    ca_file: str | None = None


class GatewayFolder:
    """The folder of one gateway on one machine, held by one process. Use as a context manager.

    Holds the identity, the key, what could not be told yet, and below `tasks` the landed pages of runs. Raises
    StateFolderError when it cannot be made, TaskBusyError when another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tasks = path / "tasks"
        self.outbox = path / "outbox"
        self._lock = filelock.FileLock(path / "lock")

    def __enter__(self) -> Self:
        try:
            for folder in (self.path, self.tasks, self.outbox):
                folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
            self._lock.acquire(timeout=PATIENCE)  # who only asks whether it is held has it for a moment
        except filelock.Timeout:
            raise TaskBusyError(
                f"A gateway is running already with the folder {self.path}.",
                "Stop it first, or give this one a folder of its own with --state-dir.",
            ) from None
        except OSError as error:
            raise StateFolderError(
                f"The folder {self.path} cannot be written ({error.strerror or error}).",
                "Choose another with --state-dir, or mend its permissions.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def is_held(self) -> bool:
        """Whether a process holds it, seen from another one."""
        try:
            with self._lock.acquire(blocking=False):
                return False
        except filelock.Timeout:
            return True
        except OSError:
            return False

    def identity(self) -> Enrolment | None:
        """What the machine is enrolled as; None when it is not. Raises StateFolderError."""
        file = self.path / IDENTITY_FILE
        try:
            return msgspec.json.decode(file.read_bytes(), type=Enrolment)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            raise StateFolderError(
                f"The file {file} cannot be read.", "Remove it to enrol this machine anew, with another code."
            ) from None

    def remember(self, identity: Enrolment) -> None:
        """Keep what the machine is enrolled as. Raises StateFolderError."""
        file = self.path / IDENTITY_FILE
        try:
            new = file.with_suffix(".new")
            new.write_bytes(msgspec.json.format(msgspec.json.encode(identity), indent=2))
            new.replace(file)
        except OSError as error:
            raise StateFolderError(
                f"The file {file} cannot be written ({error.strerror or error}).", "Make room, or mend its permissions."
            ) from None

    def forget(self) -> None:
        """Remove identity and key: they open nothing any more. Pages of runs stay."""
        for name in (IDENTITY_FILE, KEY_FILE):
            (self.path / name).unlink(missing_ok=True)


def folder_at(state_dir: Path | None) -> GatewayFolder:
    """The folder that was named, or the usual one."""
    return GatewayFolder(state_dir.expanduser().absolute() if state_dir is not None else default_root() / "gateway")


def require_same_console(identity: Enrolment, console: str | None) -> None:
    """Raises SettingsError when the machine is enrolled at another console than the one that was named."""
    if console is not None and console != identity.console:
        raise SettingsError(
            f"This machine is enrolled at {identity.console}, not at {console}.",
            "Leave --console out, or give the other gateway a folder of its own with --state-dir.",
        )
