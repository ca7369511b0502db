"""What later runs read again, each setting checked once, with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from cio_replicate.base.errors import SettingsError

RECENT_DAYS = 30
FULL_EVERY_DAYS = 7
LONGEST_RECENT, LONGEST_BETWEEN = 180, 30  # days; the log of activities is kept for 30


class PeopleRefresh(StrEnum):
    """How people are read."""

    FULL = "full"  # everybody, with all attributes
    CHANGES = "changes"  # everybody's id; the attributes of those who are new or whom the activity log names


@dataclass(frozen=True, slots=True)
class RereadPolicy:
    """What is read again.

    `recent_days`: deliveries created within so many days are read on every run. `people`: how people are read.
    `full_every_days`: the log, and people in mode `changes`, are read whole at least so often.
    """

    recent_days: int = RECENT_DAYS
    people: PeopleRefresh = PeopleRefresh.FULL
    full_every_days: int = FULL_EVERY_DAYS


def rules(customers: str, recent_days: int, full_every_days: int, tables: Collection[str]) -> RereadPolicy:
    """The rules that the options name, for these tables. Raises SettingsError."""
    if customers not in list(PeopleRefresh):
        raise SettingsError(f"There is no way {customers!r} to read people.", "Choose --customers full or changes.")
    if not 1 <= recent_days <= LONGEST_RECENT:
        raise SettingsError(
            f"--recent-days {recent_days} is out of range.",
            f"Choose 1 to {LONGEST_RECENT} days: opens and clicks are recorded for six months.",
        )
    if not 1 <= full_every_days <= LONGEST_BETWEEN:
        raise SettingsError(
            f"--full-every {full_every_days} is out of range.",
            f"Choose 1 to {LONGEST_BETWEEN} days: the activity log is kept no longer.",
        )
    mode = PeopleRefresh(customers)
    if mode is PeopleRefresh.CHANGES and "customers" in tables and "activities" not in tables:
        raise SettingsError(
            "--customers changes goes by the activity log, which is not among the tables to copy.",
            "Copy the table activities too, or choose --customers full.",
        )
    return RereadPolicy(recent_days, mode, full_every_days)
