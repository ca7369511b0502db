"""What a worker is told to execute: the settings of a task and what is to be done, as they travel between processes."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cio_replicate.config.documents import ConnectionSettings, TaskSettings

#: What worker and board must agree on; another is refused by name. To be raised when a struct here changes its sense.
PROTOCOL = 1


class ActionKind(StrEnum):
    """What may be done with a task."""

    SYNC = "sync"
    RESYNC = "resync"  # forget tables and read them anew
    BACKFILL = "backfill"  # read a stretch of time of a table once more


class RunAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is done. `tables` are those of a resync, or the one of a backfill, from `first` to `until` (dates)."""

    kind: ActionKind = ActionKind.SYNC
    tables: tuple[str, ...] = ()
    first: str | None = None
    until: str | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `stored` are secrets that the control database keeps, revealed: none leaves the console's machine."""

    run_id: str
    task_id: str
    task_name: str
    connection: ConnectionSettings
    task: TaskSettings
    action: RunAction = RunAction()
    stored: dict[str, str] = {}
