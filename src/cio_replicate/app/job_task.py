"""The task that a job asks for: its settings checked, as the command line checks them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cio_replicate.app.settings import names_among
from cio_replicate.app.task import Task, backfilling, forgetting, task_of
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options as settings
from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.config.options import DestinationOptions, SourceOptions, Wanted
from cio_replicate.jobs.ports import ActionKind, RunAction
from cio_replicate.source import catalog as catalogue
from cio_replicate.source.catalog.selection import stretch


def task_for(
    connection: ConnectionSettings, task: TaskSettings, action: RunAction, clock: Clock, state_dir: Path | None = None
) -> Task:
    """What these settings ask for. Raises SettingsError, also where a reference leads to no secret."""
    source = SourceOptions(
        region=connection.region,
        api_url=connection.api_url,
        access_token_from=connection.access_token_from,
        max_rps=connection.max_rps,
        budget_share=connection.budget_share,
        tables=task.tables,
        exclude=task.exclude,
    )
    refresh: tuple[str, ...] = ()
    if action.kind is ActionKind.RESYNC:
        whole = settings.selected(catalogue.names(), task.tables, task.exclude)
        refresh = tuple(name for name in names_among(action.tables) if name in whole)
        source = replace(source, tables=",".join(refresh), exclude=None)
    wanted = Wanted(
        since=connection,
        copy=DestinationOptions(to=task.to, dataset=task.dataset, state_dir=state_dir),
        source=source,
        shaping=task,
        again=task,
    )
    made = task_of(wanted, clock, refresh=refresh, keep_landed=task.keep_landed)
    if action.kind is ActionKind.RESYNC:
        return forgetting(made)
    if action.kind is ActionKind.BACKFILL:
        table = action.tables[0] if action.tables else ""
        return backfilling(made, stretch(table, action.first or "", action.until, clock.now()))
    return made
