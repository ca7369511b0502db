"""A gateway member's key pair and enrolment, and the folder that holds both."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Self

import filelock
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from cio_replicate.base.errors import Conflict, StateFolderError, TaskBusyError
from cio_replicate.base.runtime import PRIVATE, default_root
from cio_replicate.jobs.gateway_protocol import ALGORITHM, claims_of

# The key pair of a gateway's machine: it is made there, never leaves it, and signs its requests.

KEY_FILE = "gateway.key"


class MemberKey:
    """An Ed25519 key pair. Only the public half can be had from it."""

    __slots__ = ("_key",)

    def __init__(self, key: OKPKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"Key({self.thumbprint})"

    @property
    def public(self) -> dict[str, str]:
        """The public half, as a JSON Web Key."""
        return {name: str(value) for name, value in self._key.as_dict(private=False).items()}

    @property
    def thumbprint(self) -> str:
        """The name of the key by RFC 7638."""
        return str(self._key.thumbprint())

    def sign(self, issuer: str, host: str, path: str, body: bytes, now: float) -> str:
        """A token for one request at this moment; another each time."""
        claims = claims_of(issuer, host, path, body, int(now), secrets.token_hex(16))
        return jwt.encode({"alg": ALGORITHM, "kid": issuer}, claims, self._key, algorithms=[ALGORITHM])

    def write(self, folder: Path) -> None:
        """Write it to a file that only its owner may read. Raises StateFolderError."""
        target = folder / KEY_FILE
        new = folder / f"{KEY_FILE}.new"
        try:
            new.unlink(missing_ok=True)
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(self._key.as_pem(private=True))
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
        except OSError as error:
            raise StateFolderError(
                f"The key {target} cannot be written ({error.strerror or error}).",
                "Choose another --state-dir, or mend its permissions.",
            ) from None


def new_key() -> MemberKey:
    """Make a new key pair."""
    return MemberKey(OKPKey.generate_key("Ed25519", private=True))


def read_key(folder: Path) -> MemberKey:
    """Read the key pair that `write` has written. Raises StateFolderError, also when others may read the file."""
    file = folder / KEY_FILE
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise StateFolderError(
                f"The gateway's key {file} can be read by other users of this machine.",
                f"If nobody has: chmod 600 {file}. If unsure, revoke this machine at the console and enrol it again.",
            )
        return MemberKey(OKPKey.import_key(file.read_bytes()))
    except OSError as error:
        cause = error.strerror or str(error)
    except (JoseError, ValueError):
        cause = "it is no key"
    raise StateFolderError(
        f"The gateway's key {file} cannot be read ({cause}).",
        "Put it back, or revoke this machine at the console, remove the folder and enrol again.",
    )


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

    Holds the identity, the key, outcomes that could not be sent yet, and below `tasks` the staged pages of runs. Raises
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

    def __exit__(self, *_: object) -> None:
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
        """Store what the machine is enrolled as. Raises StateFolderError."""
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
    """Raises InvalidSettings when the machine is enrolled at another console than the one that was named."""
    if console is not None and console != identity.console:
        raise Conflict(
            f"This machine is enrolled at {identity.console}, not at {console}.",
            "Leave --console out, or give the other gateway a folder of its own with --state-dir.",
        )
