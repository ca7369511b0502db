"""What of a table is due to be read in a run: pure decisions from its position and the rules of reading again."""

from __future__ import annotations

from collections.abc import Iterable

from cio_replicate.config.again import PeopleRefresh, RereadPolicy
from cio_replicate.schema.position import Checkpoint
from cio_replicate.schema.table import Reading, Table

DAY = 86_400
#: A delivery is opened and clicked for six months and converts within 90 days (live), most of it soon. So one is read
#: again when it gets this old, in days, besides being read on every run while it is recent.
MILESTONES = (30, 60, 90, 180)
#: How long before the last run something may have happened that the list did not show then, in seconds.
LOOKBACK = DAY


def reads_whole(table: Table, base: Checkpoint | None, began: int, rules: RereadPolicy) -> bool:
    """Whether a read that begins now takes in all that the source lists since the start date.

    Lists are always read whole. The log and people are, if their mode allows for less, when nothing was read before
    or the last whole read began `full_every_days` ago.
    """
    if base is None:
        return True
    if table.reading is Reading.WINDOWS:
        return False
    if table.retention_days is None and (table.reading is Reading.LIST or rules.people is PeopleRefresh.FULL):
        return True
    return began - base.last_whole >= rules.full_every_days * DAY


def log_until(table: Table, base: Checkpoint | None, began: int, rules: RereadPolicy) -> int | None:
    """The moment (unix seconds) back to which a log is read; None when it is read to its end."""
    if table.retention_days is None or base is None or reads_whole(table, base, began, rules):
        return None
    return anchor(base) - LOOKBACK


def anchor(base: Checkpoint) -> int:
    """The moment of the last read on the source's clock, as far as its rows tell: ours may be ahead of it."""
    return base.through if base.latest is None else min(base.through, base.latest)


def due_spans(start: int, now: int, base: Checkpoint | None, recent_days: int) -> list[tuple[int, int]]:
    """The creation times (unix seconds, both included) whose deliveries a run that begins `now` reads, oldest first.

    All since the start date when there is no position. Else what is new or recent, what passed a milestone of its age
    since the last run, and what an earlier start date adds:

      start      base.start                180         90        60        30 days old       now
        |▒▒▒▒▒▒▒▒▒▒▒▒|- - - - - - - - - - -|▒▒|- - - - |▒▒|- - - |▒▒|- - - |▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒|
    """
    if base is None:
        return [(start, now)] if start <= now else []
    due = [(anchor(base) - recent_days * DAY, now), (start, base.start - 1)]
    due += [(base.through - days * DAY, now - days * DAY) for days in MILESTONES]
    return merged((max(first, start), min(end, now)) for first, end in due)


def merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same seconds in as few spans as hold them, in order; spans that end before they begin hold none."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(span for span in spans if span[0] <= span[1]):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return result
