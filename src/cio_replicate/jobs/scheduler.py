"""Schedules and the scheduler that enqueues due runs.

Cronsim and zoneinfo do all arithmetic of clocks and calendars. When clocks change, a cron schedule that names its
hours runs once per local time. A skipped time runs later by the length of the jump (02:30 becomes 03:30). A repeated
time runs at its first occurrence. A schedule with `*` in its hours runs in every hour that passes. An interval is
elapsed time.
"""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from sqlalchemy import Connection, Row, insert, select, update

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import ScheduleSettings, TaskSettings
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import settings_from
from cio_replicate.database.tables import missed, tasks
from cio_replicate.jobs.ports import Dispatch, RunRequest, Trigger

#: Intervals without a first day are counted from here, a Monday, so that `6h` is at 0, 6, 12 and 18 o'clock.
ANCHOR = datetime(2024, 1, 1)  # noqa: DTZ001 - in the zone of the schedule
DAY = timedelta(days=1)
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)
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
_PART = re.compile(r"(\*|(\d+|[a-z]{3})(-(\d+|[a-z]{3}))?)(/(?P<step>\d+))?")
_MOST = (59, 23, 30, 11, 7)  # steps
FIRST_YEAR, LAST_YEAR = 2000, 2200
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: Times that are counted one by one when many were missed; of more it is only known that they are more.
MOST_COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a task is due: what its settings say, checked. `begin` and `end` are unix seconds and belong to it.

    It has a cron line, or is due every so many seconds from `start` on.
    """

    cron: str | None
    every: int
    start: int
    zone: ZoneInfo
    begin: int | None
    end: int | None

    def next_after(self, moment: float) -> int | None:
        """The first time that is due after a moment, in unix seconds; None if there is none."""
        if self.begin is not None:
            moment = max(moment, self.begin - 1)
        if self.cron is None:
            found: int | None = self.start + ((int(moment) - self.start) // self.every + 1) * self.every
        else:
            found = self._next_of(self.cron, datetime.fromtimestamp(int(moment), self.zone))
        return found if found is None or self.end is None or found <= self.end else None

    def _next_of(self, cron: str, after: datetime) -> int | None:
        if "*" in cron.split()[1]:  # every hour that passes, though two may bear the same name
            found = next(CronSim(cron, after), None)
            return int(found.timestamp()) if found is not None else None
        jumped = (after.utcoffset() or timedelta()) - ((after - DAY).utcoffset() or timedelta())
        clock = after.replace(tzinfo=UTC) - max(jumped, timedelta())  # times that were left out are still to come
        moments = (int(one.replace(tzinfo=self.zone, fold=0).timestamp()) for one in CronSim(cron, clock))
        return next((one for one in moments if one > after.timestamp()), None)


@dataclass(frozen=True, slots=True)
class DueTimes:
    """What of a schedule has come: `on_time` is the newest time that is not late, `late` counts those that are.

    `newest_late` is the last of the late ones, and `next` the first that is still to come.
    """

    on_time: int | None
    times_on_time: int
    late: int
    newest_late: int | None
    next: int | None


def schedule(settings: ScheduleSettings) -> Schedule:
    """The schedule that settings describe. Raises InvalidSettings."""
    zone = _zone(settings.zone)
    begin, end = _moment(settings.begin, zone, "first day"), _moment(settings.end, zone, "last day", ends=True)
    if begin is not None and end is not None and end < begin:
        raise InvalidSettings("The schedule ends before it begins.", "Set the last day after the first day.")
    if (settings.cron is None) == (settings.every is None):
        raise InvalidSettings("A schedule is either a cron line or an interval.", "Give one of ‹cron› and ‹every›.")
    start = begin if begin is not None else int(ANCHOR.replace(tzinfo=zone).timestamp())
    if settings.every is not None:
        return Schedule(None, int(_interval(settings.every).total_seconds()), start, zone, begin, end)
    return Schedule(_cron(settings.cron or ""), 0, start, zone, begin, end)


def next_due(settings: ScheduleSettings | None, now: float) -> int | None:
    """When a task with this schedule, or none, is due next. Raises InvalidSettings."""
    return schedule(settings).next_after(now) if settings is not None else None


def due(times: Schedule, first: int, now: float, grace: float) -> DueTimes:
    """What has come of a schedule since `first`, which was due; a time is late when `grace` seconds have passed."""
    punctual = int(now - grace)
    late, newest_late, on_time, count = 0, None, None, 0
    moment: int | None = first
    while moment is not None and moment < punctual and late < MOST_COUNTED:
        late, newest_late = late + 1, moment
        moment = times.next_after(moment)
    if moment is not None and moment < punctual:
        moment = times.next_after(punctual - 1)
    while moment is not None and moment <= now:
        on_time, count = moment, count + 1
        moment = times.next_after(moment)
    return DueTimes(on_time, count, late, newest_late, moment)


def _cron(written: str) -> str:
    """A line of a crontab in the words of cronsim. Raises InvalidSettings.

    Cronsim has no ranges of weekdays over the end of the week, and takes more than cron does: both as it is here.
    """
    line = " ".join(written.split()).lower()
    fields = _NAMED.get(line, line).split()
    if len(fields) != 5:
        raise InvalidSettings(f"The cron line {written!r} has not five fields.", FIX)
    days = weekdays(fields[4])
    if not fields[4].startswith("*"):  # else both kinds of days count, as the line has it
        if days == "*" and not fields[2].startswith("*"):  # either is enough, and one is any day
            fields[2] = "*"
        fields[4] = days
    cause = next(
        (f"{one!r} is none" for field, most in zip(fields, _MOST, strict=True) for one in _odd(field, most)), ""
    )
    try:
        CronSim(" ".join(fields), ANCHOR)
    except CronSimError as error:
        cause = cause or str(error)
        with suppress(CronSimError):
            CronSim(" ".join([*fields[:3], "*", fields[4]]), ANCHOR)
            CronSim(" ".join([*fields[:2], "1", *fields[3:]]), ANCHOR)
            raise InvalidSettings(f"The cron line {written!r} names a day that no year has.", "Correct it.") from None
    if cause:
        raise InvalidSettings(f"The cron line {written!r} cannot be read: {cause}.", FIX)
    return " ".join(fields)


def _odd(field: str, most: int) -> Iterator[str]:
    """The parts of a field that are not cron's."""
    for part in field.split(","):
        found = _PART.fullmatch(part)
        if found is None or int(found["step"] or 1) > most:
            yield part


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


def _interval(text: str) -> timedelta:
    found = re.fullmatch(r"\s*(\d{1,6})\s*([mhdw])\s*", text.lower())
    if found is None:
        raise InvalidSettings(f"{text!r} is no interval.", "Write a number and m, h, d or w, such as 15m, 6h or 1d.")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not SHORTEST <= length <= LONGEST:
        raise InvalidSettings(f"The interval {text!r} is too short or too long.", "Write one from 1m to 366d.")
    return length


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(name, available_timezones(), 1)
        fix = f"Perhaps {near[0]} is meant." if near else "Write one such as Europe/Berlin or UTC."
        raise InvalidSettings(f"There is no time zone {name[:60]!r}.", fix) from None


def _moment(text: str | None, zone: ZoneInfo, called: str, *, ends: bool = False) -> int | None:
    """Unix seconds of a moment in the zone of the schedule; a day alone is its beginning, or its end if it `ends`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        if re.fullmatch(r"\s*\d{4}-?\d{2}-?\d{2}\s*", text) and ends:
            moment += DAY - timedelta(seconds=1)
        if FIRST_YEAR <= moment.year <= LAST_YEAR:
            return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).timestamp())
    except ValueError:
        pass
    raise InvalidSettings(f"{text[:60]!r} is no moment ({called}).", "Write it like 2026-01-31 or 2026-01-31T06:00.")


# The scheduler enqueues each due time exactly once, also with several schedulers and after crashes.

GRACE = 60.0  # seconds after which a time counts as missed
TOGETHER = 50  # tasks that are looked at in one transaction
REASON = "The scheduler did not run, or could not reach its database."


@dataclass(frozen=True, slots=True)
class TickResult:
    """What a tick did: tasks whose time had come, and runs that no worker has spoken of for too long."""

    fired: int = 0
    lost: int = 0


@dataclass(slots=True)
class Scheduler:
    """Enqueues a run of every task that is due, and every run whose worker was lost.

    Several schedulers may tick at once, and one may die at any moment: the time of a task moves on in the transaction
    in which its run is enqueued.
    """

    database: Database
    clock: Clock
    dispatch: Dispatch
    recover: Callable[[float | None], int]
    _ticked: float | None = field(default=None, init=False)

    def tick(self) -> TickResult:
        """To be called about every second. Raises DatabaseError; what was not done then is done by the next tick."""
        now = int(self.clock.now())
        since = None if self._ticked is None else self.clock.monotonic() - self._ticked
        fired = self._fire_all(now)
        lost = self.recover(since)
        self._ticked = self.clock.monotonic()
        return TickResult(fired, lost)

    def _fire_all(self, now: int) -> int:
        time_has_come = (tasks.c.next_at <= now) & ~tasks.c.paused
        with self.database.reading() as connection:
            found = connection.scalars(
                select(tasks.c.id).where(time_has_come).order_by(tasks.c.next_at, tasks.c.name)
            ).all()
        fired = 0
        for start in range(0, len(found), TOGETHER):
            some = found[start : start + TOGETHER]
            come = select(tasks).where(tasks.c.id.in_(some) & time_has_come).order_by(tasks.c.name)
            with self.database.updating() as connection:
                for row in connection.execute(come.with_for_update(key_share=True, skip_locked=True)).all():
                    self._fire(connection, row, now)
                    fired += 1
        return fired

    def _fire(self, connection: Connection, task: Row[Any], now: int) -> None:  # Any: of every column
        """Enqueue a run of a task, note what was missed, and move on to the time after."""
        first, upcoming = int(task.next_at), None
        try:
            settings = settings_from(task.settings, TaskSettings).schedule
            if settings is not None:
                come = due(schedule(settings), first, now, GRACE)
                upcoming = come.next
                self._enqueue(connection, task.id, come, skips=settings.missed == "skip", now=now)
        except InvalidSettings as error:  # an earlier version let it pass; the other tasks go on
            _note_missed(connection, task.id, first, 1, f"Its schedule cannot be read. {error}")
        mine = tasks.c.id == task.id, tasks.c.next_at == first
        connection.execute(update(tasks).where(*mine).values(next_at=upcoming))

    def _enqueue(self, connection: Connection, task_id: str, come: DueTimes, *, skips: bool, now: int) -> None:
        late = come.late
        if late and skips and come.newest_late is not None:
            _note_missed(connection, task_id, come.newest_late, late, REASON)
            late = 0
        times = come.times_on_time + late
        due_at = come.on_time if come.on_time is not None else come.newest_late
        if times and due_at is not None:
            request = RunRequest(task_id=task_id, cause=Trigger.SCHEDULE, due_at=due_at, not_before=now, times=times)
            self.dispatch.ask(connection, request)


def _note_missed(connection: Connection, task_id: str, due_at: int, count: int, reason: str) -> None:
    values = {"task_id": task_id, "due_at": due_at, "count": count, "reason": reason[:200]}
    connection.execute(insert(missed).values(id=uuid.uuid4().hex, **values))
