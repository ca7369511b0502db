"""The key pair of a gateway's machine: made there, kept there, and the only thing that signs what it says."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from cio_replicate.base.errors import StateFolderError
from cio_replicate.jobs.gateway_protocol import ALGORITHM, claims_of

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
        """Keep it in a folder, in a file that only its owner may read. Raises StateFolderError."""
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
    """A key pair that nobody has had before."""
    return MemberKey(OKPKey.generate_key("Ed25519", private=True))


def read_key(folder: Path) -> MemberKey:
    """The key pair that `write` has kept. Raises StateFolderError, also when others may read the file."""
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
