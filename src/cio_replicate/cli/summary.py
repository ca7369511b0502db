"""The end of a run: its report as a table and a sentence."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.show import STYLES
from cio_replicate.cli.terminal import say
from cio_replicate.pipeline.report import Report, Status, TableReport, VerificationStatus

WORTH_TELLING = 0.01  # of the reading time, lost to 429
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
    result = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    result.add_column("table", no_wrap=True)
    for name in ("read", "new", "changed", "deleted", "requests"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("status", no_wrap=True)
    for table in tables:
        counts = (table.read, table.inserted, table.updated, table.deleted, table.requests)
        result.add_row(table.name, *map(number, counts), outcome(table))
    return result


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


def forecast(report: Report) -> str | None:
    """What was expected of the run, as far as it could be told, beside what it took."""
    told = report.expected
    if told is None:
        return None
    of_these = "" if told.tables == len(report.tables) else f" for {counted(told.tables, 'table')}"
    requests = counted(told.requests, "request")
    return f"Expected{of_these}: {requests} in {duration(told.seconds)}; sent: {number(told.sent)}."


def remarks(report: Report) -> Iterable[str]:
    """What the numbers alone do not tell: errors, notes, and what happens next."""
    yield from report.notes
    if (line := forecast(report)) is not None:
        yield line
    if report.budget is not None and report.budget.lost >= WORTH_TELLING:
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
        yield "The downloaded rows are kept. Run the same command again to continue."
