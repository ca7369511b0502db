"""What one run of a workload came to, the ratios that follow from it, and the median of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

PRODUCT = "cio-replicate"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run, measured from outside: the requests by the simulator, the cost by the system.

    fewest       requests that no reader could do without
    per_second   requests per second between the first and the last
    budget       requests per second that are let through, None for no limit
    chain        seconds of the longest chain of requests that must follow one another
    rows         rows that were copied; of a later sync, rows that were read
    peak         bytes
    first        requests of the first sync, if this one followed it
    changed      rows that differed at the source since then, and `written` those that were written
    """

    workload: str
    by: str
    requests: int
    fewest: int
    throttled: int
    most_in_a_second: int
    per_second: float
    budget: float | None
    chain: float
    seconds: float
    cpu_seconds: float
    peak: int
    rows: int
    messages: int
    first: int | None = None
    changed: int | None = None
    written: int | None = None

    @property
    def requests_to_fewest(self) -> float:
        """Requests sent for each that was needed."""
        return self.requests / self.fewest

    @property
    def limit(self) -> float | None:
        """The seconds that the fewest requests take, or the longest chain: nobody can be faster. None: no limit."""
        return max(self.fewest / self.budget, self.chain) if self.budget else None

    @property
    def to_limit(self) -> float | None:
        """Seconds of the whole process for each second of the limit."""
        return self.seconds / self.limit if self.limit else None

    @property
    def to_own_limit(self) -> float | None:
        """The same against the limit of the requests that it did send."""
        return self.seconds / max(self.requests / self.budget, self.chain) if self.budget else None

    @property
    def attained(self) -> float | None:
        """Share of the rate that was possible while it sent requests: the budget, or less if the chain is longer."""
        if not self.budget:
            return None
        return self.per_second / min(self.budget, self.requests / self.chain if self.chain else self.budget)

    @property
    def on_top(self) -> float | None:
        """Seconds of the whole process beyond what its requests take at the budget."""
        return self.seconds - self.requests / self.budget if self.budget else None

    @property
    def rows_per_cpu_second(self) -> float:
        """Rows for each CPU second of the process and all that it started."""
        return self.rows / self.cpu_seconds

    @property
    def messages_per_cpu_second(self) -> float:
        """The same, of messages alone, though the time is that of all tables."""
        return self.messages / self.cpu_seconds


def medians(runs: Sequence[Figures]) -> list[Figures]:
    """One line for each workload and who did it, in the order of their first runs; each number its own median."""
    groups: dict[tuple[str, str], list[Figures]] = {}
    for run in runs:
        groups.setdefault((run.workload, run.by), []).append(run)
    return [_median(group) for group in groups.values()]


def found(lines: Sequence[Figures], workload: str, by: str = PRODUCT) -> Figures | None:
    """The line of a workload and who did it; None when it was not measured."""
    return next((line for line in lines if (line.workload, line.by) == (workload, by)), None)


def _median(group: Sequence[Figures]) -> Figures:
    middle = {
        name: type(value)(median(getattr(run, name) for run in group))
        for name, value in msgspec.structs.asdict(group[0]).items()
        if isinstance(value, int | float)
    }
    return msgspec.structs.replace(group[0], **middle)
