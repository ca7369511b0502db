"""How many requests a second may go out: cut when the API refuses one, climbing again afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

KEPT = 0.93  # of the rate at which a request was refused
NEAR = 0.98  # of the same: here the rate stays for some seconds
CLIMB = 1.5e-5  # of the allowed rate, per second cubed
LEAST = 0.1  # of the allowed rate: below it no cut goes


@dataclass(frozen=True, slots=True)
class AdaptiveRate:
    """The rate as a function of time. `allowed` is never exceeded; a new one starts with it.

    After a cut the rate comes back to just below where the refusal came, stays near it for some seconds, and then
    climbs ever faster, in search of room that others have left: the curve of TCP's CUBIC (RFC 9438). It takes no longer
    than a minute from anywhere to the allowed rate.
    """

    allowed: float
    refused: float = math.inf  # the rate at which the last refusal came
    since: float = -math.inf  # from when on it climbs

    def rate(self, now: float) -> float:
        """Requests per second at `now`, in monotonic seconds."""
        if self.refused == math.inf:
            return self.allowed
        growth = CLIMB * self.allowed
        level = math.cbrt((NEAR - KEPT) * self.refused / growth)  # seconds until it is near again
        climbed = NEAR * self.refused + growth * (max(0.0, now - self.since) - level) ** 3
        return min(self.allowed, max(LEAST * self.allowed, climbed))

    def cut(self, now: float, sent: float, resumes: float) -> Self:
        """The pace after a refusal at `now`, when `sent` requests went out in the second before it.

        What was really sent counts rather than what was allowed: refused below the rate, others use the API too. One
        cut no more than halves, though, since a single second tells little. It climbs from `resumes` on, in monotonic
        seconds.
        """
        rate = self.rate(now)
        return type(self)(self.allowed, max(min(rate, sent), rate / 2), resumes)
