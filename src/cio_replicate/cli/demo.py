"""`demo`: replicate a made-up workspace, change it, replicate again, and prove the copy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cio_replicate.app.settings import ResolvedTask, copy_at
from cio_replicate.app.status import JOURNAL
from cio_replicate.app.sync import sync
from cio_replicate.base.errors import Conflict
from cio_replicate.base.runtime import Clock, SystemClock, default_root
from cio_replicate.base.text import Secret, counted, number
from cio_replicate.cli.funnel import QUERY, campaigns, chart
from cio_replicate.cli.proof import Proof, SourceEdits, proof_grid, proofs, remarks
from cio_replicate.cli.show import LiveShow, QuietShow
from cio_replicate.cli.summary import sentence
from cio_replicate.cli.terminal import messages, product, say, say_as_is
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.table_options import RECENT_DAYS
from cio_replicate.pipeline.report import Report, Status
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.sinks.addresses import duckdb_file
from cio_replicate.sinks.backend import NOT_DELETED
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBBackend
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies.windows import LOOKBACK
from customerio_simulator import Simulator, WorkspaceSpec

DAY = 86_400
DATASET = "customerio"
TOKEN = "made-up"  # noqa: S105 - opens nothing but the simulator
RPS = 25.0
EDITS = 5


def demo(to: Path) -> int:
    """Show everything; the exit code. Raises Refused."""
    console, clock = product(), SystemClock()
    address = duckdb_file(to.expanduser().absolute())
    spec = workspace_spec(clock.now())
    with Simulator(spec, token=TOKEN) as simulator:
        connection = Connection(Secret(TOKEN), "us", spec.start, simulator.url, RPS)
        copy = copy_at((address,), DATASET, default_root() / "demo")
        task = ResolvedTask(connection, copy, RunSpec(TABLES, spec.start))
        make_room(task)
        _heading(console, "1. A made-up workspace")
        _paragraph(
            console,
            f"{spec.name}: {counted(spec.people, 'person').replace('persons', 'people')}, "
            f"{counted(spec.messages, 'message')} in {counted(spec.campaigns, 'campaign')} and "
            f"{counted(spec.newsletters, 'newsletter')}, served by this process. No key, no network.",
        )
        _heading(console, "2. The first sync copies everything")
        _command(console, task)
        first = _run(console, task, clock)
        if first.status is not Status.COMPLETE:
            return first.exit_code
        _heading(console, "3. A day goes by in the workspace")
        edits = {
            name: SourceEdits(len(told.inserted), len(told.updated), len(told.deleted), len(told.expired))
            for name, told in simulator.evolve(
                seed=1,
                edits=EDITS,
                seconds=DAY,
                metrics_within=RECENT_DAYS * DAY,  # what is opened later, a later run finds
                backdated_within=LOOKBACK,
            ).items()
        }
        _paragraph(console, _told(edits))
        _heading(console, "4. The second sync brings exactly that")
        second = _run(console, task, clock)
        if second.status is not Status.COMPLETE:
            return second.exit_code
        source = {table.name: simulator.workspace.summary(table.name).records for table in TABLES}
    return _prove_and_ask(console, task, (first, second), source, edits)


def workspace_spec(now: float) -> WorkspaceSpec:
    """A well-behaved workspace whose last moment is a day before today, so that there is time for it to change."""
    end = int(now) // DAY * DAY - DAY
    return WorkspaceSpec(people=1_500, messages=20_000, activities=2_500, start=end - 400 * DAY, now=end, hostile=False)


def make_room(task: ResolvedTask) -> None:
    """Remove the copy and the state of an earlier demo. Raises Refused for a file that no demo made."""
    file = task.copy.destinations[0].file
    if file.exists() and not (task.copy.folder / JOURNAL).exists():
        raise Conflict(f"{file} exists and was not made by a demo.", "Name another file with --to.")
    for one in (file, file.with_name(f"{file.name}.wal")):
        one.unlink(missing_ok=True)
    shutil.rmtree(task.copy.folder, ignore_errors=True)


def _run(console: Console, task: ResolvedTask, clock: Clock) -> Report:
    stderr = messages()
    names = [table.name for table in task.spec.tables]
    report = sync(task, clock, LiveShow(stderr, clock, names) if stderr.is_terminal else QuietShow(stderr))
    _paragraph(console, sentence(report))
    if report.error is not None:
        say(stderr, f"Error: {report.error}", "red")
    return report


def _prove_and_ask(
    console: Console,
    task: ResolvedTask,
    runs: tuple[Report, Report],
    source: Mapping[str, int],
    edits: Mapping[str, SourceEdits],
) -> int:
    reader = DuckDBBackend(task.copy.destinations[0].file, task.copy.dataset, read_only=True)
    reader.look()
    copy = {table.name: reader.count(table, [NOT_DELETED]) for table in TABLES}
    funnel = campaigns(reader.ask(QUERY).rows)
    reader.close()
    every = proofs(runs[0].tables, runs[1].tables, copy=copy, source=source, edits=edits)
    _heading(console, "5. The copy equals the workspace")
    console.print(Padding(proof_grid(every), (0, 0, 0, 2), expand=False))
    console.print()
    _paragraph(console, verdict(every))
    for line in remarks(every):
        _paragraph(console, line)
    _heading(console, "6. Ask it")
    console.print(Padding(Text(QUERY, "cyan"), (0, 0, 1, 2), expand=False))
    console.print(Padding(chart(funnel, unicode=console.encoding.startswith("utf")), (0, 0, 0, 2), expand=False))
    _heading(console, "Next")
    for line in next_steps(task.copy.destinations[0].file):
        say_as_is(console, f"  {line}")
    return 0 if all(one.holds for one in every) else 1


def verdict(every: list[Proof]) -> str:
    """The proof in one sentence."""
    equal = sum(one.holds for one in every)
    rows = sum(one.copy for one in every)
    tables = counted(len(every), "table") if equal == len(every) else f"{equal} of {counted(len(every), 'table')}"
    return f"{tables} equal, {counted(rows, 'row')}: the second sync brought every change and nothing else."


def next_steps(file: Path) -> list[str]:
    """What to do after the demo."""
    shown = _shown(file)
    return [
        f"Look around:    duckdb {shown}",
        f"                (or in Python: duckdb.connect({shown!r}))",
        "Your own data:  export CIO_ACCESS_TOKEN=…   (an App API key of Customer.io)",
        "                cio-replicate check",
        "                cio-replicate sync --start-date 2024-01-31 \\",
        "                    --to duckdb:///customerio.duckdb",
    ]


def _told(edits: Mapping[str, SourceEdits]) -> str:
    inserted, updated, deleted, expired = (
        sum(getattr(one, what) for one in edits.values()) for what in ("inserted", "updated", "deleted", "expired")
    )
    return (
        f"{number(inserted)} records came, {number(updated)} were edited, {number(deleted)} were deleted, in "
        f"{counted(len(edits), 'table')}; {number(expired)} fell off the far end of the activity log."
    )


def _command(console: Console, task: ResolvedTask) -> None:
    day = datetime.fromtimestamp(task.connection.start, UTC).date()
    shown = _shown(task.copy.destinations[0].file)
    say_as_is(console, f"  $ cio-replicate sync --start-date {day} --to duckdb:///{shown} \\", "cyan")
    say_as_is(console, f"      --api-url {task.connection.api_url} --max-rps {RPS:g}", "cyan")


def _shown(file: Path) -> str:
    """A file as it is named from here."""
    return file.name if file.parent == Path.cwd() else str(file)


def _heading(console: Console, text: str) -> None:
    say(console, f"\n{text}", "bold")


def _paragraph(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))
