"""Whether a log that forgets has forgotten something between two reads: a pure decision."""

from __future__ import annotations

from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.source.strategies.base import ReadStats

DAY = 86_400


def gap(position: Checkpoint | None, tally: ReadStats, began: int, retention_days: int) -> tuple[int, int] | None:
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
    since = position.through
    reaches_back_to = sure if oldest is None else min(oldest, sure)
    latest = position.latest
    if latest is not None and latest >= sure and (oldest is None or oldest > latest):
        since = min(latest, since)  # an entry may bear a later time than that of its reading
        reaches_back_to = began if oldest is None else oldest
    return (since, reaches_back_to) if since < reaches_back_to else None
