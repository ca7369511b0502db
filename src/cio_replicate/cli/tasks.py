"""`task`: makes, shows, edits, pauses and deletes tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cio_replicate.cli.asking import require_meant
from cio_replicate.cli.editing import edited_task
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.listing import as_json, grid_of, print_changes, print_settings
from cio_replicate.cli.stored import Shown, acting
from cio_replicate.cli.terminal import product, say
from cio_replicate.config.documents import ScheduleSettings, TaskSettings, plain
from cio_replicate.console.installation import ControlServices, opened
from cio_replicate.database.rows import StoredTask
from cio_replicate.jobs.scheduler import schedule
from cio_replicate.pipeline.report import iso
from cio_replicate.sinks.addresses import made_absolute

TIMES = 3  # that are shown of a schedule


def create(name: str, settings: TaskSettings, shown: Shown) -> int:
    """Keep a task; the exit code. Raises Refused."""
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


def list_all(shown: Shown) -> int:
    """Show every task."""
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


def show(name: str, shown: Shown) -> int:
    """Show one task. Raises NotFound when there is none of that name."""
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


def edit(name: str, given: Mapping[str, Any], shown: Shown) -> int:
    """Change what was given; the exit code. Raises Refused."""
    with opened(shown.store) as store:
        settings = edited_task(store.tasks.named(name).settings, given)
        changes = store.tasks.edit(name, _here(store, settings), acting())
        kept = store.tasks.named(name)
    if shown.json:
        as_json(_document(kept))
    else:
        print_changes(f"task {name}", changes)
    return COMPLETE


def pause(name: str, shown: Shown, *, paused: bool) -> int:
    """Let a task rest or go on; the exit code. Raises Refused."""
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


def delete(name: str, shown: Shown, *, yes: bool) -> int:
    """Delete a task, once it is clear that it is meant. Raises Refused."""
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
