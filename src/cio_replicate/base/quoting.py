"""What others said, inside of our own sentences: always in quotation marks, so that it can be left out again.

An API, a database or a library may quote rows in what it says. Our own sentences never do, and have no such marks.
"""

from __future__ import annotations

import re

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
