"""Stored secrets: encrypted in the control database, put, replaced and removed, and revealed to a run alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import Connection, delete, insert, select, update

from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.secret_references import MOST_BYTES, is_stored_name
from cio_replicate.console.keys import EncryptionKeys, ReferencedKeys, new_key
from cio_replicate.console.secret_users import users_of
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.audit_log import record
from cio_replicate.database.connection import Database
from cio_replicate.database.place import KEY_VARIABLE
from cio_replicate.database.tables import secrets

OWN = "."  # begins the names of what the program keeps for itself; no reference can be written so
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


class Secrets:
    """The stored secrets. There is no way to read one back but `revealed`, which what starts a run calls."""

    def __init__(self, database: Database, keys: EncryptionKeys, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock

    def all(self) -> list[StoredSecret]:
        """What is stored, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(secrets.c.name, secrets.c.changed_at).order_by(secrets.c.name))
            used = users_of(connection)
            return [
                StoredSecret(row.name, row.changed_at, tuple(used.get(row.name, ())))
                for row in rows
                if not row.name.startswith(OWN)
            ]

    def put(self, name: str, secret: Secret, by: Actor) -> bool:
        """Store a secret; whether it replaced another. Raises SettingsError."""
        with self._database.writing() as connection:
            return put(connection, self._keys, name, secret, int(self._clock.now()), by)

    def remove(self, name: str, by: Actor) -> None:
        """Forget a secret. Raises SettingsError when there is none of that name, or while something refers to it."""
        with self._database.writing() as connection:
            remove(connection, name, int(self._clock.now()), by)

    def rotate(self, by: Actor, *, key_lost: bool = False) -> Rotation:
        """Encrypt everything with a new key, in one transaction, and forget the old one once that is committed.

        It may be killed at any moment: then all can be decrypted, and another rotation forgets the keys that are left.
        With `key_lost`, what no key decrypts is removed. Raises SettingsError.
        """
        by.require(Role.ADMIN)
        with self._database.writing() as connection:
            if not key_lost:
                _cipher(connection, self._keys)  # refuses a key that is missing or another
            first = self._begin_rotation(key_lost=key_lost)
            rotation = _renewed(connection, self._keys, key_lost=key_lost)
            lost = f"lost: {', '.join(rotation.lost)}" if rotation.lost else None
            record(connection, int(self._clock.now()), by, "secret.rotate", self._keys.shown, lost)
        if not isinstance(self._keys, ReferencedKeys):
            with self._database.writing():  # so that no other rotation has begun since
                if self._keys.read()[:1] == [first]:
                    self._keys.replace([first])
        return rotation

    def _begin_rotation(self, *, key_lost: bool) -> bytes:
        """The key that is to encrypt from now on; the others stay until nothing is encrypted with them."""
        if isinstance(self._keys, ReferencedKeys):
            there = self._keys.read()
            if len(there) < 2 and not key_lost:
                self._keys.replace(there)  # which says what to do
            return there[0]
        there, first = _at_hand(self._keys) if key_lost else self._keys.read(), new_key()
        self._keys.replace([first, *there])
        return first


def put(connection: Connection, keys: EncryptionKeys, name: str, secret: Secret, now: int, by: Actor) -> bool:
    """As `Secrets.put`, in a transaction that writes."""
    by.require(Role.ADMIN)
    if not is_stored_name(name):
        raise SettingsError(
            f"A secret cannot be called {name[:80]!r}.",
            "Use small letters, digits, hyphens and slashes, a letter or digit first.",
        )
    value = secret.reveal()
    if not value or len(value.encode()) > MOST_BYTES:
        raise SettingsError(f"The secret {name} is empty or too large.", "Give it as it is, up to a megabyte.")
    replaced = write_own(connection, keys, name, value, now)
    record(connection, now, by, "secret.replace" if replaced else "secret.put", name)
    return replaced


def remove(connection: Connection, name: str, now: int, by: Actor) -> None:
    """As `Secrets.remove`, in a transaction that writes."""
    by.require(Role.ADMIN)
    users = users_of(connection).get(name, [])
    if users:
        raise SettingsError(
            f"The secret {name} is used by {' and '.join(users)}.",
            "Edit or delete what uses it, or put another secret.",
        )
    if name.startswith(OWN) or not connection.execute(delete(secrets).where(secrets.c.name == name)).rowcount:
        raise SettingsError(
            f"There is no stored secret {name[:80]!r}.", "See what there is: cio-replicate secret list."
        )
    record(connection, now, by, "secret.remove", name)


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

    In one that only reads, a rotation may come between. Raises SettingsError for one that is not there, and for a key
    that is missing or another.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = connection.execute(select(secrets.c.name, secrets.c.ciphertext).where(secrets.c.name.in_(wanted)))
    found = {row.name: row.ciphertext for row in rows}
    for name in wanted:
        if name not in found:
            raise SettingsError(
                f"The secret stored:{name} is not stored.", f"Store it: cio-replicate secret put {name}."
            )
    cipher = _cipher(connection, keys)
    return {name: _decrypted(cipher, found[name], keys) for name in wanted}


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
            raise SettingsError(
                f"The key that stored secrets are encrypted with is missing: it was in {keys.shown}.",
                FIX,
            )
        there = [new_key()]
        keys.replace(there)
    cipher = _cipher_of(there)
    if sample is not None:
        _decrypted(cipher, sample, keys)
    return cipher


def _at_hand(keys: EncryptionKeys) -> list[bytes]:
    """The keys as far as there are any."""
    try:
        return keys.read()
    except SettingsError:
        return []


def _cipher_of(keys: list[bytes]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _decrypted(cipher: MultiFernet, ciphertext: str, keys: EncryptionKeys) -> str:
    try:
        return cipher.decrypt(ciphertext.encode()).decode()
    except InvalidToken:
        raise _wrong(keys) from None


def _wrong(keys: EncryptionKeys) -> SettingsError:
    return SettingsError(
        f"The stored secrets are encrypted with another key than that in {keys.shown}.",
        FIX,
    )
