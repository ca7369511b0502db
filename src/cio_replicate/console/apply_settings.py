"""Apply changes of connections, tasks and channels in one transaction: compare, check, and write all or nothing."""

from __future__ import annotations

import hmac
import re
import secrets as randomness
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from cio_replicate.app.settings import erases, names_of, rules_of, tables_of, treatments_of
from cio_replicate.base.errors import Conflict, InvalidSettings, NotFound, Refused
from cio_replicate.config import connection_options
from cio_replicate.config.connection_options import USUAL, access_token_from
from cio_replicate.config.documents import (
    EVENTS,
    ChannelSettings,
    ConnectionSettings,
    Documents,
    TaskSettings,
    plain,
    stored_names,
)
from cio_replicate.config.options import SourceOptions
from cio_replicate.config.secret_references import is_reference, require_reference, stored_variable
from cio_replicate.console.secrets import OWN, EncryptionKeys, require_own_secrets, revealed, users_in, write_own
from cio_replicate.database.actor import Actor
from cio_replicate.database.audit_log import record
from cio_replicate.database.rows import as_text, documents_of, kept_connections, settings_from
from cio_replicate.database.tables import channels, connections, gateways, missed, notices, runs, secrets, tasks
from cio_replicate.jobs.ports import Dispatch
from cio_replicate.jobs.scheduler import next_due, schedule
from cio_replicate.sinks.addresses import described, is_relative
from cio_replicate.source.client import HOSTS

# What differs between settings that are kept and settings that are wanted, field by field; pure.


Settings = ConnectionSettings | TaskSettings | ChannelSettings


class SettingsKind(StrEnum):
    """What settings are of."""

    CHANNEL = "channel"
    CONNECTION = "connection"
    TASK = "task"


class ChangeKind(StrEnum):
    """What becomes of settings."""

    CREATE = "create"
    EDIT = "edit"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A setting with what it is and what it is to be, as texts; None where there is no value."""

    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one connection, task or channel; `settings` is None when it is deleted."""

    kind: SettingsKind
    name: str
    what: ChangeKind
    settings: Settings | None
    fields: tuple[FieldChange, ...] = ()


def difference(kept: Documents, wanted: Documents, *, prune: bool) -> list[Change]:
    """What brings the settings that are kept to those that are wanted; with `prune`, others are deleted.

    In an order in which it can be done: what others name is made before them, and deleted after them.
    """
    made = [change for kind in SettingsKind for change in _made(kind, _of(kept, kind), _of(wanted, kind))]
    if not prune:
        return made
    gone = [
        Change(kind, name, ChangeKind.DELETE, None)
        for kind in reversed(SettingsKind)
        for name in _of(kept, kind)
        if name not in _of(wanted, kind)
    ]
    return made + gone


def changed_fields(old: Settings | None, new: Settings) -> tuple[FieldChange, ...]:
    """The fields that differ; of what is new, those that are not as they are by default."""
    before = dict(_flat(old)) if old is not None else {}
    if old is None:
        return tuple(FieldChange(name, None, _text(value)) for name, value in _flattened(plain(new)))
    after = dict(_flat(new))
    names = dict.fromkeys([*before, *after])
    return tuple(
        FieldChange(name, _text(before.get(name)), _text(after.get(name)))
        for name in names
        if before.get(name) != after.get(name)
    )


def _made(kind: SettingsKind, kept: Mapping[str, Settings], wanted: Mapping[str, Settings]) -> Iterator[Change]:
    for name, settings in wanted.items():
        if name not in kept:
            yield Change(kind, name, ChangeKind.CREATE, settings, changed_fields(None, settings))
        elif kept[name] != settings:
            yield Change(kind, name, ChangeKind.EDIT, settings, changed_fields(kept[name], settings))


def _of(documents: Documents, kind: SettingsKind) -> Mapping[str, Settings]:
    match kind:
        case SettingsKind.CHANNEL:
            return documents.channels
        case SettingsKind.CONNECTION:
            return documents.connections
        case SettingsKind.TASK:
            return documents.tasks


def _flat(settings: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any dataclass of settings, and what it holds
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            yield from ((f"{one.name}.{name}", within) for name, within in _flat(value))
        else:
            yield one.name, value


def _flattened(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", within) for inner, within in _flattened(value))
        else:
            yield name, value


def _text(value: Any) -> str | None:  # noqa: ANN401 - what a setting holds
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


# Whether connections, tasks and channels fit together: each names only what is there, and no chain is a ring; pure.


def require_consistent(documents: Documents, gateways: Collection[str], secrets: Collection[str]) -> None:
    """Raises Refused, which names what is missing and by what it is named."""
    for name, connection in documents.connections.items():
        if connection.gateway is not None:
            _require_there(f"connection {name}", "data gateway", connection.gateway, gateways)
        readers = ((task, one) for task, one in documents.tasks.items() if one.connection == name)
        require_own_secrets(connection, readers)
    for name, task in documents.tasks.items():
        _require_there(f"task {name}", "connection", task.connection, documents.connections)
        if task.after is not None:
            _require_there(f"task {name}", "task", task.after, documents.tasks)
        for channel in task.notify:
            _require_there(f"task {name}", "channel", channel, documents.channels)
    _require_no_ring({name: task.after for name, task in documents.tasks.items()})
    for secret, users in users_in(documents).items():
        if secret not in secrets:
            raise InvalidSettings(
                f"The {users[0]} names the stored secret {secret}, which there is not.",
                f"Store it first: cio-replicate secret put {secret}.",
            )


def _require_there(user: str, kind: str, name: str, there: Collection[str]) -> None:
    if name in there:
        return
    near = get_close_matches(name, there, n=1)
    known = f"there are: {', '.join(sorted(there))}" if there else "there is none yet"
    fix = f"Perhaps {near[0]} is meant." if near else f"Make it first, or name another: {known}."
    raise InvalidSettings(f"The {user} names the {kind} {name[:80]!r}, which there is not.", fix)


def _require_no_ring(after: Mapping[str, str | None]) -> None:
    for first in after:
        chain, name = [first], after[first]
        while name is not None and name not in chain:
            chain.append(name)
            name = after.get(name)
        if name == first:
            raise InvalidSettings(
                f"Each of these tasks waits for another of them: {', '.join(chain)}.",
                "Let one of them run by a schedule instead of ‹after›.",
            )


# Whether settings can be kept: checked as a run checks them, but without a secret and without a network; pure.


DAY = 86_400
MOST_RETRIES = 20
MISSED = ("once", "skip")
_PLAIN_HOOK = re.compile(r"(json|form|xml)s?://[^\s@?#]+")
_PLAIN_MAIL = re.compile(r"mailtos?://[^\s@:/?#]+(:\d+)?/?\?to=[^\s&#]+(&from=[^\s&#]+)?")
#: Stands for a secret that is not looked for: what is checked does not depend on its value.
_ANY = {"ANY": "any text that is long enough"}


def require_usable(kept: ConnectionSettings | TaskSettings | ChannelSettings, now: float) -> None:
    """Raises Refused for settings that no run could use. A refusal shows nothing that may be a secret."""
    if isinstance(kept, ConnectionSettings):
        _require_connection(kept, now)
    elif isinstance(kept, TaskSettings):
        _require_task(kept)
    else:
        _require_channel(kept)


def require_all_usable(documents: Documents, now: float) -> None:
    """The same for all that files say; a refusal names the entry."""
    for section, entries in (
        ("connections", documents.connections),
        ("tasks", documents.tasks),
        ("channels", documents.channels),
    ):
        for name, one in entries.items():
            try:
                require_usable(one, now)
            except InvalidSettings as error:
                raise InvalidSettings(f"In {section}.{name}: {error.cause}", error.fix) from None


def _require_connection(kept: ConnectionSettings, now: float) -> None:
    if kept.access_token_from is not None:
        require_reference(kept.access_token_from, "‹access_token_from›")
    connection_options.region(kept.region)
    if kept.api_url is not None:
        connection_options.api_url(kept.api_url)
    connection_options.requests_per_second(kept.max_rps)
    connection_options.budget_share(kept.budget_share)
    connection_options.start_date(kept.start_date, now)


def _require_task(kept: TaskSettings) -> None:
    _require_places(kept.to)
    connection_options.dataset(kept.dataset)
    if kept.salt is not None:
        require_reference(kept.salt, "‹salt›")
        kept = replace(kept, salt="env:ANY")
    names = names_of(SourceOptions(tables=kept.tables, exclude=kept.exclude))
    chosen = tables_of(names, kept, _ANY)
    treatments_of(kept, names)
    rules_of(kept, chosen, kept, _ANY)
    erases(kept, _ANY)
    if kept.schedule is not None:
        schedule(kept.schedule)
        if kept.schedule.missed not in MISSED:
            raise InvalidSettings(
                f"There is no way {kept.schedule.missed[:60]!r} to treat missed runs (‹missed›).",
                f"Choose {' or '.join(MISSED)}.",
            )
    if not 0 <= kept.retries <= MOST_RETRIES:
        raise InvalidSettings(
            f"The number of retries, {kept.retries}, is out of range.", f"Choose from 0 to {MOST_RETRIES}."
        )
    if not 1 <= kept.retry_pause <= DAY:
        raise InvalidSettings(
            f"The pause before a retry, {kept.retry_pause} seconds, is out of range.", f"Choose from 1 to {DAY}."
        )


def _require_places(addresses: list[str]) -> None:
    if not addresses:
        raise InvalidSettings("The task has no destination.", "Name one with ‹to›.")
    for text in addresses:
        described(text)
        if is_relative(text):
            scheme, _, rest = text.partition("://")
            raise InvalidSettings(
                f"The destination {scheme} names a place in whatever folder the run is started in.",
                f"Write the whole path: {scheme}:////folder/{rest.lstrip('/').partition('?')[0]}.",
            )


def _require_channel(kept: ChannelSettings) -> None:
    if not (is_reference(kept.url) or _PLAIN_HOOK.fullmatch(kept.url) or _PLAIN_MAIL.fullmatch(kept.url)):
        raise InvalidSettings(
            "The address of the channel may hold a secret.",
            "Store it and write stored:NAME, or name where it is kept: env:NAME, file:/path or keyring:service/user.",
        )
    for event in kept.events:
        if event not in EVENTS:
            raise InvalidSettings(f"There is no event {event[:60]!r}.", f"Choose from: {', '.join(EVENTS)}.")
    if not kept.events:
        raise InvalidSettings("The channel is told of nothing.", f"Choose from: {', '.join(EVENTS)}.")


# How connections, tasks, channels and gateways may be called.


_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def checked_name(name: str, kind: str) -> str:
    """The name, which can stand in a file, a command and an address as it is. Raises Refused for any other."""
    if not _NAME.fullmatch(name):
        raise InvalidSettings(
            f"A {kind} cannot be called {name[:80]!r}.",
            "Use small letters, digits and hyphens, a letter or digit first, 63 at most.",
        )
    return name


# Which connections reach the same workspace, so that their runs share its request budget: known without a network.


FINGERPRINTS = f"{OWN}fingerprints"  # the key of the digests: it outlives a rotation, so that digests stay comparable
CUSTOMER_IO = "customer.io"  # all of its regions: a token is known to one of them alone


@dataclass(frozen=True, slots=True)
class KnownWorkspace:
    """What is known of a connection from before: its settings, and its workspace by them."""

    settings: ConnectionSettings
    workspace: str


def workspace_of(
    connection: Connection,
    keys: EncryptionKeys,
    environment: Mapping[str, str],
    settings: ConnectionSettings,
    now: int,
    known: KnownWorkspace | None = None,
) -> str:
    """The same text for settings with the same access token at the same API; call it in a transaction that writes.

    Where the token cannot be found from here, as on a data gateway, it is known by where it is kept there, unless it
    was found once at that place. What is returned tells nothing of a token to whoever has the database alone.
    """
    host = _host(settings)
    try:
        token = None if settings.gateway is not None else _token(connection, keys, environment, settings)
    except Refused:
        token = None
    if token is None:
        if known is not None and _place(known.settings) == _place(settings):
            return known.workspace
        return f"reference:{sha256(_place(settings).encode()).hexdigest()[:40]}"
    key = _key(connection, keys, now)
    return f"token:{hmac.new(key.encode(), (host + token).encode(), sha256).hexdigest()[:40]}"


def _place(settings: ConnectionSettings) -> str:
    """Where the token is, and for which API."""
    return "\n".join((_host(settings), settings.gateway or "", settings.access_token_from or USUAL))


def _host(settings: ConnectionSettings) -> str:
    url = connection_options.api_url(settings.api_url) if settings.api_url is not None else None
    return CUSTOMER_IO if url is None or url in HOSTS.values() else url


def _token(
    connection: Connection, keys: EncryptionKeys, environment: Mapping[str, str], settings: ConnectionSettings
) -> str:
    stored = revealed(connection, keys, stored_names(settings))
    found = {stored_variable(name): value for name, value in stored.items()}
    return access_token_from(settings.access_token_from, {**environment, **found}).reveal()


def _key(connection: Connection, keys: EncryptionKeys, now: int) -> str:
    if connection.scalar(select(secrets.c.name).where(secrets.c.name == FINGERPRINTS)) is None:
        write_own(connection, keys, FINGERPRINTS, randomness.token_hex(32), now)
    return revealed(connection, keys, [FINGERPRINTS])[FINGERPRINTS]


_TABLES: dict[SettingsKind, Table] = {
    SettingsKind.CHANNEL: channels,
    SettingsKind.CONNECTION: connections,
    SettingsKind.TASK: tasks,
}


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """What a change needs besides its transaction: who makes it, when, where secrets are found, what runs tasks."""

    by: Actor
    now: int
    keys: EncryptionKeys
    environment: Mapping[str, str]
    dispatch: Dispatch


def perform(transaction: Connection, changes: Sequence[Change], means: ChangeContext) -> None:
    """Bring these changes about, what is deleted last, each with a line in the audit log.

    Raises Refused for settings that no run could use, and when what is kept would not fit together any more;
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
        _delete(transaction, change, means.dispatch)
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
        raise InvalidSettings(
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
        raise Conflict(
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


def _delete(transaction: Connection, change: Change, dispatch: Dispatch) -> None:
    table = _TABLES[change.kind]
    row_id = transaction.scalar(select(table.c.id).where(table.c.name == change.name))
    if row_id is None:
        raise not_there(change.kind, change.name)
    if change.kind is SettingsKind.TASK:
        if not dispatch.forget(transaction, row_id):
            raise Conflict(f"A run of the task {change.name} goes on.", "Cancel it, or wait for its end.")
        transaction.execute(delete(missed).where(missed.c.task_id == row_id))
    elif change.kind is SettingsKind.CHANNEL:
        transaction.execute(delete(notices).where(notices.c.channel_id == row_id))
    transaction.execute(delete(table).where(table.c.id == row_id))


def _forget_secrets(transaction: Connection, gone: Sequence[Change], used: Collection[str]) -> None:
    """What was stored for what is deleted goes with it."""
    own = [own_secret(change.kind, change.name) for change in gone]
    transaction.execute(delete(secrets).where(secrets.c.name.in_([name for name in own if name not in used])))


def _require_unused(change: Change, there: Mapping[str, TaskSettings], gone: Collection[str]) -> None:
    """Raises Refused while a task that stays names what is deleted."""
    named: dict[SettingsKind, Callable[[TaskSettings], bool]] = {
        SettingsKind.CHANNEL: lambda task: change.name in task.notify,
        SettingsKind.CONNECTION: lambda task: task.connection == change.name,
        SettingsKind.TASK: lambda task: task.after == change.name,
    }
    users = [name for name, task in there.items() if name not in gone and named[change.kind](task)]
    if users:
        raise Conflict(
            f"The {change.kind} {change.name} is used by the task {' and the task '.join(users)}.",
            "Delete the task first, or let it name another.",
        )


def not_there(kind: SettingsKind, name: str) -> NotFound:
    """What is said when nothing of that name is kept."""
    return NotFound(f"There is no {kind} {name[:80]!r}.", f"See what there is: cio-replicate {kind} list.")


def own_secret(kind: SettingsKind, name: str) -> str:
    """The name of the stored secret that is kept for a connection or a channel, and goes with it."""
    return f"{kind}/{name}"
