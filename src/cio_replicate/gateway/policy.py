"""What leaves the private network: numbers, names of tables and our own sentences, nothing that others said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cio_replicate.base.quoting import without_quotes
from cio_replicate.jobs.board import Outcome
from cio_replicate.jobs.ports import ProbeResult
from cio_replicate.pipeline.progress import LONGEST, LogLine, Progress
from cio_replicate.pipeline.replication_report import Report

MOST_NOTES = 100  # of a run, and of each of its tables


def progress_to_tell(progress: Progress | None) -> Progress | None:
    """How a run stands, as the console may know it."""
    return None if progress is None else msgspec.convert(_cut(msgspec.to_builtins(progress)), Progress)


def lines_to_tell(lines: Iterable[LogLine]) -> tuple[LogLine, ...]:
    """Lines of a log, as the console may know them."""
    return tuple(msgspec.structs.replace(line, text=without_quotes(line.text)[:LONGEST]) for line in lines)


def end_to_tell(end: Outcome) -> Outcome:
    """The end of a run, as the console may know it."""
    return Outcome(
        status=str(end.status),
        report=_report_to_tell(end.report) if end.report is not None else None,
        error=without_quotes(end.error)[:LONGEST] if end.error is not None else None,
        lines=list(lines_to_tell(end.lines)),
    )


def found_to_tell(found: ProbeResult) -> ProbeResult:
    """What was found about a connection, as the console may know it."""
    return msgspec.convert(_cut(msgspec.to_builtins(found)), ProbeResult)


def _report_to_tell(report: Report) -> Report:
    told = msgspec.convert(_cut(msgspec.to_builtins(report)), Report)
    told.notes = _some(told.notes)
    for table in told.tables:
        table.notes = _some(table.notes)
        if table.proof is not None:  # of a table with very few rows, a digest of its keys could be guessed
            table.proof = msgspec.structs.replace(table.proof, digest="", landed=None)
    return told


def _some(notes: list[str]) -> list[str]:
    left = len(notes) - MOST_NOTES
    return [*notes[:MOST_NOTES], f"{left} more notes are in the gateway's own report."] if left > 0 else notes


def _cut(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return without_quotes(value)[:LONGEST]
    if isinstance(value, dict):
        return {name: _cut(one) for name, one in value.items()}
    return [_cut(one) for one in value] if isinstance(value, list | tuple) else value
