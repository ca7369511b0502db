"""Who gets in: bearer token, scope, and never more than the allowed requests in any second."""

from __future__ import annotations

import hmac
from collections import deque

from .behaviour import Behaviour
from .endpoints import Endpoint
from .refusals import Refusal, rate_limited

_FORGOTTEN_AFTER = 2.0  # seconds; a window of one second does not know what happened before


class SlidingWindow:
    """Lets at most the given number of requests pass in any second, wherever that second begins."""

    def __init__(self) -> None:
        self._passed: deque[float] = deque()
        self._others_came = 0.0
        self._others_told = 0.0

    def passes(self, now: float, per_second: int) -> bool:
        """Whether a request at `now` (monotonic seconds, never decreasing) passes; if so it is counted."""
        while self._passed and now - self._passed[0] >= 1.0:
            self._passed.popleft()
        if len(self._passed) >= per_second:
            return False
        self._passed.append(now)
        return True

    def let_others(self, now: float, per_second: int, *, rate: float, burst: int = 1) -> tuple[int, int]:
        """Lets in what came from elsewhere up to `now`, `rate` a second and `burst` at once: how many passed and not.

        They are asked for at their own moments, so the room that they find is what earlier requests left them. After a
        pause only the last ones of it are told.
        """
        told, self._others_told = self._others_told, now
        if rate <= 0:
            self._others_came = now
            return 0, 0
        crowd = max(1, burst)
        gap = crowd / rate
        self._others_came = max(self._others_came, told - gap)  # a rate just raised changes nothing that is past
        if (idle := now - self._others_came - gap - _FORGOTTEN_AFTER) > 0:
            self._others_came += idle // gap * gap
        asked = passed = 0
        while self._others_came + gap <= now:
            self._others_came += gap
            asked += crowd
            passed += sum(self.passes(self._others_came, per_second) for _ in range(crowd))
        return passed, asked - passed


def check_access(behaviour: Behaviour, authorization: str, endpoint: Endpoint | None) -> None:
    """Raises 401 for a bad or missing token or the wrong region (live), 403 for a table outside the key's scope."""
    scheme, _, token = authorization.partition(" ")
    known = any(hmac.compare_digest(token.strip().encode(), one.encode()) for one in behaviour.tokens)
    if behaviour.wrong_region or scheme.lower() != "bearer" or not known:
        raise Refusal(401, "unauthorized")
    if endpoint is not None and endpoint.table in behaviour.denied:
        raise Refusal(403, "forbidden")


def others_at(behaviour: Behaviour, window: SlidingWindow, now: float) -> tuple[int, int]:
    """Takes the room of the requests that came from elsewhere since the last call: how many passed, how many not."""
    if behaviour.rps is None:
        return 0, 0
    return window.let_others(now, behaviour.rps, rate=behaviour.others_rps, burst=behaviour.others_burst)


def check_rate(behaviour: Behaviour, window: SlidingWindow, now: float) -> None:
    """Raises 429 when the second's requests are used up."""
    if behaviour.rps is not None and not window.passes(now, behaviour.rps):
        raise rate_limited(behaviour.rps, retry_after=behaviour.retry_after)
