"""What was asked of the simulator and when, in numbers that stay small however long it runs."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple

_MOST_TARGETS = 1_000_000  # about 100 MB, and more than any test asks for


class LoggedRequest(NamedTuple):
    """One request. `at` is monotonic seconds of its arrival; `status` 0 means that no status line was sent.

    `again` tells that the same had been asked before, and answered.
    """

    method: str
    target: str
    operation: str
    status: int
    at: float
    again: bool = False


def fingerprint(method: str, target: str, body: bytes) -> bytes:
    """What tells one request from another: equal for the same method, path with query, and body."""
    return hashlib.blake2b(b"%s %s\n%s" % (method.encode(), target.encode(), body), digest_size=8).digest()


@dataclass(slots=True)
class _Busiest:
    """The most events in any second: in any half-open interval [t, t+1)."""

    recent: deque[float]
    most: int = 0

    def add(self, at: float) -> None:
        self.recent.append(at)
        while at - self.recent[0] >= 1.0:
            self.recent.popleft()
        self.most = max(self.most, len(self.recent))


class RequestLog:
    """The last `keep` requests in full, counts of all of them."""

    def __init__(self, keep: int) -> None:
        self._requests: deque[LoggedRequest] = deque(maxlen=keep)
        self.reset()

    def reset(self) -> None:
        """Forgets everything."""
        self._requests.clear()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._all = _Busiest(deque())
        self._passed = _Busiest(deque())
        self._others = Counter[str]()
        self._again = Counter[str]()
        self._whole: set[bytes] = set()

    def arrived(self, at: float) -> None:
        """A request came in at `at` (monotonic seconds)."""
        self._all.add(at)

    def passed(self, at: float) -> None:
        """The request got past the rate limit."""
        self._passed.add(at)

    def let_in(self, operation: str, asked: bytes) -> bool:
        """The request of this fingerprint got past the gate: whether the same was answered whole before."""
        again = asked in self._whole
        self._again[operation] += again
        return again

    def answered_whole(self, asked: bytes) -> None:
        """The request of this fingerprint got a 200 that no fault had touched."""
        if len(self._whole) < _MOST_TARGETS:
            self._whole.add(asked)

    def others_came(self, passed: int, refused: int) -> None:
        """Requests from elsewhere had room in the rate limit, and had none."""
        self._others["passed"] += passed
        self._others["refused"] += refused

    def answered(self, request: LoggedRequest) -> None:
        """The request is over."""
        self._requests.append(request)
        self._counts[request.operation, request.status] += 1

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last requests, in the order they ended."""
        return list(self._requests)

    def summary(self) -> dict[str, object]:
        """Counts by operation and status, and the most requests that arrived, and that passed, in any second.

        `asked_again` counts, by operation, the requests let in for what had been asked before (the same method, path,
        query and body) and answered with a 200 that no fault had touched: what a reader could have done without.
        `others` are requests from elsewhere that the rate limit let pass, and that it refused, up to our latest one.
        """
        counts: dict[str, dict[str, int]] = {}
        for (operation, status), number in sorted(dict(self._counts).items()):
            counts.setdefault(operation, {})[str(status)] = number
        return {
            "total": sum(self._counts.values()),
            "counts": counts,
            "max_in_any_second": self._all.most,
            "max_passed_in_any_second": self._passed.most,
            "asked_again": {operation: number for operation, number in sorted(self._again.items()) if number},
            "others": {name: self._others[name] for name in ("passed", "refused")},
        }
