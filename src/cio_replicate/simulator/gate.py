"""Who gets in: bearer token, scope, and never more than the allowed requests in any second."""

from __future__ import annotations

import hmac
from collections import deque

from .behaviour import Behaviour
from .endpoints import Endpoint
from .refusals import Refusal, rate_limited


class SlidingWindow:
    """Lets at most the given number of requests pass in any second, wherever that second begins."""

    def __init__(self) -> None:
        self._passed: deque[float] = deque()

    def passes(self, now: float, per_second: int) -> bool:
        """Whether a request at `now` (monotonic seconds, never decreasing) passes; if so it is counted."""
        while self._passed and now - self._passed[0] >= 1.0:
            self._passed.popleft()
        if len(self._passed) >= per_second:
            return False
        self._passed.append(now)
        return True


def check_access(behaviour: Behaviour, authorization: str, endpoint: Endpoint | None) -> None:
    """Raises 401 for a bad or missing token or the wrong region (live), 403 for a table outside the key's scope."""
    scheme, _, token = authorization.partition(" ")
    known = any(hmac.compare_digest(token.strip().encode(), one.encode()) for one in behaviour.tokens)
    if behaviour.wrong_region or scheme.lower() != "bearer" or not known:
        raise Refusal(401, "unauthorized")
    if endpoint is not None and endpoint.table in behaviour.denied:
        raise Refusal(403, "forbidden")


def check_rate(behaviour: Behaviour, window: SlidingWindow, now: float) -> None:
    """Raises 429 when the second's requests are used up."""
    if behaviour.rps is not None and not window.passes(now, behaviour.rps):
        raise rate_limited(behaviour.rps, retry_after=behaviour.retry_after)
