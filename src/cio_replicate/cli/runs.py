"""`task run` and `runs list|show|cancel|retry`: runs as the control database knows them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.text import Text

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock, SystemClock
from cio_replicate.base.text import duration, number
from cio_replicate.cli.failure import COMPLETE, FAILED, INTERRUPTED, REFUSED
from cio_replicate.cli.listing import as_json, grid_of
from cio_replicate.cli.show import STYLES
from cio_replicate.cli.stored import Shown, acting
from cio_replicate.cli.terminal import as_options, messages, product, say
from cio_replicate.console.installation import opened
from cio_replicate.console.notifications import note
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.jobs.runs import Runs, StoredRunDetail, StoredRunSummary
from cio_replicate.pipeline.report import iso

LOOK = 0.5  # seconds between two looks at a run that is waited for
LINES = 200  # of a log, the last ones, that are shown
EXIT_CODES = {"complete": COMPLETE, "refused": REFUSED, "cancelled": INTERRUPTED, "interrupted": INTERRUPTED}


def action_of(resync: str | None, backfill: str | None, first: str | None, until: str | None) -> RunAction:
    """What the options ask for. Raises Refused where they contradict each other."""
    if resync is not None and backfill is not None:
        raise InvalidSettings("A run is either a resync or a backfill.", "Give one of --resync and --backfill.")
    if backfill is None and (first is not None or until is not None):
        raise InvalidSettings("--from and --until are those of a backfill.", "Give --backfill TABLE as well.")
    if resync is not None:
        return RunAction(kind=ActionKind.RESYNC, tables=tuple(one.strip() for one in resync.split(",") if one.strip()))
    if backfill is not None:
        return RunAction(kind=ActionKind.BACKFILL, tables=(backfill,), first=first, until=until)
    return RunAction()


def ask(task: str, action: RunAction, shown: Shown, *, wait: bool) -> int:
    """Ask for a run, and wait for its end if that is wanted; the exit code. Raises Refused."""
    with _runs(shown) as runs:
        run_id = runs.ask(task, acting(), action)
        if wait:
            asyncio.run(_watched(runs, run_id, SystemClock()))
        found = runs.show(run_id)
    if shown.json:
        as_json(_document(found))
    elif wait:
        _print(found, [])
    else:
        waits = f" {found.waits}" if found.waits is not None else ""
        say(product(), f"Asked for run {run_id[:12]} of {task}.{waits}")
    return EXIT_CODES.get(found.run.status, FAILED) if wait else COMPLETE


def list_all(task: str | None, status: str | None, count: int, shown: Shown) -> int:
    """Show runs; the exit code. Raises Refused."""
    with _runs(shown) as runs:
        found = runs.listed(task=task, status=status, limit=count)
    if shown.json:
        as_json({"runs": [_fields(one) for one in found]})
        return COMPLETE
    if not found:
        say(product(), "There is no such run: `cio-replicate task run` asks for one.")
        return COMPLETE
    names = ("run", "task", "what", "status", "due (UTC)", "time", "requests", "changed rows")
    rows = [
        (
            one.id[:12],
            one.task,
            one.action.kind.value,
            _status(one),
            iso(one.due_at)[:16].replace("T", " "),
            duration(one.seconds) if one.seconds is not None else "",
            number(one.requests) if one.requests is not None else "",
            number(one.rows) if one.rows is not None else "",
        )
        for one in found
    ]
    product().print(grid_of(names, rows, ("time", "requests", "changed rows")))
    return COMPLETE


def show(run_id: str, shown: Shown) -> int:
    """Show one run; the exit code. Raises Refused."""
    with _runs(shown) as runs:
        found = runs.show(run_id)
        lines = [one.line for one in runs.last_lines(run_id, LINES)]
    if shown.json:
        document = {**_document(found), "lines": [{**msgspec.to_builtins(one), "at": iso(one.at)} for one in lines]}
        as_json(document)
    else:
        _print(found, [f"{iso(one.at)[11:19]} {one.text}" for one in lines])
    return COMPLETE


def cancel(run_id: str, shown: Shown) -> int:
    """Cancel a run; the exit code. Raises Refused."""
    with _runs(shown) as runs:
        run = runs.cancel(run_id, acting())
    if shown.json:
        as_json(_fields(run))
    elif run.status == "running":
        say(product(), f"Run {run.id[:12]} of {run.task} is asked to end: its page and its batch are finished first.")
    else:
        say(product(), f"Run {run.id[:12]} of {run.task} is {run.status}.")
    return COMPLETE


def retry(run_id: str, shown: Shown) -> int:
    """Try a run again; the exit code. Raises Refused."""
    with _runs(shown) as runs:
        found = runs.show(runs.retry(run_id, acting()))
    if shown.json:
        as_json(_fields(found.run))
    else:
        say(product(), f"Asked for run {found.run.id[:12]} of {found.run.task}. {found.waits or ''}".rstrip())
    return COMPLETE


@contextmanager
def _runs(shown: Shown) -> Iterator[Runs]:
    with opened(shown.store) as store:
        yield Runs(store.database, SystemClock(), note)


async def _watched(runs: Runs, run_id: str, clock: Clock) -> None:
    """Tell what a run waits for and what it writes to its log, until it has ended."""
    console, told, waited = messages(), 0, None
    while True:
        found = runs.show(run_id)
        if found.waits != waited and found.waits is not None:
            say(console, found.waits)
        waited = found.waits
        for one in runs.lines(run_id, after=told):
            say(console, one.line.text)
            told = one.number
        if found.run.has_ended:
            return
        await clock.sleep(LOOK)


def _status(run: StoredRunSummary) -> Text:
    asked = " (to be cancelled)" if run.cancelling and run.status == "running" else ""
    return Text(f"{run.status}{asked}", STYLES.get(run.status, ""))


def _print(found: StoredRunDetail, lines: list[str]) -> None:
    """One run, for people."""
    run, console = found.run, product()
    facts: list[tuple[str, Any]] = [
        ("run", run.id),
        ("task", run.task),
        ("what", " ".join([run.action.kind, *run.action.tables])),
        ("asked for by", run.asked_by if run.cause == "user" and run.asked_by else _CAUSES.get(run.cause, run.cause)),
        ("status", _status(run)),
    ]
    if run.attempt > 1:
        facts.append(("try", run.attempt))
    facts += [(name, iso(at)) for name, at in (("began", run.started_at), ("ended", run.ended_at)) if at is not None]
    if run.worker is not None and not run.has_ended:
        facts.append(("worker", run.worker))
    if found.waits is not None:
        facts.append(("waits", found.waits))
    if run.error is not None:
        facts.append(("error", Text(as_options(run.error), "red")))
    console.print(grid_of((), facts))
    if found.report is not None and found.report.tables:
        console.print()
        rows = [
            (
                one.name,
                Text(one.status, STYLES.get(one.status, "")),
                number(one.read),
                number(one.inserted),
                number(one.updated),
                number(one.deleted),
                one.proof.verdict if one.proof is not None else "",
            )
            for one in found.report.tables
        ]
        numbers = ("read", "new", "changed", "deleted")
        console.print(grid_of(("table", "status", *numbers, "proof"), rows, numbers))
    if lines:
        console.print()
        for line in lines:
            say(console, line)


_CAUSES = {"schedule": "its schedule", "after": "the end of another task", "retry": "the try before"}


def _document(found: StoredRunDetail) -> dict[str, Any]:
    return {
        **_fields(found.run),
        "waits": found.waits,
        "progress": msgspec.to_builtins(found.progress),
        "report": msgspec.to_builtins(found.report),
    }


def _fields(run: StoredRunSummary) -> dict[str, Any]:
    """A run as JSON has it: times are ISO 8601 in UTC."""
    fields = msgspec.to_builtins(run)
    times = {name.removesuffix("_at"): fields.pop(name) for name in ("due_at", "started_at", "ended_at")}
    del fields["not_before"]
    return {**fields, **{name: iso(at) if at is not None else None for name, at in times.items()}}
