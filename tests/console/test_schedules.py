"""When a task is due: cron lines, intervals, time zones, the nights when clocks change, and what was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.config.documents import ScheduleSettings
from cio_replicate.jobs.scheduler import MOST_COUNTED, DueTimes, due, next_due, schedule, weekdays

BERLIN = "Europe/Berlin"
#: Zones whose clocks change in several ways: at two, at midnight, by half an hour, southern, and never.
ZONES = (BERLIN, "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC")


def _moment(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def _times(count: int, after: str, zone: str = "UTC", **said: str) -> list[str]:
    """The next times that are due, as a clock in that zone shows them."""
    times = schedule(ScheduleSettings(zone=zone, **said))
    moment: int | None = _moment(after, zone)
    shown: list[str] = []
    while moment is not None and len(shown) < count:
        moment = times.next_after(moment)
        if moment is not None:
            shown.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%m-%d %H:%M %z"))
    return shown


def test_a_time_that_the_clocks_leave_out_is_run_by_so_much_later() -> None:
    """A job at 02:30 is run at 03:30 in the night in which there is no 02:30, and once on every other day."""
    assert _times(3, "2026-03-28T00:00", BERLIN, cron="30 2 * * *") == [
        "03-28 02:30 +0100",
        "03-29 03:30 +0200",
        "03-30 02:30 +0200",
    ]


def test_a_time_that_comes_twice_is_run_once() -> None:
    """A job at 02:30 is run at the first of the two 02:30 in the night in which the hour comes twice."""
    assert _times(3, "2026-10-24T00:00", BERLIN, cron="30 2 * * *") == [
        "10-24 02:30 +0200",
        "10-25 02:30 +0200",
        "10-26 02:30 +0100",
    ]


def test_midnight_that_is_left_out_loses_no_day() -> None:
    """Where clocks jump from midnight to one, the job of that day is run at one."""
    assert _times(2, "2026-04-23T12:00", "Africa/Cairo", cron="0 0 * * *") == ["04-24 01:00 +0300", "04-25 00:00 +0300"]


def test_every_hour_means_every_hour_that_passes() -> None:
    """An hourly job is run in both of the hours that bear the same name, and not in the one that is left out."""
    assert _times(3, "2026-10-25T01:30", BERLIN, cron="15 * * * *") == [
        "10-25 02:15 +0200",
        "10-25 02:15 +0100",
        "10-25 03:15 +0100",
    ]
    assert _times(2, "2026-03-29T01:00", BERLIN, cron="15 * * * *") == ["03-29 01:15 +0100", "03-29 03:15 +0200"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [0, 1, 2, 3, 23])
def test_a_daily_job_runs_once_a_day_for_a_year(zone: str, hour: int) -> None:
    """Whatever clocks do, each date has one run, at the wanted time or as much later as the clocks jumped."""
    times = schedule(ScheduleSettings(zone=zone, cron=f"30 {hour} * * *"))
    moment, dates = _moment("2026-01-01T00:00", zone), []
    for _ in range(370):
        moment = times.next_after(moment) or 0
        shown = datetime.fromtimestamp(moment, ZoneInfo(zone))
        wanted = shown.replace(hour=hour, minute=30, tzinfo=None)
        assert timedelta() <= shown.replace(tzinfo=None) - wanted <= timedelta(hours=1)
        dates.append(shown.date())
    assert {later - earlier for earlier, later in pairwise(dates)} == {timedelta(days=1)}


@pytest.mark.parametrize("start", ["2026-03-25", "2026-04-01", "2026-09-01", "2026-10-01", "2026-10-24"])
@pytest.mark.parametrize("zone", ZONES)
def test_an_hourly_job_runs_once_an_hour(zone: str, start: str) -> None:
    """Whatever clocks do, an hourly job is run every 3,600 seconds (half an hour off where they change by half)."""
    times = schedule(ScheduleSettings(zone=zone, cron="45 * * * *"))
    moment, gaps = _moment(start, zone), set()
    for _ in range(24 * 9):
        following = times.next_after(moment) or 0
        gaps.add(following - moment)
        moment = following
    assert gaps - {2_700} <= ({3_600} if zone != "Australia/Lord_Howe" else {1_800, 3_600, 5_400})


def test_an_interval_is_elapsed_time_from_its_first_day() -> None:
    """An interval goes on through a change of clocks, counted from its first day, or else from midnight."""
    assert _times(3, "2026-03-28T20:00", BERLIN, every="6h", begin="2026-03-28T19:30") == [
        "03-29 01:30 +0100",
        "03-29 08:30 +0200",
        "03-29 14:30 +0200",
    ]
    assert _times(3, "2026-01-01T05:30", every="6h") == ["01-01 06:00 +0000", "01-01 12:00 +0000", "01-01 18:00 +0000"]
    assert _times(2, "2026-01-01T05:31", every="15m") == ["01-01 05:45 +0000", "01-01 06:00 +0000"]


def test_nothing_is_due_before_the_first_day_and_after_the_last() -> None:
    """The first and the last moment belong to the schedule, and a last day given as a date is due to its end."""
    inside = {"begin": "2026-01-10T03:00", "end": "2026-01-11"}
    assert _times(9, "2026-01-01T00:00", cron="0 3 * * *", **inside) == ["01-10 03:00 +0000", "01-11 03:00 +0000"]
    assert _times(9, "2026-01-11T22:59", every="1h", **inside) == ["01-11 23:00 +0000"]


def test_days_are_those_of_cron() -> None:
    """Sunday is 0 and 7, ranges go over the end of the week, and either of two kinds of days is enough."""
    assert _times(2, "2026-01-01T00:00", cron="0 3 * * 1") == ["01-05 03:00 +0000", "01-12 03:00 +0000"]  # a Monday
    assert _times(3, "2026-01-01T00:00", cron="0 3 10 * mon") == [
        "01-05 03:00 +0000",
        "01-10 03:00 +0000",
        "01-12 03:00 +0000",
    ]
    assert _times(1, "2026-01-01T00:00", cron="@weekly") == ["01-04 00:00 +0000"]
    assert [weekdays(one) for one in ("0", "7", "5-7", "fri-mon", "*/2", "1-5", "0-7", "2/2")] == [
        "sun",
        "sun",
        "sun,fri,sat",
        "sun,mon,fri,sat",
        "sun,tue,thu,sat",
        "mon,tue,wed,thu,fri",
        "*",
        "tue,thu,sat",
    ]


_FIELDS = st.tuples(
    st.sampled_from(("0", "*", "*/7", "5,50", "10-20")),
    st.sampled_from(("0", "*", "*/5", "3,22", "9-17")),
    st.sampled_from(("*", "1", "29", "10-12", "*/9")),
    st.sampled_from(("*", "2", "jan,jul", "6-9")),
    st.sampled_from(("*", "0", "7", "1-5", "5-7", "sat-mon", "*/3")),
)
_MONTHS = {"jan": 1, "jul": 7}
_WEEK = {"sun": 0, "mon": 1, "sat": 6}


def _matches(field: str, value: int, lowest: int, highest: int) -> bool:
    """What crontab(5) says of a field, read anew."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = lowest if first == "*" else int(_WEEK.get(first, _MONTHS.get(first, first)))
        end = highest if first == "*" else int(_WEEK.get(last, last)) if dash else begin
        values = range(begin, (end if end >= begin else end + 7) + 1, int(step or 1))
        if value in {one % 7 if (lowest, highest) == (0, 6) else one for one in values}:
            return True
    return False


def _is_due(fields: tuple[str, ...], moment: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    of_month = _matches(day, moment.day, 1, 31)
    of_week = _matches(weekday, moment.isoweekday() % 7, 0, 6)
    either = not day.startswith("*") and weekday[0] != "*"
    return (
        _matches(minute, moment.minute, 0, 59)
        and _matches(hour, moment.hour, 0, 23)
        and _matches(month, moment.month, 1, 12)
        and ((of_month or of_week) if either else (of_month and of_week))
    )


@settings(max_examples=40, deadline=None)
@given(fields=_FIELDS, start=st.integers(_moment("2026-01-01T00:00"), _moment("2027-12-31T00:00")))
def test_a_cron_line_means_what_crontab_says(fields: tuple[str, ...], start: int) -> None:
    """Minute by minute for three days, a line is due exactly when a plain reading of crontab(5) says so."""
    times = schedule(ScheduleSettings(cron=" ".join(fields)))
    minutes = range(start - start % 60 + 60, start + 3 * 86_400, 60)
    expected = [one for one in minutes if _is_due(fields, datetime.fromtimestamp(one, UTC))]
    found, moment = [], times.next_after(start)
    while moment is not None and moment < minutes.stop:
        found.append(moment)
        moment = times.next_after(moment)
    assert found == expected


def test_what_has_come_is_told_apart_by_how_late_it_is() -> None:
    """Of the times that have come, those more than the grace late are counted apart from the newest."""
    times, first = schedule(ScheduleSettings(every="15m")), _moment("2026-01-01T10:00")
    late = _moment("2026-01-01T10:30")
    assert due(times, first, _moment("2026-01-01T10:45") + 20, 60) == DueTimes(late + 900, 1, 3, late, late + 1_800)
    assert due(times, first, first + 60, 60) == DueTimes(first, 1, 0, None, first + 900)
    assert due(times, first, first + 61, 60) == DueTimes(None, 0, 1, first, first + 900)


def test_a_year_of_missed_times_is_not_counted_to_its_end() -> None:
    """After a long standstill the next time is found at once, though not all missed ones are counted."""
    times, now = schedule(ScheduleSettings(every="1m")), _moment("2027-01-01T10:00")
    found = due(times, _moment("2026-01-01T10:00"), now, 60)
    assert (found.on_time, found.late, found.next) == (now, MOST_COUNTED, now + 60)


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ({"cron": "0 3 * *"}, "has not five fields"),
        ({"cron": "61 3 * * *"}, "cannot be read"),
        ({"cron": "*/90 * * * *"}, "cannot be read"),
        ({"cron": "0 3 L * *"}, "cannot be read"),
        ({"cron": "0 3 * 1-13 *"}, "cannot be read"),
        ({"cron": "0 3 32 2 *"}, "cannot be read"),
        ({"cron": "0 3 * * 5#2"}, "no weekdays"),
        ({"cron": "0 3 * * fri-sax"}, "no weekday 'sax'"),
        ({"cron": "0 3 * * 9"}, "no weekdays '9'"),
        ({"cron": "0 3 30 2 *"}, "a day that no year has"),
        ({"every": "soon"}, "no interval"),
        ({"every": "0m"}, "too short"),
        ({"every": "999999w"}, "too long"),
        ({}, "either a cron line or an interval"),
        ({"every": "1h", "cron": "0 3 * * *"}, "either a cron line or an interval"),
        ({"every": "1h", "zone": "Europe/Berln"}, "Perhaps Europe/Berlin is meant"),
        ({"every": "1h", "zone": "../etc/passwd"}, "no time zone"),
        ({"every": "1h", "begin": "tomorrow"}, "no moment"),
        ({"every": "1h", "begin": "9999-12-31T23:59-14:00"}, "no moment"),
        ({"every": "1h", "begin": "2026-02-01", "end": "2026-01-01"}, "ends before it begins"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(said: dict[str, str], cause: str) -> None:
    """A schedule that cannot be is refused with its cause, and what to write instead."""
    with pytest.raises(InvalidSettings, match=cause) as refused:
        schedule(ScheduleSettings(**said))
    assert refused.value.fix


@settings(deadline=None)  # looks through all time zones
@given(st.text(max_size=30))
def test_any_text_is_a_schedule_or_is_refused(text: str) -> None:
    """Whatever is written, nothing else than a refusal comes of it."""
    for said in ({"cron": text}, {"every": text}, {"every": "1h", "zone": text}, {"every": "1h", "begin": text}):
        try:
            next_due(ScheduleSettings(**said), 1_760_000_000)
        except InvalidSettings:
            continue
