"""Text from outside and for people: secrets, quoted words of others, lone surrogates, numbers and durations."""

from __future__ import annotations

import re
from collections.abc import Mapping

# What others said, inside of our own sentences: always in quotation marks, so that it can be left out again.
# An API, a database or a library may quote rows in what it says. Our own sentences never do, and have no such marks.
LONGEST = 200
LEFT_OUT = "“…”"

_QUOTED = re.compile("“[^”]*(?:”|$)")
_MARKS = str.maketrans({"“": '"', "”": '"'})


def quoted(said: object, most: int = LONGEST) -> str:
    """What somebody else said, as it may stand in a sentence of ours: one line, not too long, in quotation marks."""
    line = " ".join(str(said).split()).translate(_MARKS)
    return f"“{line[: most - 1]}…”" if len(line) > most else f"“{line}”"


def without_quotes(text: str) -> str:
    """A text of ours without anything that others said."""
    return _QUOTED.sub(LEFT_OUT, text)


MASK = "***"


class Secret:
    """A value that shows only as `***`: in text, repr, logs, tracebacks and pickles.

    `reveal()` is the one way to the value; only the HTTP client calls it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    def scrub(self, text: str) -> str:
        """`text` with every occurrence of the value masked."""
        return text.replace(self._value, MASK) if self._value else text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        raise TypeError("a secret is not written anywhere")


# Half characters: `\ud800` alone is allowed in JSON text but is no Unicode character and fits no database.
# an escape counts only after an even number of backslashes; a high half followed by a low one is a whole character
_HALVES = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def with_literal_surrogates(text: bytes) -> bytes:
    """JSON text in which each lone surrogate escape became the six characters that write it, so nothing is lost."""
    return _HALVES.sub(_mend, text)


def _mend(match: re.Match[bytes]) -> bytes:
    escape = match[2]
    return match[0] if len(escape) > len(b"\\ud800") else match[1] + b"\\" + escape


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def counted(count: int, word: str) -> str:
    """A count with its word: `1 row`, `2 rows`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def duration(seconds: float) -> str:
    """A stretch of time in a few characters: `0.4 s`, `12 s`, `3:05`, `1:02:03`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


FIELD = re.compile("‹([a-z_]+)›")  # how a sentence names a setting; each face has its own word for it


def worded(text: str, words: Mapping[str, str]) -> str:
    """A sentence with the words that a face has for the settings that it names; their plain names without one."""
    return FIELD.sub(lambda found: words.get(found[1], found[1]), text)
