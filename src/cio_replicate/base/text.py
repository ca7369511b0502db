"""Secrets that cannot be printed, and the scrubbing of text that comes from outside."""

from __future__ import annotations

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
