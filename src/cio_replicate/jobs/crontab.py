"""Cron lines as crontab(5) means them, in the words of APScheduler, which counts weekdays from Monday; pure."""

from __future__ import annotations

import re

from cio_replicate.base.errors import InvalidSettings

FIX = "Write minute, hour, day of month, month and day of week, such as `0 3 * * mon-fri`: at 3 on workdays."
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_WEEKDAYS = re.compile(r"(?P<first>\*|[0-7]|[a-z]{3})(-(?P<last>[0-7]|[a-z]{3}))?(/(?P<step>[1-7]))?")


def cron_lines(line: str) -> list[str]:
    """The lines that together mean what a line of a crontab does: a time is due when one of them says so.

    There are two where days of the month and of the week are both named, since either is enough for cron. Raises
    InvalidSettings for what has not five fields, or no such weekdays.
    """
    written = " ".join(line.split()).lower()
    fields = _NAMED.get(written, written).split()
    if len(fields) != 5:
        raise InvalidSettings(f"The cron line {line!r} has not five fields.", FIX)
    minute, hour, day, month, weekday = fields
    either = not day.startswith("*") and not weekday.startswith("*")
    weekday = weekdays(weekday)
    if not either:
        return [f"{minute} {hour} {day} {month} {weekday}"]
    return [f"{minute} {hour} {day} {month} *", f"{minute} {hour} * {month} {weekday}"]


def weekdays(field: str) -> str:
    """A field of weekdays as their names, from Sunday on; `*` when it is any day. Raises InvalidSettings."""
    chosen: set[int] = set()
    for part in field.split(","):
        found = _WEEKDAYS.fullmatch(part)
        if found is None:
            raise InvalidSettings(f"There are no weekdays {part!r} (cron).", FIX)
        chosen |= _chosen(found["first"], found["last"], found["step"])
    return "*" if len(chosen) == len(_DAYS) else ",".join(_DAYS[one] for one in sorted(chosen))


def _chosen(first: str, last: str | None, step: str | None) -> set[int]:
    if first == "*":
        begin, end = 0, 6
    else:
        begin = _number(first)
        end = 7 if last == "7" else _number(last) if last is not None else 6 if step is not None else begin
    if end < begin:  # over the end of the week, such as fri-mon or 5-7
        end += 7
    return {one % 7 for one in range(begin, end + 1, int(step or 1))}


def _number(day: str) -> int:
    if day.isdigit():
        return int(day) % 7
    if day not in _DAYS:
        raise InvalidSettings(f"There is no weekday {day!r} (cron).", FIX)
    return _DAYS.index(day)
