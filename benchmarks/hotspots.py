"""Sums up a profile: which share of the samples lies in which phase and in which module of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

OURS = "cio_replicate/"
LOOP = "event loop, sockets and the API's client library"
OUTSIDE = "start of the process"
IDLE = ("concurrent/futures/thread.py", "threading.py", "selectors.py")
PHASES = {
    "api": "asking, and reading answers",
    "extract": "decoding: answers to Arrow",
    "landing": "landing: Parquet files and journal",
    "load": "loading: merge in DuckDB",
    "replication": "deciding, counting, reporting",
    "cli": "showing",
}


class Hotspots(msgspec.Struct, frozen=True):
    """Shares (0 to 1) of the samples by phase and by module, largest first.

    `seconds` is what all samples together stand for: the time of threads that run Python, not of the engine's own.
    """

    phases: dict[str, float]
    modules: dict[str, float]
    seconds: float


def summed_up(folded: Iterable[str], *, per_second: int) -> Hotspots:
    """The shares of a profile in py-spy's raw format: a line is a stack, frames joined by `;`, and its samples.

    A sample belongs to the innermost frame of ours in it. Threads that wait for work are left out.
    """
    phases, modules = Counter[str](), Counter[str]()
    for line in folded:
        stack, _, samples = line.rstrip().rpartition(" ")
        frames = [_file(frame) for frame in stack.split(";")]
        if not samples.isdigit() or frames[-1] in IDLE:
            continue
        module, phase = _place(frames)
        phases[phase] += int(samples)
        modules[module] += int(samples)
    everything = max(1, phases.total())
    return Hotspots(
        {name: count / everything for name, count in phases.most_common()},
        {name: count / everything for name, count in modules.most_common()},
        phases.total() / per_second,
    )


def _place(frames: list[str]) -> tuple[str, str]:
    """The module and the phase of a stack of files, outermost first."""
    innermost = next((index for index in range(len(frames) - 1, -1, -1) if frames[index].startswith(OURS)), None)
    if innermost is None:
        return OUTSIDE, OUTSIDE
    below = frames[innermost + 1 :]
    module = frames[innermost].removeprefix(OURS)
    package = module.partition("/")[0]
    if any(file.startswith("<frozen importlib") for file in below):
        return OUTSIDE, OUTSIDE
    if package == "cli" and any(file.startswith("asyncio/") for file in below):
        return LOOP, LOOP
    return module, PHASES.get(package, OUTSIDE)


def _file(frame: str) -> str:
    """The file of a frame written `function (file:line)`."""
    return frame.rpartition("(")[2].rstrip(")").rpartition(":")[0]
