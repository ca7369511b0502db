"""Remove tables of a copy, or the whole copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cio_replicate.app.settings import copy_of, names_among, opened, tables_of
from cio_replicate.base.errors import InvalidSettings, NotFound
from cio_replicate.config.documents import TaskSettings
from cio_replicate.pipeline.staging import Staging
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import members_of, missing_in
from cio_replicate.sinks.port import Sink

OTHER_NAMES = "Give ‹table_prefix› and ‹column_case› as in `sync`."


@dataclass(frozen=True, slots=True)
class Removal:
    """What is about to be removed from an open copy; nothing is before `execute`."""

    where: str
    tables: tuple[Table, ...]
    sink: Sink
    staging: Staging
    everything: bool

    @property
    def what(self) -> str:
        """What is removed, in words."""
        return "the whole copy" if self.everything else ", ".join(one.target for one in self.tables)

    def execute(self) -> None:
        """Remove the tables with their changes and checkpoints, or everything."""
        for table in self.tables:
            self.sink.drop(table)
            if self.staging.has_journal:
                self.staging.journal.forget_table(table.name)
        if self.everything:
            self.sink.drop(None)
        elif self.staging.has_journal:
            self.staging.tidy()


@contextmanager
def removal(
    names: Sequence[str],
    task: TaskSettings,
    *,
    everything: bool,
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Removal]:
    """Open the task's copy to remove these tables, or everything. Raises Refused when they are not there."""
    if bool(names) == everything:
        raise InvalidSettings("It is not clear what to drop.", "Name tables, or say ‹everything› for the whole copy.")
    tables = tables_of(names_among(names), task, environment)
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    with opened(copy) as (staging, sink):
        found = Removal(f"{copy.shown}, dataset {copy.dataset}", tables, sink, staging, everything)
        missing = missing_in(sink)
        _require_there([one for name, one in members_of(sink).items() if name not in missing], found)
        yield found
    if everything:
        shutil.rmtree(copy.folder, ignore_errors=True)


def _require_there(copies: Collection[Sink], wanted: Removal) -> None:
    """Raise Refused when what is to be dropped is not there, or is called otherwise."""
    where, tables = wanted.where, wanted.tables
    if not copies:
        raise NotFound(f"There is no copy in {where}.", "Check ‹to› and ‹dataset›.")
    there = {table.name for table in tables for one in copies if one.digests(table).rows}
    read = {name for one in copies for name in one.state.checkpoints}
    missing = [table.name for table in tables if table.name not in there | read]
    if missing and not wanted.everything:
        raise NotFound(f"{' and '.join(missing)} cannot be found in {where}.", "`status` shows what is there.")
    lost = [table.target for table in tables for one in copies if _has_lost(one, table)]
    if lost and not there:
        raise NotFound(f"No table {lost[0]} with rows can be found in {where}.", OTHER_NAMES)


def _has_lost(copy: Sink, table: Table) -> bool:
    """Whether none of the rows that were loaded can be found."""
    keys = copy.state.expected.get(table.name)
    return keys is not None and keys.rows > 0 and not copy.digests(table).rows
