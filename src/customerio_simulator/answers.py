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
    head = b"" if answer.key is None else b'{"%s":' % answer.key.encode()
    tail = b"" if answer.key is None else b"}"
    if answer.key is not None and answer.siblings:
        tail = b"," + msgspec.json.encode(answer.siblings)[1:]
    if answer.records is None:
        return head + b"null" + tail
    if not answer.many:
        return head + answer.records[0] + tail
    if not answer.records:
        return head + b"[]" + tail
    records = answer.records.copy()  # the page is as long as all of them: its ends join them before it is written
    records[0] = head + b"[" + records[0]
    records[-1] += b"]" + tail
    return b",".join(records)
