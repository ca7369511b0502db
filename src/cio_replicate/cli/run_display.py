"""Show a run: while it goes on, as a live table, as lines or only problems; at its end, as a table and a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.terminal import grid_of, say
from cio_replicate.pipeline import events
from cio_replicate.pipeline.events import (
    ASKING,
    LOADING,
    READING,
    WAITING,
    RunProgress,
    TableProgress,
    after,
    line_of,
    new_standing,
    problem,
)
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus

STYLES = {
    WAITING: "dim",
    ASKING: "dim",
    READING: "",
    LOADING: "",
    "complete": "green",
    "failed": "red",
    "interrupted": "yellow",
}
WORTH_A_LINE = 0.01  # of the reading time, lost to 429
PROOF_STYLES = {
    VerificationStatus.PROVED: "green",
    VerificationStatus.CONSISTENT: "green",
    VerificationStatus.UNPROVED: "yellow",
    VerificationStatus.SHORT: "red",
}
_OUTCOMES = {
    Status.COMPLETE: "Complete",
    Status.FAILED: "Not complete",
    Status.INTERRUPTED: "Interrupted",
    Status.REFUSED: "Refused",
}


class QuietRenderer:
    """Shows only problems and what the user should know."""

    seconds = 5.0  # between signs of life in a log

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def tell(self, event: events.Event) -> None:
        """Show a failure or a note."""
        line = problem(event)
        if line is not None:
            self.say(line)

    def beat(self) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show a sentence."""
        say(self._console, text)


class LogRenderer(QuietRenderer):
    """Shows a line per event that matters, and one every few seconds with the totals; for logs."""

    def __init__(self, console: Console, clock: Clock, tables: Iterable[str]) -> None:
        super().__init__(console)
        self._clock = clock
        self._standing = new_standing(tables, clock.monotonic())

    def tell(self, event: events.Event) -> None:
        """Show where a table begins and how it ends."""
        self._standing = after(self._standing, event, self._clock.monotonic())
        line = line_of(event, self._standing)
        if line is not None:
            self.say(line)

    def beat(self) -> None:
        """Show the totals."""
        self.say(totals(self._standing, self._clock.monotonic()))

    def say(self, text: str) -> None:
        """Show a sentence, after the seconds since the run began."""
        say(self._console, f"{self._clock.monotonic() - self._standing.began:7.1f} s  {text}")


class TableRenderer(QuietRenderer):
    """Shows a table of all tables that changes in place, and leaves nothing of it behind."""

    def __init__(self, console: Console, clock: Clock, tables: Iterable[str]) -> None:
        super().__init__(console)
        self._clock = clock
        self._standing = new_standing(tables, clock.monotonic())
        self._live = Live(
            console=console,
            get_renderable=lambda: picture(self._standing, clock.monotonic(), console.height),
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tell(self, event: events.Event) -> None:
        """Change the picture; a note stays above it."""
        self._standing = after(self._standing, event, self._clock.monotonic())
        super().tell(event)


def totals(standing: RunProgress, now: float) -> str:
    """The run as a whole in one line."""
    seconds = max(now - standing.began, 0.001)
    if not standing.source and not standing.over:
        return f"Asking whether every table may be read · {duration(seconds)}"
    parts = [
        f"{standing.over} of {counted(len(standing.lines), 'table')} done",
        f"{counted(standing.rows, 'row')}",
        f"{counted(standing.requests, 'request')} ({standing.requests / seconds:.1f}/s)",
        duration(seconds),
    ]
    if standing.failed:
        parts.insert(1, f"{standing.failed} failed")
    return " · ".join(parts)


def picture(standing: RunProgress, now: float, height: int) -> RenderableType:
    """The whole run as a table, with a line of totals below; tables that do not fit the height are left out."""
    grid = Grid(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column("table", no_wrap=True)
    grid.add_column("status", no_wrap=True, min_width=8)
    for name, width in (("rows", 9), ("pages", 6), ("rows/s", 7), ("left", 7)):
        grid.add_column(name, justify="right", no_wrap=True, min_width=width)
    grid.add_column("changes", no_wrap=True, overflow="ellipsis")
    shown, hidden = visible(list(standing.lines.values()), height - 4)
    for line in shown:
        rate, left, style = line.rate(now), line.seconds_left(now), STYLES.get(line.status, "")
        grid.add_row(
            line.table,
            Text(line.status, style),
            *([number(line.rows), number(line.pages)] if line.pages else ["", ""]),
            f"{rate:,.0f}" if rate is not None and line.pages > 1 else "",
            duration(left) if left is not None else "",
            brief_changes(line),
            style=style if line.status in {WAITING, ASKING} else "",
        )
    more = [Text(f"… and {counted(hidden, 'more table')}", "dim")] if hidden else []
    return Group(grid, *more, Text(), Text(totals(standing, now), "bold"))


def brief_changes(line: TableProgress) -> str:
    """What a table's rows changed in the copy, in a few characters: new, changed, deleted."""
    signs = ((line.inserted, "+"), (line.updated, "~"), (line.deleted, "-"))
    return " ".join(f"{sign}{number(count)}" for count, sign in signs if count)


def visible(lines: list[TableProgress], room: int) -> tuple[list[TableProgress], int]:
    """The lines that fit, in their order, and how many do not: those that move stay, then failures, then the rest."""
    if len(lines) <= room:
        return lines, 0

    def weight(line: TableProgress) -> int:
        if line.error is not None:
            return 1
        return 2 if line.is_over else (0 if line.began is not None else 3)

    chosen = sorted(lines, key=weight)[: max(room - 1, 1)]
    return [line for line in lines if line in chosen], len(lines) - len(chosen)


def print_summary(console: Console, report: Report) -> None:
    """Print a finished run."""
    if report.tables:
        console.print(grid(report.tables))
        console.print()
    say(console, sentence(report), "bold")
    for line in remarks(report):
        say(console, line)


def grid(tables: Iterable[TableReport]) -> Grid:
    """One row per table."""
    numbers = ("read", "new", "changed", "deleted", "requests")
    rows = [
        (one.name, *map(number, (one.read, one.inserted, one.updated, one.deleted, one.requests)), outcome(one))
        for one in tables
    ]
    return grid_of(("table", *numbers, "status"), rows, numbers, wrapped=())


def outcome(table: TableReport) -> Text:
    """How a table ended: when it is complete, what is known of the copy."""
    if table.status is Status.COMPLETE and table.proof is not None:
        return Text(table.proof.verdict, PROOF_STYLES[table.proof.verdict])
    return Text(table.status, STYLES[table.status])


def sentence(report: Report) -> str:
    """The run in one sentence."""
    complete = sum(table.status is Status.COMPLETE for table in report.tables)
    every = len(report.tables)
    tables = counted(every, "table") if complete == every else f"{complete} of {counted(every, 'table')}"
    inserted, updated, deleted = (
        sum(getattr(table, what) for table in report.tables) for what in ("inserted", "updated", "deleted")
    )
    used = f", {report.budget.used:.0%} of the budget" if report.budget is not None else ""
    throttled = f" ({number(report.throttled)} answered 429)" if report.throttled else ""
    return (
        f"{_OUTCOMES[report.status]}: {tables}, {counted(sum(table.read for table in report.tables), 'row')} read "
        f"({number(inserted)} new, {number(updated)} changed, {number(deleted)} deleted) in "
        f"{duration(report.seconds)} with {counted(report.requests, 'request')}{throttled}{used}."
    )


def remarks(report: Report) -> Iterable[str]:
    """What the numbers alone do not tell: errors, notes, and what happens next."""
    yield from report.notes
    if (expected := report.expected) is not None:
        of_these = "" if expected.tables == len(report.tables) else f" for {counted(expected.tables, 'table')}"
        requests = counted(expected.requests, "request")
        yield f"Expected{of_these}: {requests} in {duration(expected.seconds)}; sent: {number(expected.sent)}."
    if report.budget is not None and report.budget.lost >= WORTH_A_LINE:
        yield (
            f"Others use the API's limit too: backing off after 429 took {duration(report.budget.lost_seconds)}, "
            f"{report.budget.lost:.0%} of the reading."
        )
    for table in report.tables:
        if table.error is not None:
            yield f"{table.name}: {table.error}"
        elif (
            table.proof is not None
            and table.proof.verdict is VerificationStatus.UNPROVED
            and table.status is Status.COMPLETE
        ):
            yield f"{table.name}: {table.proof.why}"
        for note in table.notes:
            yield f"{table.name}: {note}"
        if table.misfits:
            yield f"{table.name}: {counted(table.misfits, 'value')} did not fit the column's type; kept in _cio_extra."
    if report.status is Status.INTERRUPTED:
        rows = "The downloaded rows are kept." if any(one.read for one in report.tables) else "This run read no row."
        yield f"{rows} Run the same command again to continue."
