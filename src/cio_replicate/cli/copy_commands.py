"""`check`, `plan`, `status`, `verify`, `preview` and `drop`: look at a workspace and at a copy of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.app.drop import drop as dropped
from cio_replicate.app.plan import PlanReport
from cio_replicate.app.plan import plan as planned
from cio_replicate.app.preview import preview as first_rows
from cio_replicate.app.probe import AccessReport, check
from cio_replicate.app.status import CopyStatus, TableStatus
from cio_replicate.app.status import status as looked
from cio_replicate.app.verify import VerificationReport
from cio_replicate.app.verify import verify as verified
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.failure import COMPLETE, FAILED, REFUSED
from cio_replicate.cli.options import AsJson, argument, command, option
from cio_replicate.cli.run_display import PROOF_STYLES, STYLES, outcome
from cio_replicate.cli.terminal import Line, answer, grid_of, product, require_meant, say
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import (
    AccessOptions,
    ColumnOptions,
    DestinationOptions,
    OptionalDestinationOptions,
    RereadOptions,
    SourceOptions,
    StartDateOptions,
    WriteModeOptions,
    gathered,
)
from cio_replicate.pipeline.report import Report, VerificationStatus
from cio_replicate.schema.table import Table

OTHER_NAMES = "Give --table-prefix and --column-case as in `sync`."
ROOMY = 100  # columns of a terminal that leave room for everything

LONGEST = 60  # characters of a value


@command("check", "cio-replicate check", "cio-replicate check --to duckdb:///customerio.duckdb")
def check_access(*, source: SourceOptions, copy: OptionalDestinationOptions, output: AsJson) -> int:
    """Find out whether the access token works, and which tables it may read.

    Sends one small request per table, and says for each that cannot be read why, and what to do. With --to it also
    makes, writes, reads back and drops a small table there. Ends with 0 when all is well, else with 2.
    """
    found = check(source, copy.to or [], copy.dataset, SystemClock())
    answer(output, found, *_access_lines(found))
    return COMPLETE if found.status == "ready" else REFUSED


def _access_lines(found: AccessReport) -> Iterator[Line]:
    refused = [one for one in found.tables if not one.readable]
    marks = {True: Text("yes", "green"), False: Text("no", "red")}
    rows = [(one.table, marks[one.readable], f"{one.cause} {one.fix}".strip()) for one in found.tables]
    names = ("table", "readable", "cause and fix")[: 3 if refused else 2]
    yield grid_of(names, [row[: len(names)] for row in rows], wrapped=names[2:])
    yield ""
    where = f"{found.api} ({found.region})" if found.region else found.api
    every = counted(len(found.tables), "table")
    if refused:
        yield f"{len(refused)} of {every} cannot be read from {where}.", "bold"
    else:
        yield f"{every} can be read from {where}.", "bold"
    if found.destination_error is not None:
        yield found.destination_error, "red"
    elif found.destination is not None:
        yield f"{found.destination} can be written."


@command("plan", "cio-replicate plan --start-date 2024-01-31")
def plan(
    *,
    since: StartDateOptions,
    copy: OptionalDestinationOptions,
    source: SourceOptions,
    shaping: WriteModeOptions,
    reread: RereadOptions,
    output: AsJson,
) -> int:
    """Tell what a sync would cost: requests and time per table, and how well each number is known.

    Asks the API with very few requests and writes nothing. With --to it also goes by the copy that is there and by
    the last runs. Ends like `sync`.
    """
    connection = gathered(ConnectionSettings, since, source)
    task = gathered(TaskSettings, copy, source, shaping, reread, connection="", to=copy.to or [])
    made = planned(connection, task, SystemClock(), state_dir=copy.state_dir)
    answer(output, made, *_plan_lines(made))
    if any(one.refused for one in made.tables):
        return REFUSED
    return FAILED if any(one.error is not None for one in made.tables) else COMPLETE


def _plan_lines(made: PlanReport) -> Iterator[Line]:
    failed = ("", "", "", Text("cannot be read", "red"))
    rows = [(one.table, *(failed if one.error is not None else (*made.row(one), one.basis))) for one in made.tables]
    numbers = ("requests", "rows", "time")
    yield grid_of(("table", *numbers, "how it is known"), rows, numbers, wrapped=("how it is known",), gap=1)
    yield ""
    yield made.sentence, "bold"
    if (people := made.customers) is not None:
        about = "about " if people.changed is not None else "at least "
        yield (
            f"People: --customers full {counted(people.full, 'request')} ({duration(people.full / made.max_rps)}) on "
            f"every run; --customers changes {about}{counted(people.changes, 'request')} "
            f"({duration(people.changes / made.max_rps)}), and {number(people.full)} every "
            f"{counted(people.full_every_days, 'day')}."
        )
    yield f"It took {counted(made.asked, 'request')} to find out; nothing was written."
    for one in made.tables:
        if one.error is not None:
            yield f"{one.table}: {one.error}", "red"


@command("status", "cio-replicate status --to duckdb:///customerio.duckdb")
def status(*, copy: DestinationOptions, looks: ColumnOptions, output: AsJson) -> int:
    """Show how far each table of a copy is, what is not finished, and how the last runs went.

    Asks only this machine, never the API, and may be used while a sync runs.
    """
    found = looked(gathered(TaskSettings, copy, looks, connection=""), state_dir=copy.state_dir)
    return answer(output, found, *_status_lines(found))


def _status_lines(found: CopyStatus) -> Iterator[Line]:
    yield f"{found.destination}, dataset {found.dataset}", "bold"
    yield ""
    if found.problem is not None:
        yield found.problem
        yield ""
    elif found.tables:
        yield _positions(found.tables, roomy=product().width >= ROOMY)
        if any(one.called for one in found.tables):
            yield "Rows are not counted of tables that have other names in the copy. " + OTHER_NAMES
        yield ""
    elif not found.runs:
        yield "Nothing has been copied here yet: `cio-replicate sync` does it."
    for one in found.unfinished:
        parts = f"{one.parts_done} of {counted(one.parts, 'part')} read"
        staged = f"{counted(one.pages_waiting, 'landed page')} ({counted(one.rows_waiting, 'row')}) wait to be loaded"
        yield f"{one.table}: not finished, {counted(one.rows, 'row')} received, {parts}, {staged}."
    if found.unfinished:
        yield ""
    if found.runs:
        yield _runs(found.runs)


def _positions(tables: Sequence[TableStatus], *, roomy: bool) -> Grid:
    rows = []
    for one in tables:
        through = _minute(one.through) if one.through else Text("not complete yet", "yellow")
        latest = [_minute(one.latest) if one.latest else ""] if roomy else []
        verdict = Text(one.verdict, PROOF_STYLES[VerificationStatus(one.verdict)]) if one.verdict else ""
        count = number(one.rows) if one.rows is not None else ""
        rows.append((one.name, count, (one.start or "")[:10], through, *latest, verdict))
    names = ("table", "rows", "since", "complete to (UTC)", *(["newest row"] if roomy else []), "proof")
    return grid_of(names, rows, ("rows",), wrapped=(), gap=1)


def _runs(runs: Sequence[Report]) -> Grid:
    rows = []
    for run in runs:
        sums = [sum(getattr(one, what) for one in run.tables) for what in ("read", "inserted", "updated", "deleted")]
        figures = (duration(run.seconds), number(run.requests), *map(number, sums))
        rows.append((_minute(run.started), Text(run.status, STYLES.get(run.status, "")), *figures))
    numbers = ("time", "requests", "read", "new", "changed", "deleted")
    return grid_of(("last runs (UTC)", "status", *numbers), rows, numbers, wrapped=(), gap=1)


def _minute(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


@command(
    "verify",
    "cio-replicate verify --to duckdb:///customerio.duckdb",
    "cio-replicate verify --to duckdb:///customerio.duckdb --requests 0",
)
def verify(
    *,
    copy: DestinationOptions,
    source: SourceOptions,
    looks: ColumnOptions,
    most_requests: Annotated[
        int, option("--requests", "COUNT", "Requests at most, to count lists at the source; 0 asks nothing.", min=0)
    ] = 60,
    output: AsJson,
) -> int:
    """Find out whether a copy is true: what it holds, what was loaded into it, and what the source counts.

    Reads the keys of all rows back from the copy and compares them with those that were loaded; counts lists at the
    source again. The result is added to the table _cio_proof. Ends with 1 when a table is short.
    """
    task = gathered(TaskSettings, copy, source, looks, connection="")
    found = verified(source, task, SystemClock(), most_requests=most_requests, state_dir=copy.state_dir)
    answer(output, found, *_verification_lines(found))
    return FAILED if found.is_short else COMPLETE


def _verification_lines(found: VerificationReport) -> Iterator[Line]:
    rows = [
        (one.name, number(proof.source) if proof.source is not None else "", number(proof.rows), outcome(one))
        for one in found.tables
        if (proof := one.proof) is not None
    ]
    yield grid_of(("table", "source", "copy", "verdict"), rows, ("source", "copy"), wrapped=())
    yield ""
    yield found.sentence, "bold red" if found.is_short else "bold"
    for one, text in found.remarks:
        style = PROOF_STYLES[one.proof.verdict] if one.proof is not None and text == one.proof.why else ""
        yield f"{one.name}: {text}", style


@command("preview", "cio-replicate preview campaigns", "cio-replicate preview customers --rows 3 --json")
def preview(
    name: Annotated[str, argument("TABLE", "The table.")],
    *,
    rows: Annotated[int, option("--rows", "COUNT", "Rows at most.", min=1, max=100)] = 5,
    access: AccessOptions,
    looks: ColumnOptions,
    output: AsJson,
) -> int:
    """Show the first rows of a table as a copy would have them, with one request or two; nothing is written."""
    found = first_rows(access, name, rows, looks, SystemClock())
    return answer(output, found.rows, *_row_lines(found.table, found.rows))


def _row_lines(table: Table, found: Sequence[dict[str, Any]]) -> Iterator[Line]:
    """One block per row: a table of so many columns fits no terminal."""
    for place, row in enumerate(found, 1):
        yield f"{table.target} {place}", "bold"
        facts = [(f"  {name}", shortened(value)) for name, value in row.items() if value is not None]
        yield grid_of((), facts, wrapped=("",))
        yield ""
    yield f"{counted(len(found), 'row')}; columns without a value are left out. Nothing was written."


def shortened(value: object) -> str:
    """A value on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@command(
    "drop",
    "cio-replicate drop segments --to duckdb:///customerio.duckdb",
    "cio-replicate drop --all --to duckdb:///customerio.duckdb --yes",
)
def drop(
    names: Annotated[list[str] | None, argument("[TABLE...]", "The tables to remove.")] = None,
    *,
    everything: Annotated[bool, option("--all", None, "Remove the whole copy, its records of runs too.")] = False,
    yes: Annotated[bool, option("--yes", None, "Do not ask.")] = False,
    copy: DestinationOptions,
    looks: ColumnOptions,
) -> int:
    """Remove tables of a copy, with their changes and positions, or the whole copy. Asks first, unless --yes."""
    task = gathered(TaskSettings, copy, looks, connection="")

    def confirm(what: str) -> None:
        require_meant(f"Remove {what}?", "Nothing was removed.", yes=yes)

    what = dropped(names or [], task, confirm, everything=everything, state_dir=copy.state_dir)
    say(product(), f"Removed: {what}. A later sync copies anew what it selects.")
    return COMPLETE
