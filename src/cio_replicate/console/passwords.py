"""Passwords: which are taken, and their Argon2 hashes, compared in the same time for a user that there is not."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from cio_replicate.base.errors import SettingsError

SHORTEST, LONGEST = 12, 200  # longer ones only cost time
DIFFERENT = 5  # characters that a password has at least

_HASHER = PasswordHasher()  # Argon2id with the values that RFC 9106 names for machines with little memory
_OF_NOBODY = _HASHER.hash("the password of nobody, which takes as long to compare")


def hashed(password: str, name: str) -> str:
    """The hash of a new password of the user of that name. Raises SettingsError for one that is guessed too easily."""
    require_strong(password, name)
    return _HASHER.hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether the password is the one that was hashed; takes as long when nothing was kept."""
    if len(password) > LONGEST:
        password = ""
    try:
        _HASHER.verify(kept or _OF_NOBODY, password)
    except (Argon2Error, InvalidHashError):
        return False
    return kept is not None


def is_dated(kept: str) -> bool:
    """Whether a hash was made with values that are no longer the usual ones."""
    return _HASHER.check_needs_rehash(kept)


def hashed_again(password: str) -> str:
    """The hash of a password that is already somebody's."""
    return _HASHER.hash(password)


def require_strong(password: str, name: str) -> None:
    """Raises SettingsError for a password that is too short, too long, of too few characters, or the name again."""
    if len(password) < SHORTEST:
        raise SettingsError(
            f"The password is too short: it has {len(password)} characters.",
            f"Choose {SHORTEST} or more; a few words that nobody would put together are easy to remember.",
        )
    if len(password) > LONGEST:
        raise SettingsError("The password is too long.", f"Choose {LONGEST} characters at most.")
    if len(set(password.casefold())) < DIFFERENT:
        raise SettingsError("The password repeats a few characters.", "Choose one of more different characters.")
    if (name and password.casefold().replace(name.casefold(), "") == "") or _is_a_row(password.casefold()):
        raise SettingsError("The password can be guessed from the name or the keyboard.", "Choose another.")


_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
)


def _is_a_row(password: str) -> bool:
    """Whether it is a part of the alphabet, the digits or the keyboard, or one of a few words and digits."""
    letters = "".join(one for one in password if one.isalpha())
    return any(password in row for row in _ROWS) or letters in {"password", "passwort", "qwerty", "letmein", "admin"}
