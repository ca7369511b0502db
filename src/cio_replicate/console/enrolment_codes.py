"""Enrolment codes: made to be copied by hand and never guessed, and kept only as a digest."""

from __future__ import annotations

import secrets
from hashlib import sha256

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: nothing in it looks like something else
GROUPS, LETTERS = 5, 5  # 125 random bits
LIFETIME = 3_600

_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


def new_code() -> str:
    """A code that nobody can guess, in groups: `7K3QF-9ZB2M-…`."""
    letters = [secrets.choice(ALPHABET) for _ in range(GROUPS * LETTERS)]
    return "-".join("".join(letters[at : at + LETTERS]) for at in range(0, len(letters), LETTERS))


def digest_of(code: str) -> str:
    """What is kept of a code. Small letters, blanks, and letters that are easily misread, make no difference."""
    return sha256(code.strip().upper().translate(_MISREAD).encode()).hexdigest()
