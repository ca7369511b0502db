"""`task`: create, list, show, edit, pause, resume and delete tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cio_replicate.cli.editing import acting, edited_task, print_changes, print_settings
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import Edits, StoreOutputOptions, Yes, command
from cio_replicate.cli.terminal import as_json, grid_of, product, require_meant, say
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, plain
from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.database.rows import StoredTask
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.pipeline.report import iso
from cio_replicate.sinks.addresses import made_absolute

TIMES = 3  # that are shown of a schedule
Name = Annotated[str, typer.Argument(metavar="NAME", help="The task, by its name.")]


@command(
    "task create",
    "cio-replicate task create daily --connection main --to duckdb:///customerio.duckdb --cron '0 3 * * *'",
    "cio-replicate task create often --connection main --to postgresql://loader@db.internal/crm --every 15m "
    "--tables messages,activities",
)
def create_task(name: Name, *, settings: TaskSettings, shown: StoreOutputOptions) -> int:
    """Keep a task under a name: a connection, destinations, tables and when it runs.

    Without --cron, --every or --after it runs only when asked to.
    """
    with opened(shown.store) as store:
        kept = store.tasks.create(name, _here(store, settings), acting())
    if shown.json:
        as_json(_document(kept))
        return COMPLETE
    if kept.next_at is not None:
        when = f"It runs at {iso(kept.next_at)} for the first time."
    elif kept.settings.after is not None:
        when = f"It runs when {kept.settings.after} has ended well."
    else:
        when = f"It runs when asked to: cio-replicate task run {name}."
    say(product(), f"Made the task {name}. {when}")
    return COMPLETE


@command("task list", "cio-replicate task list")
def list_tasks(*, shown: StoreOutputOptions) -> int:
    """List the tasks, and when each runs next."""
    with opened(shown.store) as store:
        found = store.tasks.all()
    if shown.json:
        as_json({"tasks": [_document(one) for one in found]})
        return COMPLETE
    if not found:
        say(product(), "There is no task yet: `cio-replicate task create` makes one.")
        return COMPLETE
    rows = [
        (one.name, one.settings.connection, " ".join(one.settings.to).partition("?")[0], _when(one), _next(one))
        for one in found
    ]
    product().print(grid_of(("task", "connection", "destination", "when", "next"), rows))
    return COMPLETE


@command("task show", "cio-replicate task show daily")
def show_task(name: Name, *, shown: StoreOutputOptions) -> int:
    """Show a task's settings and its next times."""
    with opened(shown.store) as store:
        kept = store.tasks.named(name)
    if shown.json:
        as_json({**_document(kept), "times": [iso(one) for one in _times(kept)]})
        return COMPLETE
    print_settings(name, kept.settings)
    times = ", ".join(iso(one) for one in _times(kept))
    product().print(
        grid_of((), {"when": _when(kept), "next": times or "none", "changed": iso(kept.changed_at)}.items())
    )
    return COMPLETE


@command(
    "task edit",
    "cio-replicate task edit daily --cron '30 4 * * *' --zone Europe/Berlin",
    "cio-replicate task edit daily --tables ''",
)
def edit_task(
    name: Name, *, given: Annotated[Mapping[str, Any], Edits(TaskSettings)], shown: StoreOutputOptions
) -> int:
    """Change settings of a task: those that are given; an empty text takes one away. A run under way keeps its own."""
    with opened(shown.store) as store:
        settings = edited_task(store.tasks.named(name).settings, given)
        changes = store.tasks.edit(name, _here(store, settings), acting())
        kept = store.tasks.named(name)
    if shown.json:
        as_json(_document(kept))
    else:
        print_changes(f"task {name}", changes)
    return COMPLETE


@command("task pause", "cio-replicate task pause daily")
def pause_task(name: Name, *, shown: StoreOutputOptions) -> int:
    """Let a task rest: its schedule starts nothing until it is resumed. A run under way goes on."""
    return _pause(name, shown, paused=True)


@command("task resume", "cio-replicate task resume daily")
def resume_task(name: Name, *, shown: StoreOutputOptions) -> int:
    """Let a task go on that was paused; times that passed meanwhile are not made up for."""
    return _pause(name, shown, paused=False)


@command("task delete", "cio-replicate task delete daily")
def delete_task(name: Name, *, yes: Yes = False, shown: StoreOutputOptions) -> int:
    """Delete a task and the history of its runs; the copy in its destinations stays."""
    with opened(shown.store) as store:
        store.tasks.named(name)
        if not yes:
            require_meant(f"Delete the task {name} and its history? The copy stays.", "Nothing was deleted.")
        store.tasks.delete(name, acting())
    if shown.json:
        as_json({"status": "deleted", "task": name})
    else:
        say(product(), f"Deleted the task {name}. Its copy stays where it is.")
    return COMPLETE


def _pause(name: str, shown: StoreOutputOptions, *, paused: bool) -> int:
    with opened(shown.store) as store:
        changed = store.tasks.pause(name, acting(), paused=paused)
        kept = store.tasks.named(name)
    if shown.json:
        as_json(_document(kept))
        return COMPLETE
    already = "" if changed else " already"
    rests = f"The task {name} is paused{already}: `cio-replicate task resume {name}` lets it go on."
    goes_on = f"The task {name} is not paused{already}."
    if kept.next_at is not None:
        goes_on += f" It runs next at {iso(kept.next_at)}."
    say(product(), rests if paused else goes_on)
    return COMPLETE


def _here(store: ControlServices, settings: TaskSettings) -> TaskSettings:
    """The settings with the files and folders of this machine where the command sees them.

    What a gateway writes to is on another machine, so there nothing is made of a path that is not whole.
    """
    if any(one.name == settings.connection and one.settings.gateway for one in store.connections.all()):
        return settings
    return replace(settings, to=[made_absolute(one, Path.cwd()) for one in settings.to])


def _document(kept: StoredTask) -> dict[str, Any]:
    return {
        "name": kept.name,
        "settings": plain(kept.settings),
        "paused": kept.paused,
        "next": iso(kept.next_at) if kept.next_at is not None else None,
        "created": iso(kept.created_at),
        "changed": iso(kept.changed_at),
    }


def _when(kept: StoredTask) -> str:
    settings = kept.settings
    after = f"after {settings.after}" if settings.after is not None else ""
    parts = [_clock(settings.schedule) if settings.schedule is not None else "", after]
    when = " and ".join(part for part in parts if part) or "when asked to"
    return f"{when} (paused)" if kept.paused else when


def _clock(one: ScheduleSettings) -> str:
    return f"every {one.every}" if one.every is not None else f"{one.cron} ({one.zone})"


def _next(kept: StoredTask) -> str:
    return iso(kept.next_at) if kept.next_at is not None else ""


def _times(kept: StoredTask) -> list[int]:
    """The next times of its schedule."""
    if kept.settings.schedule is None or kept.next_at is None:
        return []
    times, found = schedule(kept.settings.schedule), [kept.next_at]
    while len(found) < TIMES:
        following = times.next_after(found[-1])
        if following is None:
            break
        found.append(following)
    return found
