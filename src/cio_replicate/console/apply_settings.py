"""Brings changes of connections, tasks and channels about, in one transaction: all of them, or none and a sentence."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, delete, exists, insert, select, update

from cio_replicate.base.errors import SettingsError
from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, TaskSettings
from cio_replicate.console.checks import require_usable
from cio_replicate.console.consistency import require_consistent
from cio_replicate.console.difference import Change, ChangeKind, FieldChange, SettingsKind
from cio_replicate.console.keys import EncryptionKeys
from cio_replicate.console.names import checked_name
from cio_replicate.console.secret_users import users_in
from cio_replicate.console.workspace import KnownWorkspace, workspace_of
from cio_replicate.database.actor import Actor
from cio_replicate.database.audit_log import record
from cio_replicate.database.rows import as_text, documents_of, kept_connections, settings_from
from cio_replicate.database.tables import channels, connections, gateways, missed, notices, runs, secrets, tasks
from cio_replicate.jobs.scheduler import next_due

_TABLES: dict[SettingsKind, Table] = {
    SettingsKind.CHANNEL: channels,
    SettingsKind.CONNECTION: connections,
    SettingsKind.TASK: tasks,
}


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """What a change needs besides its transaction: who makes it, when, and where secrets are found."""

    by: Actor
    now: int
    keys: EncryptionKeys
    environment: Mapping[str, str]


def perform(transaction: Connection, changes: Sequence[Change], means: ChangeContext) -> None:
    """Bring these changes about, what is deleted last, each with a line in the audit log.

    Raises SettingsError for settings that no run could use, and when what is kept would not fit together any more;
    nothing of the transaction may be committed then.
    """
    for change in changes:
        if change.settings is not None:
            require_usable(change.settings, means.now)
            _write(transaction, change, means)
            _note(transaction, change, means)
    gone = [change for change in changes if change.settings is None]
    tasks_there = documents_of(transaction).tasks if gone else {}
    for change in gone:
        _require_unused(change, tasks_there, {one.name for one in gone if one.kind is SettingsKind.TASK})
        _delete(transaction, change)
        _note(transaction, change, means)
    left = documents_of(transaction)
    _forget_secrets(transaction, gone, users_in(left))
    require_consistent(
        left,
        set(transaction.scalars(select(gateways.c.name))),
        set(transaction.scalars(select(secrets.c.name))),
    )


def _note(transaction: Connection, change: Change, means: ChangeContext) -> None:
    did = f"{change.kind}.{change.what}"
    record(transaction, means.now, means.by, did, change.name, told(change.fields))


def recognise(transaction: Connection, means: ChangeContext) -> int:
    """Find out anew which connections reach the same workspace; how many are known otherwise now."""
    changed = 0
    for one in kept_connections(transaction):
        known = KnownWorkspace(one.settings, one.workspace)
        found = workspace_of(transaction, means.keys, means.environment, one.settings, means.now, known)
        if found != one.workspace:
            transaction.execute(update(connections).where(connections.c.id == one.id).values(workspace=found))
            changed += 1
    if changed:
        _refresh_waiting(transaction)
    return changed


def told(fields: Sequence[FieldChange]) -> str | None:
    """Changes of fields in one text."""
    return "; ".join(f"{one.name}: {shown(one.old)} → {shown(one.new)}" for one in fields) or None


def shown(value: str | None) -> str:
    """The value of a setting, or that it has none."""
    return "none" if value is None else value or "empty"


# --- rows ------------------------------------------------------------------------------------------------------------


def _write(transaction: Connection, change: Change, means: ChangeContext) -> None:
    if isinstance(change.settings, ConnectionSettings):
        _write_connection(transaction, change, change.settings, means)
    elif isinstance(change.settings, TaskSettings):
        _write_task(transaction, change, change.settings, means)
    elif isinstance(change.settings, ChannelSettings):
        _put(transaction, change, means, {})


def _write_connection(
    transaction: Connection, change: Change, settings: ConnectionSettings, means: ChangeContext
) -> None:
    found = kept_connections(transaction, connections.c.name == change.name)
    known = KnownWorkspace(found[0].settings, found[0].workspace) if found else None
    workspace = workspace_of(transaction, means.keys, means.environment, settings, means.now, known)
    _put(transaction, change, means, {"gateway": settings.gateway, "workspace": workspace})
    _refresh_waiting(transaction)


def _write_task(transaction: Connection, change: Change, settings: TaskSettings, means: ChangeContext) -> None:
    source = transaction.scalar(select(connections.c.id).where(connections.c.name == settings.connection))
    if source is None:
        raise SettingsError(
            f"There is no connection {settings.connection[:80]!r} for the task {change.name}.",
            "Make it first: cio-replicate connection create.",
        )
    row = transaction.execute(select(tasks).where(tasks.c.name == change.name)).one_or_none()
    before = settings_from(row.settings, TaskSettings) if row is not None else None
    if before is not None and (before.schedule, before.paused) == (settings.schedule, settings.paused):
        next_at = row.next_at if row is not None else None
    else:
        next_at = None if settings.paused else next_due(settings.schedule, means.now)
    values = {"connection_id": source, "paused": settings.paused, "after_task": settings.after, "next_at": next_at}
    _put(transaction, change, means, values)
    _refresh_waiting(transaction)


def _put(transaction: Connection, change: Change, means: ChangeContext, values: Mapping[str, object]) -> None:
    """Insert or update the row of what has changed."""
    table = _TABLES[change.kind]
    written = {"settings": as_text(change.settings), "changed_at": means.now, **values}
    if change.what is ChangeKind.EDIT:
        transaction.execute(update(table).where(table.c.name == change.name).values(written))
        return
    name = checked_name(change.name, change.kind)
    if transaction.scalar(select(table.c.id).where(table.c.name == name)) is not None:
        raise SettingsError(
            f"There is a {change.kind} {name} already.", f"Choose another name, or edit it: {change.kind} edit {name}."
        )
    if "created_at" in table.c:
        written["created_at"] = means.now
    transaction.execute(insert(table).values(id=uuid.uuid4().hex, name=name, **written))


def _refresh_waiting(transaction: Connection) -> None:
    """Runs that wait are for the gateway, and in the workspace, that their connections have now."""
    of_run = (tasks.c.id == runs.c.task_id) & (connections.c.id == tasks.c.connection_id)
    values = {name: select(connections.c[name]).where(of_run).scalar_subquery() for name in ("workspace", "gateway")}
    transaction.execute(update(runs).where(runs.c.status == "queued").values(values))


def _delete(transaction: Connection, change: Change) -> None:
    table = _TABLES[change.kind]
    row_id = transaction.scalar(select(table.c.id).where(table.c.name == change.name))
    if row_id is None:
        raise not_there(change.kind, change.name)
    if change.kind is SettingsKind.TASK:
        _delete_runs(transaction, row_id, change.name)
    elif change.kind is SettingsKind.CHANNEL:
        transaction.execute(delete(notices).where(notices.c.channel_id == row_id))
    transaction.execute(delete(table).where(table.c.id == row_id))


def _forget_secrets(transaction: Connection, gone: Sequence[Change], used: Collection[str]) -> None:
    """What was stored for what is deleted goes with it."""
    own = [own_secret(change.kind, change.name) for change in gone]
    transaction.execute(delete(secrets).where(secrets.c.name.in_([name for name in own if name not in used])))


def _delete_runs(transaction: Connection, task_id: str, name: str) -> None:
    of_task = runs.c.task_id == task_id
    if transaction.scalar(select(exists().where(of_task, runs.c.status == "running"))):
        raise SettingsError(f"A run of the task {name} goes on.", "Cancel it, or wait for its end.")
    for table in (missed, runs):
        transaction.execute(delete(table).where(table.c.task_id == task_id))


def _require_unused(change: Change, there: Mapping[str, TaskSettings], gone: Collection[str]) -> None:
    """Raises SettingsError while a task that stays names what is deleted."""
    named: dict[SettingsKind, Callable[[TaskSettings], bool]] = {
        SettingsKind.CHANNEL: lambda task: change.name in task.notify,
        SettingsKind.CONNECTION: lambda task: task.connection == change.name,
        SettingsKind.TASK: lambda task: task.after == change.name,
    }
    users = [name for name, task in there.items() if name not in gone and named[change.kind](task)]
    if users:
        raise SettingsError(
            f"The {change.kind} {change.name} is used by the task {' and the task '.join(users)}.",
            "Delete the task first, or let it name another.",
        )


def not_there(kind: SettingsKind, name: str) -> SettingsError:
    """What is said when nothing of that name is kept."""
    return SettingsError(f"There is no {kind} {name[:80]!r}.", f"See what there is: cio-replicate {kind} list.")


def own_secret(kind: SettingsKind, name: str) -> str:
    """The name of the stored secret that is kept for a connection or a channel, and goes with it."""
    return f"{kind}/{name}"
