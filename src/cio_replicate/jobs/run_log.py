"""The log of a run: lines are added, none twice although they may be told twice, and bounded in number."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from cio_replicate.database.tables import run_lines
from cio_replicate.pipeline.progress import LONGEST, WARNING, LogLine

LATEST = 32_503_680_000  # the year 3000
MOST_LINES = 5_000  # of a run; what comes after is left out
LEFT_OUT = "More lines are not kept."


def add_lines(connection: Connection, run_id: str, lines: Sequence[LogLine]) -> None:
    """Add lines to the log of a run, in a transaction that writes; those that were added before are left out."""
    if not lines:
        return
    here = run_lines.c.run_id == run_id
    last = connection.scalar(select(func.max(run_lines.c.number)).where(here)) or 0
    newest = connection.execute(select(run_lines).where(here, run_lines.c.number > last - len(lines)))
    tail = [LogLine(row.at, row.level, row.text) for row in newest.all()]
    fresh = unseen(tail, [_kept(line) for line in lines])
    fresh = fresh[: max(0, MOST_LINES - last)]
    if fresh and last + len(fresh) >= MOST_LINES:
        fresh[-1] = LogLine(fresh[-1].at, WARNING, LEFT_OUT)
    if fresh:
        rows = [
            {"run_id": run_id, "number": number, "at": line.at, "level": line.level, "text": line.text}
            for number, line in enumerate(fresh, last + 1)
        ]
        connection.execute(insert(run_lines), rows)


def storable(text: str) -> str:
    """What others said, as every database keeps it: PostgreSQL takes no NUL."""
    return text.replace("\0", "�")


def _kept(line: LogLine) -> LogLine:
    """A line as it is kept: whoever tells it, its time is one that can be shown."""
    return LogLine(min(max(line.at, 0), LATEST), line.level[:10], storable(line.text[:LONGEST]))


def unseen(tail: Sequence[LogLine], lines: Sequence[LogLine]) -> list[LogLine]:
    """What is new of lines, of which the first may be those that a log ends with: who told them did not hear back."""
    for length in range(min(len(tail), len(lines)), 0, -1):
        if list(tail[-length:]) == list(lines[:length]):
            return list(lines[length:])
    return list(lines)
