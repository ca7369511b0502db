"""Remove tables of a copy, or the whole copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from cio_replicate.app.settings import copy_of, names_among, opened, tables_of
from cio_replicate.base.errors import InvalidSettings, NotFound
from cio_replicate.config.documents import TaskSettings
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import members_of, missing_in
from cio_replicate.sinks.port import Sink


def drop(
    names: Sequence[str],
    task: TaskSettings,
    confirm: Callable[[str], None],
    *,
    everything: bool,
    state_dir: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Remove tables of the task's copy, with their changes and checkpoints, or everything; return what was removed.

    `confirm` is called with what is about to be removed and where, and raises to prevent it. Raises Refused when
    something is not there.
    """
    if bool(names) == everything:
        raise InvalidSettings("It is not clear what to drop.", "Name tables, or say ‹everything› for the whole copy.")
    tables = tables_of(names_among(names), task, environment)
    copy = copy_of(task.to, task.dataset, state_dir, environment)
    where = f"{copy.shown}, dataset {copy.dataset}"
    what = "the whole copy" if everything else ", ".join(one.target for one in tables)
    with opened(copy) as (staging, sink):
        missing = missing_in(sink)
        copies = [one for name, one in members_of(sink).items() if name not in missing]
        _require_there(copies, where, () if everything else tables, tables)
        confirm(f"{what} in {where}")
        for table in tables:
            sink.drop(table)
            if staging.has_journal:
                staging.journal.forget_table(table.name)
        if everything:
            sink.drop(None)
        elif staging.has_journal:
            staging.tidy()
    if everything:
        shutil.rmtree(copy.folder, ignore_errors=True)
    return what


def _require_there(copies: Collection[Sink], where: str, named: Sequence[Table], tables: Sequence[Table]) -> None:
    """Raise Refused when what is to be dropped is not there, or is called otherwise; `named` must all be there."""
    if not copies:
        raise NotFound(f"There is no copy in {where}.", "Check ‹to› and ‹dataset›.")
    there = {table.name for table in tables for one in copies if one.digests(table).rows}
    read = {name for one in copies for name in one.state.checkpoints}
    missing = [table.name for table in named if table.name not in there | read]
    if missing:
        raise NotFound(f"{' and '.join(missing)} cannot be found in {where}.", "`status` shows what is there.")
    lost = [table.target for table in tables for one in copies if _has_lost(one, table)]
    if lost and not there:
        raise NotFound(
            f"No table {lost[0]} with rows can be found in {where}.",
            "Give ‹table_prefix› and ‹column_case› as in `sync`.",
        )


def _has_lost(copy: Sink, table: Table) -> bool:
    """Whether none of the rows that were loaded can be found."""
    keys = copy.state.expected.get(table.name)
    return keys is not None and keys.rows > 0 and not copy.digests(table).rows
