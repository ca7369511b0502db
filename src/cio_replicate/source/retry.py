"""How often and how long a request is tried, and how long to wait in between."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds in number and in time; waits double from `first_wait`, with full jitter so that callers spread out."""

    attempts: int = 8
    total_seconds: float = 300.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    attempts_without_header: int = 5  # 429 without Retry-After: a daily quota, when it goes on
    attempts_on_shape: int = 3  # an answer of another shape: rarely a passing fault
    attempts_unreachable: int = 4  # nobody has answered yet: rather a wrong address than a passing fault

    def wait(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); never less than the server asks for.

        A server that asks for little again and again gets more: others take what the bucket holds, and it may last.
        """
        ceiling = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
        own = rng.uniform(ceiling / 2, ceiling)
        if retry_after is None:
            return own
        return max(own, retry_after + rng.uniform(0, self.first_wait))


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date against `now`; None when there is no sense."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


_SECONDS = re.compile(r"per (?:\d+ ?)?s(?:ec|\b)", re.IGNORECASE)
_DAILY = re.compile(r"\bdaily\b|per (?:1 ?)?d(?:ay)?\b|per (?:24 ?h|86400 ?s)|\bday\b", re.IGNORECASE)


def names_seconds(detail: str) -> bool:
    """Whether the text of a 429 speaks of a limit per second, which is over in a moment even if no header says so."""
    return _SECONDS.search(detail) is not None and not names_daily_quota(detail)


def names_daily_quota(detail: str) -> bool:
    """Whether the text of a 429 speaks of a quota per day, for which waiting seconds does not help."""
    return _DAILY.search(detail) is not None
