"""Show how far each table of a copy is, which reads are unfinished, and the last runs.

The journal may be read while a run writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from cio_replicate.app.settings import Copy, copy_of, looked_at, tables_of
from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.config.documents import TaskSettings
from cio_replicate.pipeline.journal import Journal
from cio_replicate.pipeline.report import Report, iso, read_report
from cio_replicate.pipeline.run_plan import other_name
from cio_replicate.schema.table import Table
from cio_replicate.sinks.port import count_rows
from cio_replicate.source import catalog

JOURNAL = "journal.sqlite"
NEWEST_RUNS, LOOKED_AT = 5, 20


class Unfinished(msgspec.Struct):
    """A read that has begun and is not closed: what the next run goes on with."""

    table: str
    rows: int  # received so far
    parts: int
    parts_done: int
    pages_waiting: int  # landed, not yet in the destination
    rows_waiting: int


class TableStatus(msgspec.Struct, kw_only=True):
    """How far a table is. Times are ISO 8601 in UTC; null what is not known.

    `called`: its name in the copy where that is another one, so that its rows cannot be counted.
    """

    name: str
    called: str | None = None
    rows: int | None = None
    start: str | None = None
    through: str | None = None
    latest: str | None = None
    verdict: str | None = None  # of the newest run of this machine that found one


class CopyStatus(msgspec.Struct, kw_only=True):
    """What `--json` writes. `problem` says why the destination could not be looked at."""

    destination: str
    dataset: str
    exists: bool = False
    problem: str | None = None
    tables: list[TableStatus] = msgspec.field(default_factory=list)
    unfinished: list[Unfinished] = msgspec.field(default_factory=list)
    runs: list[Report] = msgspec.field(default_factory=list)


def status(
    task: TaskSettings, *, state_dir: Path | None = None, environment: Mapping[str, str] = os.environ
) -> CopyStatus:
    """Look at the task's copy and at this machine's journal of it; asks no API. Raises Refused."""
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    found = CopyStatus(destination=copy.shown, dataset=copy.dataset)
    runs = past_runs(copy.folder, LOOKED_AT)
    _look(found, copy, tables_of(catalog.names(), task, environment), verdicts(runs))
    found.runs = runs[:NEWEST_RUNS]
    found.unfinished = unfinished(copy.folder, catalog.names())
    return found


def verdicts(runs: Sequence[Report]) -> dict[str, str]:
    """What the newest of these runs, which come first, found of each table."""
    found: dict[str, str] = {}
    for table in (table for run in runs for table in run.tables):
        if table.proof is not None:
            found.setdefault(table.name, table.proof.verdict)
    return found


def _look(found: CopyStatus, copy: Copy, tables: Sequence[Table], judged: Mapping[str, str]) -> None:
    try:
        with looked_at(copy) as sink:
            found.exists = sink.open() is not None
            positions = sink.state.checkpoints
            called = {table.name: other_name(table, positions.get(table.name)) for table in tables}
            counts = {
                table.name: count_rows(sink, table)
                for table in tables
                if table.name in positions and not called[table.name]
            }
    except DestinationUnavailableError as error:
        found.problem = str(error)
        return
    for table in tables:
        position = positions.get(table.name)
        if position is None:
            continue
        one = TableStatus(name=table.name, rows=counts.get(table.name), verdict=judged.get(table.name))
        one.called = called[table.name] or None
        dated = table.start_date_column is not None
        one.start, one.through = iso(position.start) if dated else None, iso(position.through)
        one.latest = iso(position.latest) if position.latest is not None else None
        found.tables.append(one)


def past_runs(folder: Path, newest: int) -> list[Report]:
    """The reports of the newest runs, newest first; none when the task has never run."""
    with _journal(folder) as journal:
        return [read_report(text) for text in journal.runs(newest)] if journal is not None else []


def unfinished(folder: Path, tables: Iterable[str]) -> list[Unfinished]:
    """The reads that are not finished."""
    found: list[Unfinished] = []
    with _journal(folder) as journal:
        if journal is None:
            return found
        for table in tables:
            read = journal.read_of(table)
            if read is not None:
                waiting = [page.rows for page in journal.pages(read) if not page.loaded]
                done = sum(part.cursor.done for part in read.parts)
                counts = (read.tally.rows, len(read.parts), done, len(waiting), sum(waiting))
                found.append(Unfinished(table, *counts))
    return found


@contextmanager
def _journal(folder: Path) -> Iterator[Journal | None]:
    """The journal of a task; None when the task has never run."""
    file = folder / JOURNAL
    if not file.exists():
        yield None
        return
    with closing(Journal(file)) as journal:
        yield journal
