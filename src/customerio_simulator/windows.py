"""Which creation times a delivery list looks at, given the bounds of a request."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

_YEAR_9999 = 253_402_300_799
_MONTHS = 6


def six_months_before(moment: int) -> int:
    """The unix second six calendar months earlier, UTC; a day that the month lacks becomes its last one."""
    clamped = min(max(moment, 0), _YEAR_9999)
    then = datetime.fromtimestamp(clamped, UTC)
    months = then.year * 12 + then.month - 1 - _MONTHS
    year, month = months // 12, months % 12 + 1
    day = min(then.day, monthrange(year, month)[1])
    return int(then.replace(year=year, month=month, day=day).timestamp())


def delivery_window(start_ts: int | None, end_ts: int | None, now: int) -> tuple[int, int]:
    """First and last creation second listed, both included (live).

    no bounds        [now - 6 months, now]
    only start_ts    [max(start_ts, now - 6 months), now]
    only end_ts      [end_ts - 6 months, end_ts]
    both             [max(start_ts, end_ts - 6 months), end_ts], cut silently (spec)
    """
    last = now if end_ts is None else min(end_ts, _YEAR_9999)
    earliest = six_months_before(last)
    return (earliest if start_ts is None else max(start_ts, earliest)), last
