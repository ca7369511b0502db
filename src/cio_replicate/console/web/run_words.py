"""What is said of runs on several pages."""

from __future__ import annotations

from cio_replicate.console.web.words import NONE, span
from cio_replicate.jobs.job import ActionKind
from cio_replicate.jobs.runs import StoredRunSummary
from cio_replicate.pipeline.progress import Progress

CAUSES = {"schedule": "by schedule", "user": "by hand", "after": "after another task", "retry": "a retry"}


def doing(run: StoredRunSummary) -> str:
    """What a run does, and why: sync, by schedule."""
    action = run.action
    what = f"{action.kind} of {', '.join(action.tables)}" if action.tables else str(action.kind)
    if action.kind is ActionKind.BACKFILL:
        what += f", {action.first} to {action.until or 'now'}"
    return f"{what}, {CAUSES.get(run.cause, run.cause)}"


def time_left(progress: Progress) -> str:
    """How long reading still takes, by the table that takes longest; a dash while that cannot be told."""
    known = [one.left for one in progress.tables if one.left is not None]
    return span(max(known)) if known else NONE
