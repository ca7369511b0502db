"""What an earlier run has left behind, and what of it is still worth going on with: pure decisions."""

from __future__ import annotations

from collections.abc import Mapping

from cio_replicate.pipeline.journal import TableRead
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.sinks.port import CopyIdentity

#: A part of a long list that was read is worth keeping; page tokens of a day ago may be unknown to the API.
RESUME_WITHIN = 24 * 3_600
#: A read that only waits to be closed costs one request a page to repeat, and its content grows old.
FINISHED_IS_FRESH = 600
#: A run that was killed and is started again this soon is the same run: what it was done with is not read again.
SAME_RUN_WITHIN = 3_600


def same_copy(copy_id: str | None, commit: str | None, now: CopyIdentity | None) -> bool:
    """Whether the destination is the one that the journal's pages went into, and has all commits it knows of.

    One commit more is that of a run which died before it could note it down. Fewer mean a copy restored from a
    backup: rows that the journal takes for loaded are not there.
    """
    if copy_id is None:
        return True  # nothing was loaded yet
    return now is not None and now.copy_id == copy_id and now.commits >= int(commit or 0)


def goes_on(read: TableRead, position: Checkpoint | None, start: int, now: int) -> bool:
    """Whether a run that begins `now` takes up this read.

    It must have begun from where the destination stands (else it was closed already, or belongs to another past),
    with the same start date, and be fresh enough.
    """
    age = now - read.touched
    fresh = age <= (FINISHED_IS_FRESH if read.finished else RESUME_WITHIN)
    return read.base == position and read.start == start and fresh


def still_done(
    done: Mapping[str, tuple[str, int]],
    positions: Mapping[str, Checkpoint | None],
    start: int,
    last_sign_of_life: int,
    now: int,
) -> dict[str, int]:
    """The tables that the run before, which never ended, was done with, and when (unix seconds).

    Each must stand in the destination where that run left it, with a start date that is covered.
    """
    if now - last_sign_of_life > SAME_RUN_WITHIN:
        return {}
    found = {}
    for table, (read, at) in done.items():
        position = positions.get(table)
        if position is not None and position.read == read and position.start <= start:
            found[table] = at
    return found


def starting_positions(
    positions: Mapping[str, Checkpoint], tables: tuple[str, ...], refresh: tuple[str, ...]
) -> dict[str, Checkpoint | None]:
    """The position that each table starts from; none for a table that is to be read anew."""
    return {table: None if table in refresh else positions.get(table) for table in tables}
