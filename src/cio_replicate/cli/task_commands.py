"""`task`: create, list, show, edit, pause, resume and delete tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cio_replicate.cli.editing import acting, change_lines, edited_task, settings_shown
from cio_replicate.cli.options import Edits, StoreOutputOptions, Yes, argument, command
from cio_replicate.cli.terminal import answer, grid_of, require_meant
from cio_replicate.config.documents import TaskSettings, plain
from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.database.rows import StoredTask
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.pipeline.report import iso
from cio_replicate.sinks.addresses import made_absolute

TIMES = 3  # that are shown of a schedule
Name = Annotated[str, argument("NAME", "The task, by its name.")]


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
    if kept.next_at is not None:
        when = f"It runs at {iso(kept.next_at)} for the first time."
    elif kept.settings.after is not None:
        when = f"It runs when {kept.settings.after} has ended well."
    else:
        when = f"It runs when asked to: cio-replicate task run {name}."
    return answer(shown, _document(kept), f"Made the task {name}. {when}")


@command("task list", "cio-replicate task list")
def list_tasks(*, shown: StoreOutputOptions) -> int:
    """List the tasks, and when each runs next."""
    with opened(shown.store) as store:
        found = store.tasks.all()
    rows = [
        (one.name, one.settings.connection, " ".join(one.settings.to).partition("?")[0], _when(one), _next(one) or "")
        for one in found
    ]
    document = {"tasks": [_document(one) for one in found]}
    nothing = "There is no task yet: `cio-replicate task create` makes one."
    return answer(
        shown, document, grid_of(("task", "connection", "destination", "when", "next"), rows) if rows else nothing
    )


@command("task show", "cio-replicate task show daily")
def show_task(name: Name, *, shown: StoreOutputOptions) -> int:
    """Show a task's settings and its next times."""
    with opened(shown.store) as store:
        kept = store.tasks.named(name)
    times = [iso(one) for one in _times(kept)]
    facts = {"when": _when(kept), "next": ", ".join(times) or "none", "changed": iso(kept.changed_at)}
    return answer(shown, {**_document(kept), "times": times}, *settings_shown(name, kept.settings, facts))


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
    return answer(shown, _document(kept), *change_lines(f"task {name}", changes))


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
        require_meant(f"Delete the task {name} and its history? The copy stays.", "Nothing was deleted.", yes=yes)
        store.tasks.delete(name, acting())
    return answer(shown, {"status": "deleted", "task": name}, f"Deleted the task {name}. Its copy stays where it is.")


def _pause(name: str, shown: StoreOutputOptions, *, paused: bool) -> int:
    with opened(shown.store) as store:
        changed = store.tasks.pause(name, acting(), paused=paused)
        kept = store.tasks.named(name)
    already = "" if changed else " already"
    if paused:
        said = f"The task {name} is paused{already}: `cio-replicate task resume {name}` lets it go on."
    else:
        following = f" It runs next at {iso(kept.next_at)}." if kept.next_at is not None else ""
        said = f"The task {name} is not paused{already}.{following}"
    return answer(shown, _document(kept), said)


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
        "next": _next(kept),
        "created": iso(kept.created_at),
        "changed": iso(kept.changed_at),
    }


def _next(kept: StoredTask) -> str | None:
    return iso(kept.next_at) if kept.next_at is not None else None


def _when(kept: StoredTask) -> str:
    one, after = kept.settings.schedule, kept.settings.after
    parts = [f"every {one.every}" if one.every is not None else f"{one.cron} ({one.zone})"] if one is not None else []
    parts += [f"after {after}"] if after is not None else []
    return f"{' and '.join(parts) or 'when asked to'}{' (paused)' if kept.paused else ''}"


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
