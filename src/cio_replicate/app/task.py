"""What is replicated, from where and to where: settings as the user wrote them, checked, for one run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cio_replicate.app.settings import (
    addresses_of,
    connection_of,
    erases,
    names_of,
    rules_of,
    state_root,
    tables_of,
    treatments_of,
)
from cio_replicate.base.errors import SettingsError
from cio_replicate.base.runtime import Clock
from cio_replicate.config import connection_options as settings
from cio_replicate.config.connection_options import Connection
from cio_replicate.config.destination_kind import Address
from cio_replicate.config.options import DestinationOptions, Wanted
from cio_replicate.config.secret_references import caution
from cio_replicate.config.table_options import WriteMode
from cio_replicate.pipeline.run_plan import RunSpec
from cio_replicate.pipeline.staging import task_folder
from cio_replicate.source import catalog as catalogue
from cio_replicate.source.catalog.selection import BackfillRange


@dataclass(frozen=True, slots=True)
class Task:
    """What is replicated, from where and to where; `cautions` are sentences to show beforehand."""

    connection: Connection
    destinations: tuple[Address, ...]
    dataset: str
    order: RunSpec
    state_root: Path
    cautions: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The task's own folder of landed pages and runs."""
        return folder_of(self.state_root, self.destinations, self.dataset)


def folder_of(state_root: Path, destinations: Sequence[Address], dataset: str) -> Path:
    """The folder of the task that fills these destinations."""
    return task_folder(state_root, " ".join(sorted(map(str, destinations))), dataset)


def task_of(wanted: Wanted, clock: Clock, *, refresh: tuple[str, ...] = (), keep_landed: bool = False) -> Task:
    """What the options ask for. Raises SettingsError."""
    copy = wanted.copy
    connection = connection_of(wanted.source, clock, wanted.since.start_date)
    names = names_of(wanted.source)
    chosen = tables_of(names, wanted.shaping)
    addresses = addresses_of(copy.to if isinstance(copy, DestinationOptions) else [])
    references = (one for one in (wanted.source.access_token_from, wanted.shaping.salt) if one is not None)
    said = [
        *(one for address in addresses for one in address.cautions),
        *(caution(one, os.environ) for one in references),
    ]
    return Task(
        connection=connection,
        destinations=addresses,
        dataset=settings.dataset(copy.dataset),
        order=RunSpec(
            chosen,
            connection.start,
            refresh,
            rules_of(wanted.again, chosen, wanted.shaping),
            treatments_of(wanted.shaping, names),
            keep_landed=keep_landed,
            erase=erases(wanted.shaping),
            others=tables_of((name for name in catalogue.names() if name not in names), wanted.shaping),
        ),
        state_root=state_root(copy.state_dir),
        cautions=tuple(dict.fromkeys(one for one in said if one)),
    )


def forgetting(task: Task) -> Task:
    """The same, with what is known of its tables forgotten first."""
    return replace(task, order=replace(task.order, forget=True))


def backfilling(task: Task, wanted: BackfillRange) -> Task:
    """The same for one stretch of time of a table. Raises SettingsError where the copy could not keep it."""
    if task.order.treatment(wanted.table).mode is WriteMode.FULL:
        raise SettingsError(
            "--mode full takes back what a backfill brings.", "Give --start-date of `sync` an earlier day instead."
        )
    return replace(task, order=replace(task.order, backfill=(wanted.begin, wanted.end)))
