"""Successful answers before they are written: lists with their cursors, or one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from .ledger import Position


@dataclass(slots=True)
class Answer:
    """The parts of a 200.

    `records` are exact JSON texts under `key`: an array when `many`, else one object; `key` None leaves the object
    unwrapped; `records` None writes `null`. `siblings` stand beside them. `positions` (parallel to `records`) and
    `listing` let a cursor be written to any place of the page.
    """

    key: str | None
    records: list[bytes] | None
    many: bool = True
    siblings: dict[str, Any] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    listing: str = ""


def write_answer(answer: Answer) -> bytes:
    """The JSON body."""
    parts: list[bytes] = [] if answer.key is None else [b'{"%s":' % answer.key.encode()]
    if answer.records is None:
        parts.append(b"null")
    elif answer.many:
        parts += [b"[", b",".join(answer.records), b"]"]
    else:
        parts.append(answer.records[0])
    if answer.key is not None:
        parts += [b",", msgspec.json.encode(answer.siblings)[1:]] if answer.siblings else [b"}"]
    return b"".join(parts)
