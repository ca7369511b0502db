"""When deliveries were created: evenly over the workspace's time, or in short bursts, as a function of the index."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import NamedTuple

from .randomness import draw, draws
from .spec import WorkspaceSpec
from .windows import six_months_before

_JITTER = 24
_BURST_SIZE = 25
_BURST_PLACE = 26
_REMEMBERED_TIMES = 1_024
_SHARED_SECOND = 3  # this many deliveries in a row are created in the same second
_USUAL_BURST = 5_000  # deliveries, half of that at least and half more at most
_FEWEST_BURSTS = 3
_LENGTHS = (1, 60, 600)  # seconds that a burst takes, in turn


class _Burst(NamedTuple):
    """Deliveries from index `first` on that are created within `seconds` from `at` on, after `calm` spread ones."""

    first: int
    size: int
    calm: int
    at: int
    seconds: int


class DeliveryTimes:
    """The moment of any delivery; it never goes back along the index, so a time window is an index range.

    The first delivery is created at exactly `start`, the last at exactly `now`. Groups sit exactly on the six-month
    bounds before `now` and one second to either side of them, so that a reader's mistake with inclusive bounds shows
    (unless a burst covers them). The share `bursts` falls into bursts, each of them between two evenly spread ones.
    """

    def __init__(self, spec: WorkspaceSpec, count: int, bursts: float) -> None:
        self._start, self._now, self._seed = spec.start, spec.now, spec.seed
        calm = count - min(int(count * bursts), max(0, count - 2 * _SHARED_SECOND))
        self._groups = max(1, -(-calm // _SHARED_SECOND))
        self._spread = lru_cache(maxsize=_REMEMBERED_TIMES)(self._spread_evenly)
        self._placed = self._on_bounds()
        self._bursts = self._burst_times(count - calm)
        self._firsts = [burst.first for burst in self._bursts]

    def at(self, index: int) -> int:
        """Unix second of creation, for indexes below the count."""
        if not self._bursts or (number := bisect_right(self._firsts, index)) == 0:
            return self._calmly(index)
        burst = self._bursts[number - 1]
        within = index - burst.first
        if within < burst.size:
            return burst.at + within * burst.seconds // burst.size
        return max(burst.at + burst.seconds - 1, self._calmly(burst.calm + within - burst.size))

    def run(self, first: int, count: int) -> list[int]:
        """The moments of `count` deliveries from `first` on."""
        if self._bursts:
            return [self.at(index) for index in range(first, first + count)]
        low, high = first // _SHARED_SECOND, (first + count - 1) // _SHARED_SECOND + 1
        span = self._now - self._start
        step = max(1, span // self._groups)
        jitters = draws(self._seed, _JITTER, low, high - low)
        times = [
            self._start + group * span // self._groups + jitter % step
            for group, jitter in zip(range(low, high), jitters, strict=True)
        ]
        own = {group: moment for group, moment in self._placed.items() if low <= group < high}
        own |= {group: self._calmly(group * _SHARED_SECOND) for group in (0, self._groups - 1) if low <= group < high}
        for group, moment in own.items():
            times[group - low] = moment
        every = [moment for moment in times for _ in range(_SHARED_SECOND)]
        skipped = first - low * _SHARED_SECOND
        return every[skipped : skipped + count]

    def _calmly(self, index: int) -> int:
        group = index // _SHARED_SECOND
        return self._now if group >= self._groups - 1 else self._placed.get(group) or self._spread(group)

    def _spread_evenly(self, group: int) -> int:
        span = self._now - self._start
        here = self._start + group * span // self._groups
        step = span // self._groups
        return here + draw(self._seed, _JITTER, group) % step if group and step > 1 else here

    def _on_bounds(self) -> dict[int, int]:
        """Three groups for each six-month bound: a second before it, on it, a second after it.

        Moving a group back to the bound it has just passed keeps times in order; where deliveries are denser than one
        group in two seconds the bounds are met anyway.
        """
        placed, bound = dict[int, int](), self._now
        if (self._now - self._start) // self._groups < 2:
            return placed
        while (bound := six_months_before(bound)) > self._start + 1:
            first = bisect_left(range(self._groups), bound - 1, key=self._spread)
            placed |= {first + offset: bound - 1 + offset for offset in range(3) if first + offset < self._groups - 1}
        return placed

    def _burst_times(self, deliveries: int) -> list[_Burst]:
        """Bursts in order, each in its own part of the time, so that none begins before the one before it is over."""
        number = min(deliveries, max(_FEWEST_BURSTS, deliveries // _USUAL_BURST)) if deliveries else 0
        weights = [512 + draw(self._seed, _BURST_SIZE, burst) % 1_024 for burst in range(number)]
        bursts: list[_Burst] = []
        done = weight = 0
        for burst in range(number):
            part = (self._now - self._start) // number
            at = self._start + burst * part + part // 4 + draw(self._seed, _BURST_PLACE, burst) % max(1, part // 2)
            weight += weights[burst]
            size = deliveries * weight // sum(weights) - done
            calm = _SHARED_SECOND * bisect_left(range(self._groups - 1), at, lo=1, key=self._group_time)
            length = min(_LENGTHS[burst % len(_LENGTHS)], max(1, part // 4))
            bursts.append(_Burst(calm + done, size, calm, at, length))
            done += size
        return bursts

    def _group_time(self, group: int) -> int:
        return self._calmly(group * _SHARED_SECOND)
