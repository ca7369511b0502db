"""What the journal of a task tells without being held: its last runs, and reads that are not finished.

The journal may be read while a run writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec

from cio_replicate.pipeline.journal import Journal
from cio_replicate.pipeline.report import Report, read_report

JOURNAL = "journal.sqlite"


class Unfinished(msgspec.Struct, kw_only=True):
    """A read that has begun and is not closed: what the next run goes on with."""

    table: str
    rows: int  # received so far
    parts: int
    parts_done: int
    pages_waiting: int  # landed, not yet in the destination
    rows_waiting: int


def past_runs(folder: Path, newest: int) -> list[Report]:
    """The reports of the newest runs, newest first; none when the task has never run."""
    file = folder / JOURNAL
    if not file.exists():
        return []
    with closing(Journal(file)) as journal:
        return [read_report(text) for text in journal.runs(newest)]


def unfinished(folder: Path, tables: Iterable[str]) -> list[Unfinished]:
    """The reads that are not finished."""
    file = folder / JOURNAL
    if not file.exists():
        return []
    found = []
    with closing(Journal(file)) as journal:
        for table in tables:
            read = journal.read_of(table)
            if read is None:
                continue
            waiting = [page for page in journal.pages(read) if not page.loaded]
            found.append(
                Unfinished(
                    table=table,
                    rows=read.tally.rows,
                    parts=len(read.parts),
                    parts_done=sum(part.cursor.done for part in read.parts),
                    pages_waiting=len(waiting),
                    rows_waiting=sum(page.rows for page in waiting),
                )
            )
    return found
