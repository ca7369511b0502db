"""`task run`, `runs` and `scheduler`: ask for runs, look at them, cancel and retry them, execute them by schedule."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
from rich.text import Text

from cio_replicate.app.settings import state_root
from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.text import counted, duration, number
from cio_replicate.cli.editing import acting
from cio_replicate.cli.failure import COMPLETE, FAILED, INTERRUPTED, REFUSED
from cio_replicate.cli.options import StoreOptions, StoreOutputOptions, argument, command, flag, option
from cio_replicate.cli.run_display import STYLES
from cio_replicate.cli.task_commands import Name
from cio_replicate.cli.terminal import Line, StopSignal, answer, grid_of, log_to_stderr, messages, say
from cio_replicate.config.options import as_options
from cio_replicate.console.background import BackgroundServices
from cio_replicate.console.installation import opened
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.jobs.runs import Runs, StoredRunDetail, StoredRunSummary
from cio_replicate.jobs.worker import ProcessStarter
from cio_replicate.pipeline.report import iso

LOOK = 0.5  # seconds between two looks at a run that is waited for
LINES = 200  # of a log, the last ones, that are shown
EXIT_CODES = {"complete": COMPLETE, "refused": REFUSED, "cancelled": INTERRUPTED, "interrupted": INTERRUPTED}
_CAUSES = {"schedule": "its schedule", "after": "the end of another task", "retry": "the try before"}
INSTEAD = "What is done instead of a sync"
RunId = Annotated[str, argument("RUN", "The run: its id, or the beginning of it.")]


@command(
    "task run",
    "cio-replicate task run daily --wait",
    "cio-replicate task run daily --resync segments,topics",
    "cio-replicate task run daily --backfill messages --from 2024-03-01 --until 2024-04-01",
)
def run_task(
    name: Name,
    *,
    wait: Annotated[bool, flag("--wait", "Show its log and return when it has ended, with its exit code.")] = False,
    resync: Annotated[
        str | None,
        option("--resync", "A,B", "Forget what is known of these tables and read them anew, whole.", INSTEAD),
    ] = None,
    backfill: Annotated[
        str | None, option("--backfill", "TABLE", "Read a stretch of time of this table once more.", INSTEAD)
    ] = None,
    first: Annotated[str | None, option("--from", "DATE", "The first moment of that stretch.", INSTEAD)] = None,
    until: Annotated[str | None, option("--until", "DATE", "Its last moment; now if not given.", INSTEAD)] = None,
    shown: StoreOutputOptions,
) -> int:
    """Ask for a run of a task now, whatever its schedule says.

    The console, `cio-replicate scheduler` or the task's gateway executes it, when no other run of the same workspace
    goes on. If one for the same waits already, it is that one. With --wait, ends like `sync`, and with 130 when it was
    cancelled.
    """
    action = _action_of(resync, backfill, first, until)
    with _runs(shown) as runs:
        run_id = runs.ask(name, acting(), action)
        if wait:
            _watch(runs, run_id)
        found = runs.show(run_id)
    asked = f"Asked for run {run_id[:12]} of {name}. {found.waits or ''}".rstrip()
    answer(shown, _document(found), *(_run_lines(found) if wait else [asked]))
    return EXIT_CODES.get(found.run.status, FAILED) if wait else COMPLETE


@command("runs list", "cio-replicate runs list", "cio-replicate runs list --task daily --status failed")
def list_runs(
    *,
    task_name: Annotated[str | None, option("--task", "NAME", "Only runs of this task.")] = None,
    status: Annotated[
        str | None,
        option("--status", "queued|running|complete|failed|refused|interrupted|cancelled", "Only runs that stand so."),
    ] = None,
    count: Annotated[int, option("--count", "COUNT", "Runs at most.", min=1, max=500)] = 20,
    shown: StoreOutputOptions,
) -> int:
    """List runs, the newest first."""
    with _runs(shown) as runs:
        found = runs.listed(task=task_name, status=status, limit=count)
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
    document = {"runs": [_fields(one) for one in found]}
    nothing = "There is no such run: `cio-replicate task run` asks for one."
    return answer(shown, document, grid_of(names, rows, ("time", "requests", "changed rows")) if rows else nothing)


@command("runs show", "cio-replicate runs show 3f2a9c51", "cio-replicate runs show 3f2a9c51 --json")
def show_run(run_id: RunId, *, shown: StoreOutputOptions) -> int:
    """Show one run: how it stands or ended, its tables, its log, and what a run that waits is waiting for."""
    with _runs(shown) as runs:
        found = runs.show(run_id)
        lines = [one.line for one in runs.last_lines(run_id, LINES)]
    document = {**_document(found), "lines": [{**msgspec.to_builtins(one), "at": iso(one.at)} for one in lines]}
    return answer(shown, document, *_run_lines(found, [f"{iso(one.at)[11:19]} {one.text}" for one in lines]))


@command("runs cancel", "cio-replicate runs cancel 3f2a9c51")
def cancel_run(run_id: RunId, *, shown: StoreOutputOptions) -> int:
    """End a run: one that waits at once, one under way once its page and its batch are finished."""
    with _runs(shown) as runs:
        run = runs.cancel(run_id, acting())
    asked = "asked to end: its page and its batch are finished first"
    state = asked if run.status == "running" else run.status
    return answer(shown, _fields(run), f"Run {run.id[:12]} of {run.task} is {state}.")


@command("runs retry", "cio-replicate runs retry 3f2a9c51")
def retry_run(run_id: RunId, *, shown: StoreOutputOptions) -> int:
    """Do once more what a run that did not end well was to do; it goes on from what has landed."""
    with _runs(shown) as runs:
        found = runs.show(runs.retry(run_id, acting()))
    said = f"Asked for run {found.run.id[:12]} of {found.run.task}. {found.waits or ''}".rstrip()
    return answer(shown, _fields(found.run), said)


@command(
    "scheduler",
    "cio-replicate scheduler",
    "cio-replicate scheduler --store postgresql://cio@db.internal/console --slots 8",
)
def scheduler(
    *,
    slots: Annotated[int, option("--slots", "NUMBER", "Runs that are executed at a time.", min=1, max=64)] = 4,
    state_dir: Annotated[
        Path | None,
        option(
            "--state-dir", "DIR", "Where landed pages of the runs are kept; a folder of your own user if not given."
        ),
    ] = None,
    at: StoreOptions,
) -> int:
    """Run tasks by their schedules, as the console does, but without its pages; until Ctrl-C.

    Several may work on one database, beside a console or without one: each time that comes is run once. When it is
    stopped, its runs finish their page and batch, and go on when another takes them.
    """
    clock, environment = SystemClock(), dict(os.environ)
    with opened(at.store, environment, clock) as services:
        log_to_stderr(logging.INFO, "cio_replicate")
        stop = StopSignal()
        launcher = ProcessStarter(state_root(state_dir))
        engine = BackgroundServices(
            services.database, services.keys, clock, launcher, slots=slots, environment=environment
        )
        engine.start()
        say(
            messages(),
            f"Running the tasks in {services.database.shown}, {counted(slots, 'run')} at a time, until Ctrl-C.",
        )
        while not stop():
            time.sleep(LOOK)
        say(messages(), "Stopping: each run finishes its page and its batch first. Once more to stop at once.")
        engine.stop()
    return COMPLETE


def _action_of(resync: str | None, backfill: str | None, first: str | None, until: str | None) -> RunAction:
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


def _watch(runs: Runs, run_id: str) -> None:
    """Tell what a run waits for and what it writes to its log, until it has ended."""
    console, last, waited = messages(), 0, None
    while True:
        found = runs.show(run_id)
        if found.waits != waited and found.waits is not None:
            say(console, found.waits)
        waited = found.waits
        for one in runs.lines(run_id, after=last):
            say(console, one.line.text)
            last = one.number
        if found.run.has_ended:
            return
        time.sleep(LOOK)


def _status(run: StoredRunSummary) -> Text:
    asked = " (to be cancelled)" if run.cancelling and run.status == "running" else ""
    return Text(f"{run.status}{asked}", STYLES.get(run.status, ""))


def _run_lines(found: StoredRunDetail, lines: Sequence[str] = ()) -> Iterator[Line]:
    """One run, for people."""
    run = found.run
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
    yield grid_of((), facts)
    if found.report is not None and found.report.tables:
        yield ""
        rows = [
            (
                one.name,
                Text(one.status, STYLES.get(one.status, "")),
                *map(number, (one.read, one.inserted, one.updated, one.deleted)),
                one.proof.verdict if one.proof is not None else "",
            )
            for one in found.report.tables
        ]
        numbers = ("read", "new", "changed", "deleted")
        yield grid_of(("table", "status", *numbers, "proof"), rows, numbers)
    if lines:
        yield ""
        yield from lines


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


@contextmanager
def _runs(shown: StoreOutputOptions) -> Iterator[Runs]:
    with opened(shown.store) as store:
        yield Runs(store.database, SystemClock(), store.dispatch)
