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
    if answer.records is None:
        data = b"null"
    elif answer.many:
        data = b"[" + b",".join(answer.records) + b"]"
    else:
        data = answer.records[0]
    if answer.key is None:
        return data
    body = b'{"%s":%s' % (answer.key.encode(), data)
    if answer.siblings:
        body += b"," + msgspec.json.encode(answer.siblings)[1:-1]
    return body + b"}"
