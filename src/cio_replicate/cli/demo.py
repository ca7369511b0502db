"""`demo`: replicate a made-up workspace, change it, replicate again, prove the copy, and ask it a question."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.settings import ResolvedTask, copy_at
from cio_replicate.app.status import JOURNAL
from cio_replicate.app.sync import sync
from cio_replicate.base.errors import Conflict
from cio_replicate.base.runtime import Clock, SystemClock, default_root
from cio_replicate.base.text import Secret, counted, number
from cio_replicate.cli.options import command, option
from cio_replicate.cli.run_display import QuietRenderer, TableRenderer, sentence
from cio_replicate.cli.terminal import grid_of, messages, product, say, say_as_is
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.table_options import RECENT_DAYS
from cio_replicate.pipeline.report import Report, Status, TableReport
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.sinks.addresses import duckdb_file
from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import count_rows
from cio_replicate.source.catalog import TABLES
from cio_replicate.source.strategies.log import LOOKBACK
from customerio_simulator import Simulator, WorkspaceSpec

DAY = 86_400
DATASET = "customerio"
TOKEN = "made-up"  # noqa: S105 - opens nothing but the simulator
RPS = 25.0
EDITS = 5

QUERY = """\
SELECT campaigns.name            AS campaign,
       count(metrics__sent)      AS sent,
       count(metrics__delivered) AS delivered,
       count(metrics__opened)    AS opened,
       count(metrics__clicked)   AS clicked
FROM customerio.messages
JOIN customerio.campaigns ON campaigns.id = messages.campaign_id
GROUP BY campaigns.id, campaigns.name
ORDER BY sent DESC
LIMIT 8"""
NEXT = """\
Look around:    duckdb {file}
                (or in Python: duckdb.connect({file!r}))
Your own data:  export CIO_ACCESS_TOKEN=…   (an App API key of Customer.io)
                cio-replicate check
                cio-replicate sync --start-date 2024-01-31 \\
                    --to duckdb:///customerio.duckdb"""
STAGES = ("clicked", "opened", "delivered", "sent")
BLOCKS, LETTERS = "█▓▒░", "#=-."
STYLES = ("bright_cyan", "cyan", "blue", "dim")
WIDTH = 28


@command("demo", "cio-replicate demo", "cio-replicate demo --to /tmp/try.duckdb")
def demo(
    *,
    to: Annotated[
        Path, option("--to", "FILE", "The DuckDB file to make; one that an earlier demo made is made anew.")
    ] = Path("demo.duckdb"),
) -> int:
    """Show what this does with a made-up workspace: no key, no network, about ten seconds.

    Copies the workspace into a DuckDB file, changes it, copies again, proves that the copy equals the workspace, and
    asks it a question. The file stays, to look around in.
    """
    console, clock = product(), SystemClock()
    address = duckdb_file(to.expanduser().absolute())
    end = int(clock.now()) // DAY * DAY - DAY  # so that there is time for the workspace to change
    spec = WorkspaceSpec(people=1_500, messages=20_000, activities=2_500, start=end - 400 * DAY, now=end, hostile=False)
    with Simulator(spec, token=TOKEN) as simulator:
        connection = Connection(Secret(TOKEN), "us", spec.start, simulator.url, RPS)
        copy = copy_at((address,), DATASET, default_root() / "demo")
        task = ResolvedTask(connection, copy, RunSpec(TABLES, spec.start))
        make_room(task)
        say(console, "\n1. A made-up workspace", "bold")
        _paragraph(
            console,
            f"{spec.name}: {counted(spec.people, 'person').replace('persons', 'people')}, "
            f"{counted(spec.messages, 'message')} in {counted(spec.campaigns, 'campaign')} and "
            f"{counted(spec.newsletters, 'newsletter')}, served by this process. No key, no network.",
        )
        say(console, "\n2. The first sync copies everything", "bold")
        day = datetime.fromtimestamp(spec.start, UTC).date()
        say_as_is(
            console, f"  $ cio-replicate sync --start-date {day} --to duckdb:///{_shown(address.file)} \\", "cyan"
        )
        say_as_is(console, f"      --api-url {simulator.url} --max-rps {RPS:g}", "cyan")
        first = _run(console, task, clock)
        if first.status is not Status.COMPLETE:
            return first.exit_code
        say(console, "\n3. A day goes by in the workspace", "bold")
        edits = {
            name: SourceEdits(len(one.inserted), len(one.updated), len(one.deleted), len(one.expired))
            for name, one in simulator.evolve(
                seed=1,
                edits=EDITS,
                seconds=DAY,
                metrics_within=RECENT_DAYS * DAY,  # what is opened later, a later run finds
                backdated_within=LOOKBACK,
            ).items()
        }
        inserted, updated, deleted, expired = (
            number(sum(getattr(one, what) for one in edits.values()))
            for what in ("inserted", "updated", "deleted", "expired")
        )
        _paragraph(
            console,
            f"{inserted} records came, {updated} were edited, {deleted} were deleted, in "
            f"{counted(len(edits), 'table')}; {expired} fell off the far end of the activity log.",
        )
        say(console, "\n4. The second sync brings exactly that", "bold")
        second = _run(console, task, clock)
        if second.status is not Status.COMPLETE:
            return second.exit_code
        source = {table.name: simulator.workspace.summary(table.name).records for table in TABLES}
    return _prove_and_ask(console, task, (first, second), source, edits)


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
    report = sync(task, clock, TableRenderer(stderr, clock, names) if stderr.is_terminal else QuietRenderer(stderr))
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
    reader = DuckDBSink(task.copy.destinations[0].file, task.copy.dataset, read_only=True)
    reader.open()
    copy = {table.name: count_rows(reader, table) for table in TABLES}
    funnel = [Campaign(*row) for row in reader.backend.ask(QUERY)]
    reader.close()
    every = proofs(runs[0].tables, runs[1].tables, copy=copy, source=source, edits=edits)
    say(console, "\n5. The copy equals the workspace", "bold")
    console.print(Padding(proof_grid(every), (0, 0, 0, 2), expand=False))
    console.print()
    equal, tables = sum(one.holds for one in every), counted(len(every), "table")
    which = tables if equal == len(every) else f"{equal} of {tables}"
    rows = counted(sum(one.copy for one in every), "row")
    _paragraph(console, f"{which} equal, {rows}: the second sync brought every change and nothing else.")
    for line in remarks(every):
        _paragraph(console, line)
    say(console, "\n6. Ask it", "bold")
    console.print(Padding(Text(QUERY, "cyan"), (0, 0, 1, 2), expand=False))
    console.print(Padding(chart(funnel, unicode=console.encoding.startswith("utf")), (0, 0, 0, 2), expand=False))
    say(console, "\nNext", "bold")
    for line in NEXT.format(file=_shown(task.copy.destinations[0].file)).splitlines():
        say_as_is(console, f"  {line}")
    return 0 if all(one.holds for one in every) else 1


def _shown(file: Path) -> str:
    """A file as it is named from here."""
    return file.name if file.parent == Path.cwd() else str(file)


def _paragraph(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))


@dataclass(frozen=True, slots=True)
class SourceEdits:
    """What was changed at the source between two runs. `expired` rows left it by age; the copy keeps them."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class EditCheck:
    """One table: rows of the first run, the report of the second, rows in the copy and at the source, the edits."""

    table: str
    first: int
    second: TableReport
    copy: int
    source: int
    edits: SourceEdits

    @property
    def brought(self) -> tuple[int, int, int]:
        """What the second run inserted, updated and deleted."""
        return self.second.inserted, self.second.updated, self.second.deleted

    @property
    def holds(self) -> bool:
        """Whether the copy has what the source has, and the second run brought exactly the edits."""
        edits = (self.edits.inserted, self.edits.updated, self.edits.deleted)
        return self.copy == self.source + self.edits.expired and self.brought == edits


def proofs(
    first: Sequence[TableReport],
    second: Sequence[TableReport],
    *,
    copy: Mapping[str, int],
    source: Mapping[str, int],
    edits: Mapping[str, SourceEdits],
) -> list[EditCheck]:
    """One proof per table, in the order of the reports."""
    by_name, none = {one.name: one for one in second}, SourceEdits()
    return [
        EditCheck(name, one.inserted, by_name[name], copy.get(name, 0), source[name], edits.get(name, none))
        for one in first
        for name in [one.name]
    ]


def proof_grid(every: Sequence[EditCheck]) -> Grid:
    """The proofs as a table."""
    numbers = ("first", "new", "changed", "deleted", "copy", "source")
    rows = []
    for one in every:
        counts = (one.first, *one.brought, one.copy, one.source)
        rows.append((one.table, *map(number, counts), Text("equal", "green") if one.holds else Text("differs", "red")))
    return grid_of(("table", *numbers, ""), rows, numbers, wrapped=())


def remarks(every: Sequence[EditCheck]) -> list[str]:
    """What the table of proofs does not explain by itself."""
    why = "of the rows in the copy are too old for the source, which has dropped them."
    return [f"{one.table}: {number(one.edits.expired)} {why}" for one in every if one.edits.expired]


class Campaign(NamedTuple):
    """One campaign's messages, by how far they got: a row of the query's answer."""

    name: str
    sent: int
    delivered: int
    opened: int
    clicked: int


def bar(one: Campaign, most: int, width: int = WIDTH) -> list[int]:
    """The lengths of a bar's pieces, in the order of `STAGES`: each stage lies on top of the one before it.

    A campaign that sent `most` fills the width; a stage that anything reached is at least visible when there is room.
    """
    reached, lengths, before = 0, [], 0
    for stage in STAGES:
        count = min(getattr(one, stage), one.sent)
        reached = max(reached, round(count / most * width) if most else 0, min(1, count) if not before else 0)
        reached = min(reached, width)
        lengths.append(reached - before)
        before = reached
    return lengths


def chart(every: Sequence[Campaign], *, unicode: bool) -> Grid:
    """The campaigns, each with its bar and its shares."""
    marks = BLOCKS if unicode else LETTERS
    most = max((one.sent for one in every), default=0)
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("campaign", no_wrap=True, overflow="ellipsis", max_width=20)
    grid.add_column(_legend(marks), no_wrap=True, min_width=WIDTH)
    for name in ("sent", "deliv.", "open", "click"):
        grid.add_column(name, justify="right", no_wrap=True)
    for one in every:
        text = Text()
        for length, mark, style in zip(bar(one, most), marks, STYLES, strict=True):
            text.append(mark * length, style)
        shares = (share(count, one.sent) for count in (one.delivered, one.opened, one.clicked))
        grid.add_row(Text(one.name), text, f"{one.sent:,}", *shares)
    return grid


def share(part: int, whole: int) -> str:
    """A part as a percentage."""
    return f"{part / whole:.0%}" if whole else ""


def _legend(marks: str) -> Text:
    legend = Text()
    for stage, mark, style in zip(STAGES, marks, STYLES, strict=True):
        legend.append(mark, style)
        legend.append(f"{stage} ", "not bold dim")
    return legend
