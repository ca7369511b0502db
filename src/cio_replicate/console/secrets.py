"""Stored secrets: encryption keys, encrypted values, their users, and secrets that only a gateway has."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Connection, delete, insert, select, update

from cio_replicate.base.errors import Conflict, InvalidSettings, NotFound
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.documents import ConnectionSettings, Documents, TaskSettings, stored_names
from cio_replicate.config.secret_references import MOST_BYTES, is_stored_name, resolved, stored_variable
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import KEY_VARIABLE, Database, key_file
from cio_replicate.database.rows import documents_of, entries
from cio_replicate.database.tables import secrets

# The keys that stored secrets are encrypted with: in a file of their own, or wherever a reference says.

NEW_KEY = "openssl rand -base64 32 | tr '+/' '-_'"


class EncryptionKeys(Protocol):
    """Where the keys are. The first one encrypts, all of them decrypt; none at all is an empty list."""

    @property
    def shown(self) -> str:
        """Where they are, for people."""

    def read(self) -> list[bytes]:
        """Return the keys. Raises Refused when what is there is no key."""

    def replace(self, keys: Sequence[bytes]) -> None:
        """Store these keys instead: after a kill there are these or those of before. Raises Refused."""


@dataclass
class KeyFile:
    """Keys in a file that only its user may read, one a line."""

    file: Path

    @property
    def shown(self) -> str:
        """Where they are, for people."""
        return f"the file {self.file}"

    def read(self) -> list[bytes]:
        """Return the keys, the first of which encrypts; none when there is no such file."""
        try:
            text = self.file.read_text(encoding="ascii")
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise self._refused("read", error) from None
        return _keys(text, self.shown)

    def replace(self, keys: Sequence[bytes]) -> None:
        """Store these keys instead: after a kill there are these or those of before."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(prefix=f"{self.file.name}.", dir=self.file.parent)  # 0600
            try:
                with os.fdopen(descriptor, "wb") as new:
                    new.write(b"".join(key + b"\n" for key in keys))
                    new.flush()
                    os.fsync(new.fileno())
                Path(name).replace(self.file)
            finally:
                Path(name).unlink(missing_ok=True)
            folder = os.open(self.file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._refused("written", error) from None

    def _refused(self, what: str, error: OSError | ValueError) -> InvalidSettings:
        cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        return InvalidSettings(
            f"The file {self.file} with the key of stored secrets cannot be {what} ({cause}).",
            f"Check its permissions, or name another place by {KEY_VARIABLE}.",
        )


@dataclass(frozen=True, slots=True)
class ReferencedKeys:
    """Keys at a reference: they can be read there, and only who stores them there can change them."""

    reference: str
    environment: Mapping[str, str]

    @property
    def shown(self) -> str:
        """Where they are, for people."""
        return self.reference

    def read(self) -> list[bytes]:
        """The keys."""
        text = resolved(self.reference, self.environment, KEY_VARIABLE).reveal()
        return _keys(text, self.shown)

    def replace(self, keys: Sequence[bytes]) -> None:
        """Raises Refused: it cannot be done from here."""
        _ = keys
        raise InvalidSettings(
            f"The key of stored secrets is kept at {self.reference}, where this program cannot change it.",
            f"Put a new key, made by `{NEW_KEY}`, and a comma before the one that is there, then rotate.",
        )


def keys_for(address: Address, environment: Mapping[str, str]) -> EncryptionKeys:
    """Return the keys of the control database at this address: where the environment says, or in the file for it."""
    reference = environment.get(KEY_VARIABLE)
    if not reference:
        return KeyFile(key_file(address))
    form, _, path = reference.partition(":")
    return KeyFile(Path(path).expanduser()) if form == "file" and path else ReferencedKeys(reference, environment)


def _keys(text: str, shown: str) -> list[bytes]:
    keys = [word.encode("ascii", "replace") for word in re.split(r"[\s,]+", text) if word]
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        keys = []
    if not keys:
        raise InvalidSettings(
            f"What {shown} holds is no key of stored secrets.",
            f"Put back the key that was there; `{NEW_KEY}` makes a new one where no secret is stored yet.",
        )
    return keys


def users_in(documents: Documents) -> dict[str, list[str]]:
    """Return by the name of a secret what refers to it: `connection main`."""
    users: dict[str, list[str]] = {}
    for kind, name, settings in entries(documents):
        for secret in stored_names(settings):
            users.setdefault(secret, []).append(f"{kind} {name}")
    return users


OWN = "."  # begins the names of the program's own secrets; no reference can be written so
FIX = (
    f"Put it back, or name its place by {KEY_VARIABLE}; if it is lost for good, `cio-replicate secret rotate "
    "--key-lost` goes on without what it had encrypted."
)


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What can be seen of a stored secret: that it is there, since when, and what uses it; never the secret."""

    name: str
    changed_at: int
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rotation:
    """What came of a rotation: how many secrets have a new key, and the names of those that are gone."""

    renewed: int
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Secrets:
    """The stored secrets. There is no way to read one back but `revealed`, which what starts a run calls."""

    database: Database
    keys: EncryptionKeys
    clock: Clock

    def all(self) -> list[StoredSecret]:
        """What is stored, by name."""
        with self.database.reading() as connection:
            rows = connection.execute(select(secrets.c.name, secrets.c.changed_at).order_by(secrets.c.name))
            used = users_in(documents_of(connection))
            return [
                StoredSecret(row.name, row.changed_at, tuple(used.get(row.name, ())))
                for row in rows
                if not row.name.startswith(OWN)
            ]

    def put(self, name: str, secret: Secret, by: Actor) -> bool:
        """Store a secret; whether it replaced another. Raises Refused."""
        with self.database.writing() as connection:
            return put(connection, self.keys, name, secret, int(self.clock.now()), by)

    def remove(self, name: str, by: Actor) -> None:
        """Delete a secret. Raises NotFound when there is none of that name, Conflict while something refers to it."""
        by.require(Role.ADMIN)
        with self.database.writing() as connection:
            users = users_in(documents_of(connection)).get(name, [])
            if users:
                raise Conflict(
                    f"The secret {name} is used by {' and '.join(users)}.",
                    "Edit or delete what uses it, or put another secret.",
                )
            mine = secrets.c.name == name
            if name.startswith(OWN) or not connection.execute(delete(secrets).where(mine)).rowcount:
                fix = "See what there is: cio-replicate secret list."
                raise NotFound(f"There is no stored secret {name[:80]!r}.", fix)
            record(connection, int(self.clock.now()), by, "secret.remove", name)

    def rotate(self, by: Actor, *, key_lost: bool = False) -> Rotation:
        """Encrypt everything with a new key, in one transaction, and forget the old one once that is committed.

        It may be killed at any moment: then all can be decrypted, and another rotation forgets the keys that are left.
        With `key_lost`, what no key decrypts is removed. Raises Refused.
        """
        by.require(Role.ADMIN)
        with self.database.writing() as connection:
            if not key_lost:
                _cipher(connection, self.keys)  # refuses a key that is missing or another
            first = self._begin_rotation(key_lost=key_lost)
            rotation = _renewed(connection, self.keys, key_lost=key_lost)
            lost = f"lost: {', '.join(rotation.lost)}" if rotation.lost else None
            record(connection, int(self.clock.now()), by, "secret.rotate", self.keys.shown, lost)
        if not isinstance(self.keys, ReferencedKeys):
            with self.database.writing():  # so that no other rotation has begun since
                if self.keys.read()[:1] == [first]:
                    self.keys.replace([first])
        return rotation

    def _begin_rotation(self, *, key_lost: bool) -> bytes:
        """Return the key that is to encrypt from now on; the others stay until nothing is encrypted with them."""
        try:
            there = self.keys.read()
        except InvalidSettings:
            if not key_lost or isinstance(self.keys, ReferencedKeys):
                raise
            there = []
        if isinstance(self.keys, ReferencedKeys):
            if len(there) < 2 and not key_lost:
                self.keys.replace(there)  # which says what to do
            return there[0]
        first = Fernet.generate_key()
        self.keys.replace([first, *there])
        return first


def put(connection: Connection, keys: EncryptionKeys, name: str, secret: Secret, now: int, by: Actor) -> bool:
    """As `Secrets.put`, in a transaction that writes."""
    by.require(Role.ADMIN)
    if not is_stored_name(name):
        raise InvalidSettings(
            f"A secret cannot be called {name[:80]!r}.",
            "Use small letters, digits, hyphens and slashes, a letter or digit first.",
        )
    value = secret.reveal()
    if not value or len(value.encode()) > MOST_BYTES:
        raise InvalidSettings(f"The secret {name} is empty or too large.", "Give it as it is, up to a megabyte.")
    replaced = write_own(connection, keys, name, value, now)
    record(connection, now, by, "secret.replace" if replaced else "secret.put", name)
    return replaced


def write_own(connection: Connection, keys: EncryptionKeys, name: str, value: str, now: int) -> bool:
    """Store a value under any name, also of the program's own; whether it replaced another."""
    cipher = _cipher(connection, keys)
    values = {"ciphertext": cipher.encrypt(value.encode()).decode(), "changed_at": now}
    replaced = connection.execute(update(secrets).where(secrets.c.name == name).values(values)).rowcount > 0
    if not replaced:
        connection.execute(insert(secrets).values(name=name, **values))
    return replaced


def revealed(connection: Connection, keys: EncryptionKeys, names: Iterable[str]) -> dict[str, str]:
    """The secrets of these names, for a run of this machine. Call it in a transaction that writes, and show nothing.

    In one that only reads, a rotation may come between. Raises Refused for one that is not there, and for a key
    that is missing or another.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = connection.execute(select(secrets.c.name, secrets.c.ciphertext).where(secrets.c.name.in_(wanted)))
    found = {row.name: row.ciphertext for row in rows}
    for name in wanted:
        if name not in found:
            raise InvalidSettings(
                f"The secret stored:{name} is not stored.", f"Store it: cio-replicate secret put {name}."
            )
    cipher = _cipher(connection, keys)
    return {name: _decrypted(cipher, found[name], keys) for name in wanted}


def with_revealed(
    connection: Connection, keys: EncryptionKeys, environment: Mapping[str, str], names: Iterable[str]
) -> Mapping[str, str]:
    """Return the environment with these stored secrets where references find them; see `revealed`."""
    found = revealed(connection, keys, names)
    return {**environment, **{stored_variable(name): value for name, value in found.items()}}


def _renewed(connection: Connection, keys: EncryptionKeys, *, key_lost: bool) -> Rotation:
    """Encrypt all with the first key."""
    cipher, lost, renewed = _cipher_of(keys.read()), [], 0
    for row in connection.execute(select(secrets.c.name, secrets.c.ciphertext).order_by(secrets.c.name)).all():
        this = secrets.c.name == row.name
        try:
            connection.execute(
                update(secrets).where(this).values(ciphertext=cipher.rotate(row.ciphertext.encode()).decode())
            )
            renewed += not row.name.startswith(OWN)
        except InvalidToken:
            if not key_lost:
                raise _wrong(keys) from None
            connection.execute(delete(secrets).where(this))
            lost += [] if row.name.startswith(OWN) else [row.name]
    return Rotation(renewed, tuple(lost))


def _cipher(connection: Connection, keys: EncryptionKeys) -> MultiFernet:
    """What encrypts, proved by a secret that is there; where nothing is stored and there is no key, one is made."""
    there = keys.read()
    sample = connection.scalar(select(secrets.c.ciphertext).limit(1))
    if not there:
        if sample is not None:
            cause = f"The key that stored secrets are encrypted with is missing: it was in {keys.shown}."
            raise InvalidSettings(cause, FIX)
        there = [Fernet.generate_key()]
        keys.replace(there)
    cipher = _cipher_of(there)
    if sample is not None:
        _decrypted(cipher, sample, keys)
    return cipher


def _cipher_of(keys: list[bytes]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _decrypted(cipher: MultiFernet, ciphertext: str, keys: EncryptionKeys) -> str:
    try:
        return cipher.decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise _wrong(keys) from None


def _wrong(keys: EncryptionKeys) -> InvalidSettings:
    return InvalidSettings(f"The stored secrets are encrypted with another key than that in {keys.shown}.", FIX)


# What runs on a gateway finds its secrets there: the console may not store any of them.

OWN_SIDE_FIX = (
    "Keep it on the gateway's machines and say where: env:NAME, file:/path or keyring:service/user, as it is called "
    "there."
)


def require_own_secrets(connection: ConnectionSettings, tasks: Iterable[tuple[str, TaskSettings]] = ()) -> None:
    """Raises Refused when a connection with a gateway, or a task of it, names a secret that the console stores."""
    if connection.gateway is None:
        return
    wrong = [("The connection", name) for name in stored_names(connection)]
    wrong += [(f"The task {task}", name) for task, settings in tasks for name in stored_names(settings)]
    for what, name in wrong:
        raise InvalidSettings(
            f"{what} runs on the gateway {connection.gateway}, which never gets stored:{name}: no secret of the "
            "console leaves it.",
            OWN_SIDE_FIX,
        )
