r"""Half characters: `\ud800` alone is allowed in JSON text but is no Unicode character and fits no database."""

from __future__ import annotations

import re

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
