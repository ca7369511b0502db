"""An hour of 200 tasks over 50 workspaces: nothing missed, nothing twice, nothing at once, no budget overdrawn.

The scheduler, the queue, the workers, the database and the budgets are the real ones; time is simulated, and a run is
a number of requests, each of which takes its turn.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import select

from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, ScheduleSettings, TaskSettings
from cio_replicate.console.notifications import note
from cio_replicate.database.rows import StoredConnection, StoredTask, stored
from cio_replicate.database.tables import runs, tasks
from cio_replicate.jobs.local_engine import LocalEngine
from cio_replicate.jobs.ports import Job, ProcessMessage
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.jobs.worker import Worker
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.source.rate_limiter import RateLimiter
from tests.console.stage import START, Stage, stage, task
from tests.console.virtual_time import VirtualClock, run_virtual

WORKSPACES, TASKS, HOUR = 50, 200, 3_600
STARTING = 0.4  # seconds until a process asks for its first page
TICK, STEP = 10.0, 15.0  # seconds between two ticks of a scheduler, and two steps of a worker


@dataclass
class Seen:
    """What the workspaces and the machine see: requests, and when runs were executed."""

    requests: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    executed: list[tuple[str, str, str, float, float]] = field(default_factory=list)  # task, workspace, run, from, to
    complete: Counter[str] = field(default_factory=Counter)


class PlayedRun:
    """A run as a worker sees it, whose requests take their turns at its workspace."""

    def __init__(self, job: Job, requests: int, seen: Seen, clock: Clock) -> None:
        self._job = job
        self._requests = requests
        self._seen = seen
        self._clock = clock
        self._began = clock.monotonic()
        self._told: list[ProcessMessage] = []
        self._code: int | None = None
        self.stopping = False
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        workspace = self._job.connection.access_token_from or ""
        budget = RateLimiter(self._job.connection.max_rps, self._clock)
        await self._clock.sleep(STARTING)
        status = Status.COMPLETE
        for _ in range(self._requests):
            turn = await budget.turn()
            if self.stopping:
                status = Status.INTERRUPTED
                break
            self._seen.requests[workspace].append(turn.at)
        ended = self._clock.monotonic()
        self._seen.executed.append((self._job.task_name, workspace, self._job.run_id, self._began, ended))
        self._seen.complete[self._job.run_id] += status is Status.COMPLETE
        report = Report(run_id=self._job.run_id[:12], started="", status=status, requests=self._requests)
        self._told.append(ProcessMessage(report=report))
        self._code = 0

    def messages(self) -> list[ProcessMessage]:
        """What was told since."""
        told, self._told = self._told, []
        return told

    def exit_code(self) -> int | None:
        """How it ended."""
        return None if self._told else self._code

    def keep(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """The request under way is the last."""
        self.stopping = True

    kill = stop

    def last_words(self) -> str:
        """None."""
        return ""

    def close(self) -> None:
        """Nothing is held."""


class PlayedLauncher:
    """Starts such runs, of a size that a seed decides."""

    def __init__(self, seen: Seen, clock: Clock, chance: random.Random) -> None:
        self._seen = seen
        self._clock = clock
        self._chance = chance
        self.runs: list[PlayedRun] = []

    def start(self, job: Job) -> PlayedRun:
        """Start one."""
        self.runs.append(PlayedRun(job, self._chance.randint(5, 50), self._seen, self._clock))
        return self.runs[-1]


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Stage]:
    """A stage with 200 tasks that are due every few minutes, over 50 workspaces."""
    chance = random.Random(5)  # noqa: S311 - sizes, not secrets
    with stage("sqlite", tmp_path) as made:
        settings: dict[str, ConnectionSettings | TaskSettings | ChannelSettings] = {}
        for number in range(WORKSPACES):
            made.variables[f"TOKEN_{number}"] = f"token {number}"
            settings[f"w{number}"] = ConnectionSettings(
                start_date="2024-01-01", access_token_from=f"env:TOKEN_{number}", max_rps=float(chance.randint(1, 3))
            )
        for number in range(TASKS):
            every = chance.randint(3, 9)
            when = chance.choice([ScheduleSettings(every=f"{every}m"), ScheduleSettings(cron=f"*/{every} * * * *")])
            settings[f"t{number}"] = task(f"w{number % WORKSPACES}", schedule=when)
        made.keep(settings)
        yield made


async def _hour(busy: Stage, seen: Seen) -> None:
    """An hour with two schedulers and three workers; one of each dies, and what waits is seen to its end."""
    clock = VirtualClock(START)
    queue = LocalEngine(busy.database, clock, note)
    chance = random.Random(7)  # noqa: S311 - sizes, not secrets

    async def ticking(begin: float, end: float) -> None:
        await clock.sleep(begin)
        scheduler = busy.new_scheduler(clock=clock)
        while clock.monotonic() <= end:
            scheduler.tick()
            await clock.sleep(TICK)

    async def working(name: str, begin: float, end: float) -> None:
        await clock.sleep(begin)
        launcher = PlayedLauncher(seen, clock, chance)
        worker = Worker(name, queue, launcher, clock, slots=8)
        while clock.monotonic() < end or (end >= HOUR and not worker.idle):
            worker.draining = clock.monotonic() >= end
            worker.step()
            await clock.sleep(STEP)
        for run in launcher.runs:  # its processes see that it is gone
            run.stop()
            await run.task

    await asyncio.gather(
        ticking(0.0, HOUR), ticking(2.3, 1_700.0), ticking(2_000.0, HOUR),
        working("a", 1.1, HOUR + 900), working("b", 1.7, 1_500.0), working("c", 600.0, HOUR + 900),
    )  # fmt: skip


def _due_times(busy: Stage) -> dict[str, int]:
    """How often each task is due within the hour."""
    counts: dict[str, int] = {}
    for one in _tasks(busy):
        assert one.settings.schedule is not None
        times, moment, counts[one.name] = schedule(one.settings.schedule), int(START), 0
        while (moment := times.next_after(moment) or 0) <= START + HOUR:
            counts[one.name] += 1
    return counts


def _tasks(busy: Stage) -> list[StoredTask]:
    with busy.database.reading() as connection:
        return stored(connection, StoredTask)


def _rates(busy: Stage) -> dict[str, float]:
    """The budget of each workspace, by where its token is kept."""
    with busy.database.reading() as connection:
        kept = stored(connection, StoredConnection)
    return {one.settings.access_token_from or "": one.settings.max_rps for one in kept}


@pytest.mark.slow
def test_an_hour_of_two_hundred_tasks_over_fifty_workspaces(busy: Stage) -> None:
    """Every time that came was run once or merged into a run that waited, though a worker and a scheduler died."""
    seen = Seen()
    run_virtual(_hour(busy, seen))
    with busy.database.reading() as connection:
        ended = list(connection.execute(select(runs, tasks.c.name).join(tasks, tasks.c.id == runs.c.task_id)))
    # none missed: each time that came is a run, or was merged into one
    fired: Counter[str] = Counter()
    for run in ended:
        fired[run.name] += 1 + run.merged
    assert fired == _due_times(busy)
    assert busy.missed() == []
    # none twice: each run has one end, and was executed once, but for those of the worker that died
    assert {(run.status, run.attempt) for run in ended} == {("complete", 1)}
    assert [run.id for run in ended if not 1 <= seen.complete[run.id] <= run.claims] == []
    assert seen.complete.keys() == {run.id for run in ended}
    # none at once: neither of a task nor of a workspace
    for place in (0, 1):
        for one, spans in _by(seen.executed, place).items():
            assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(spans))), one
    # no budget overdrawn: in no second of any workspace
    for workspace, rate in _rates(busy).items():
        moments = sorted(seen.requests[workspace])
        assert moments
        most = max(number - bisect_right(moments, moment - 1.0) for number, moment in enumerate(moments, 1))
        assert most <= rate, workspace
    # and it was an hour of work: runs waited for each other, and some were taken over from the worker that died
    assert len(ended) > 1_000
    assert sum(run.merged for run in ended) > 10
    assert {run.claims for run in ended} == {1, 2}


def _by(executed: list[tuple[str, str, str, float, float]], place: int) -> dict[str, list[tuple[float, float]]]:
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in executed:
        spans[str(one[place])].append((one[3], one[4]))
    return spans
