"""The keys that stored secrets are encrypted with: kept in a file of their own, or wherever a reference says."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.secret_references import resolved
from cio_replicate.database.place import KEY_VARIABLE, key_file

NEW_KEY = "openssl rand -base64 32 | tr '+/' '-_'"


class EncryptionKeys(Protocol):
    """Where the keys are. The first one encrypts, all of them decrypt; none at all is an empty list."""

    @property
    def shown(self) -> str:
        """Where they are, for people."""
        ...

    def read(self) -> list[bytes]:
        """The keys. Raises SettingsError when what is there is no key."""
        ...

    def replace(self, keys: Sequence[bytes]) -> None:
        """Keep these keys from now on: after a kill there are these or those of before. Raises SettingsError."""
        ...


class KeyFile:
    """Keys in a file that only its user may read, one a line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def shown(self) -> str:
        """Where they are, for people."""
        return f"the file {self._file}"

    def read(self) -> list[bytes]:
        """The keys; none when there is no such file."""
        try:
            text = self._file.read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise self._refused("read", error) from None
        return _keys(text, self.shown)

    def replace(self, keys: Sequence[bytes]) -> None:
        """Write the file anew beside the old one, and put it in its place."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(prefix=f"{self._file.name}.", dir=self._file.parent)  # 0600
            try:
                with os.fdopen(descriptor, "wb") as new:
                    new.write(b"".join(key + b"\n" for key in keys))
                    new.flush()
                    os.fsync(new.fileno())
                Path(name).replace(self._file)
            finally:
                Path(name).unlink(missing_ok=True)
            folder = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._refused("written", error) from None

    def _refused(self, what: str, error: OSError | ValueError) -> SettingsError:
        cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return SettingsError(
            f"The file {self._file} with the key of stored secrets cannot be {what} ({cause}).",
            f"Check its permissions, or name another place by {KEY_VARIABLE}.",
        )


class ReferencedKeys:
    """Keys at a reference: they can be read there, and only who keeps them can change them."""

    def __init__(self, reference: str, environment: Mapping[str, str]) -> None:
        self._reference = reference
        self._environment = environment

    @property
    def shown(self) -> str:
        """Where they are, for people."""
        return self._reference

    def read(self) -> list[bytes]:
        """The keys."""
        text = resolved(self._reference, self._environment, KEY_VARIABLE).reveal()
        return _keys(text, self.shown)

    def replace(self, keys: Sequence[bytes]) -> None:
        """Raises SettingsError: it cannot be done from here."""
        _ = keys
        raise SettingsError(
            f"The key of stored secrets is kept at {self._reference}, where this program cannot change it.",
            f"Put a new key, made by `{NEW_KEY}`, and a comma before the one that is there, then rotate.",
        )


def keys_for(address: Address, environment: Mapping[str, str]) -> EncryptionKeys:
    """The keys of the control database at this address: where the environment says, or in the file for it."""
    reference = environment.get(KEY_VARIABLE)
    if not reference:
        return KeyFile(key_file(address))
    form, _, path = reference.partition(":")
    return KeyFile(Path(path).expanduser()) if form == "file" and path else ReferencedKeys(reference, environment)


def new_key() -> bytes:
    """A key that there has not been before."""
    return Fernet.generate_key()


def _keys(text: str, shown: str) -> list[bytes]:
    keys = [word.encode("ascii", "replace") for word in re.split(r"[\s,]+", text) if word]
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        keys = []
    if not keys:
        raise SettingsError(
            f"What {shown} holds is no key of stored secrets.",
            f"Put back the key that was there; `{NEW_KEY}` makes a new one where no secret is stored yet.",
        )
    return keys
