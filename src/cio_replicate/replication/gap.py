"""Whether a log that forgets has forgotten something between two reads: a pure decision."""

from __future__ import annotations

from cio_replicate.landing.position import Position
from cio_replicate.landing.read import Tally

DAY = 86_400


def gap(position: Position | None, tally: Tally, began: int, retention_days: int) -> tuple[int, int] | None:
    """The stretch of time (unix seconds) of which entries may be lost for good; None when there is none.

    Everything until `position.through` was read. The log surely reaches back `retention_days`, and as far as its
    oldest entry shows. If an entry that must still be there is not, it reaches back only to its oldest one.

             latest   through                 began - retention        began
        ─────────|───────|░░░░░░░░ gap ░░░░░░░░░░|━━━━━━━━ log ━━━━━━━━━━|
    """
    if position is None:
        return None
    sure = began - retention_days * DAY
    oldest = tally.earliest
    reaches_back_to = sure if oldest is None else min(oldest, sure)
    expected = position.latest is not None and position.latest >= sure
    if expected and position.latest is not None and (oldest is None or oldest > position.latest):
        reaches_back_to = began if oldest is None else oldest
        return (position.latest, reaches_back_to)
    return (position.through, reaches_back_to) if position.through < reaches_back_to else None
