"""What is said of a run's events, a line each."""

from __future__ import annotations

from cio_replicate.base.words import counted, number
from cio_replicate.pipeline import base_events as events
from cio_replicate.pipeline.events import RunProgress, TableProgress


def problem(event: events.Event) -> str | None:
    """The line for an event that even a quiet run shows."""
    match event:
        case events.TableEnded(table=table, status="failed", error=error):
            return f"{table}: failed. {error or ''}".rstrip()
        case events.NoteAdded(text=text, table=table):
            return f"{table}: {text}" if table else text
    return None


def line_of(event: events.Event, standing: RunProgress) -> str | None:
    """The line that a log gets for an event, if any."""
    match event:
        case events.RunStarted(api=api, destination=destination):
            return f"Every table may be read: copying from {api} into {destination}."
        case events.TableStarted(table=table, resumed=True):  # all begin at once, which needs no line each
            return f"{table}: goes on where the last run stopped"
        case events.TableEnded(table=table, status=status, error=None):
            line = standing.lines[table]
            return f"{table}: {status}, {counted(line.rows, 'row')} read, {changes(line)}"
    return problem(event)


def changes(line: TableProgress) -> str:
    """What a table's rows changed in the copy, in words."""
    parts = [
        f"{number(count)} {word}"
        for count, word in ((line.inserted, "new"), (line.updated, "changed"), (line.deleted, "deleted"))
        if count
    ]
    return ", ".join(parts) or "nothing changed"
