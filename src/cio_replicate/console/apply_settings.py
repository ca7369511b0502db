"""Apply changes of connections, tasks and channels in one transaction: compare, check, and write all or nothing."""

from __future__ import annotations

import hmac
import re
import secrets as randomness
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

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
from cio_replicate.config.secret_references import is_reference, require_reference
from cio_replicate.console.secrets import (
    OWN,
    EncryptionKeys,
    require_own_secrets,
    revealed,
    users_in,
    with_revealed,
    write_own,
)
from cio_replicate.database.actor import Actor
from cio_replicate.database.audit_log import record
from cio_replicate.database.rows import (
    Settings,
    SettingsKind,
    StoredConnection,
    StoredTask,
    as_text,
    documents_of,
    entries,
    stored,
)
from cio_replicate.database.tables import connections, gateways, missed, notices, runs, secrets, tasks
from cio_replicate.jobs.ports import Dispatch
from cio_replicate.jobs.scheduler import next_due, schedule
from cio_replicate.sinks.addresses import described, is_relative
from cio_replicate.source.client import HOSTS

# What differs between settings that are stored and settings that are wanted, field by field; pure.


class ChangeKind(StrEnum):
    """What is done with settings."""

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
    """What is done with one connection, task or channel; `settings` is None when it is deleted."""

    kind: SettingsKind
    name: str
    what: ChangeKind
    settings: Settings | None
    fields: tuple[FieldChange, ...] = ()


def difference(there: Documents, wanted: Documents, *, prune: bool) -> list[Change]:
    """Return the changes that turn the stored settings into the wanted ones; with `prune`, others are deleted.

    In an order in which it can be done: what others name is created before them, and deleted after them.
    """
    changes: list[Change] = []
    for kind in SettingsKind:
        before = kind.settings_in(there)
        for name, settings in kind.settings_in(wanted).items():
            if before.get(name) != settings:
                what = ChangeKind.EDIT if name in before else ChangeKind.CREATE
                changes.append(Change(kind, name, what, settings, changed_fields(before.get(name), settings)))
    for kind in reversed(SettingsKind) if prune else ():
        gone = [name for name in kind.settings_in(there) if name not in kind.settings_in(wanted)]
        changes += [Change(kind, name, ChangeKind.DELETE, None) for name in gone]
    return changes


def changed_fields(old: Settings | None, new: Settings) -> tuple[FieldChange, ...]:
    """Return the fields that differ; of new settings, those that are not as they are by default."""
    if old is None:
        return tuple(FieldChange(name, None, _text(value)) for name, value in _flat(plain(new)))
    before, after = dict(_flat(asdict(old))), dict(_flat(asdict(new)))
    return tuple(
        FieldChange(name, _text(before.get(name)), _text(after.get(name)))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", within) for inner, within in _flat(value))
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


# Whether settings can be stored: checked as a run checks them, but without a secret and without a network; pure.

DAY = 86_400
MOST_RETRIES = 20
MISSED = ("once", "skip")
_PLAIN_HOOK = re.compile(r"(json|form|xml)s?://[^\s@?#]+")
_PLAIN_MAIL = re.compile(r"mailtos?://[^\s@:/?#]+(:\d+)?/?\?to=[^\s&#]+(&from=[^\s&#]+)?")
#: Stands for a secret that is not looked for: what is checked does not depend on its value.
_ANY = {"ANY": "any text that is long enough"}


def require_usable(settings: Settings, now: float) -> None:
    """Raises Refused for settings that no run could use. A refusal shows nothing that may be a secret."""
    if isinstance(settings, ConnectionSettings):
        _require_connection(settings, now)
    elif isinstance(settings, TaskSettings):
        _require_task(settings)
    else:
        _require_channel(settings)


def require_all_usable(documents: Documents, now: float) -> None:
    """The same for all that files say; a refusal names the entry."""
    for kind, name, settings in entries(documents):
        try:
            require_usable(settings, now)
        except InvalidSettings as error:
            raise InvalidSettings(f"In {kind}s.{name}: {error.cause}", error.fix) from None


def _require_connection(settings: ConnectionSettings, now: float) -> None:
    if settings.access_token_from is not None:
        require_reference(settings.access_token_from, "‹access_token_from›")
    connection_options.region(settings.region)
    if settings.api_url is not None:
        connection_options.api_url(settings.api_url)
    connection_options.requests_per_second(settings.max_rps)
    connection_options.budget_share(settings.budget_share)
    connection_options.start_date(settings.start_date, now)


def _require_task(settings: TaskSettings) -> None:
    _require_places(settings.to)
    connection_options.dataset(settings.dataset)
    if settings.salt is not None:
        require_reference(settings.salt, "‹salt›")
        settings = replace(settings, salt="env:ANY")
    names = names_of(SourceOptions(tables=settings.tables, exclude=settings.exclude))
    chosen = tables_of(names, settings, _ANY)
    treatments_of(settings, names)
    rules_of(settings, chosen, settings, _ANY)
    erases(settings, _ANY)
    if settings.schedule is not None:
        schedule(settings.schedule)
        if settings.schedule.missed not in MISSED:
            raise InvalidSettings(
                f"There is no way {settings.schedule.missed[:60]!r} to treat missed runs (‹missed›).",
                f"Choose {' or '.join(MISSED)}.",
            )
    if not 0 <= settings.retries <= MOST_RETRIES:
        raise InvalidSettings(
            f"The number of retries, {settings.retries}, is out of range.", f"Choose from 0 to {MOST_RETRIES}."
        )
    if not 1 <= settings.retry_pause <= DAY:
        raise InvalidSettings(
            f"The pause before a retry, {settings.retry_pause} seconds, is out of range.", f"Choose from 1 to {DAY}."
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


def _require_channel(settings: ChannelSettings) -> None:
    if not (is_reference(settings.url) or _PLAIN_HOOK.fullmatch(settings.url) or _PLAIN_MAIL.fullmatch(settings.url)):
        raise InvalidSettings(
            "The address of the channel may hold a secret.",
            "Store it and write stored:NAME, or name where it is kept: env:NAME, file:/path or keyring:service/user.",
        )
    for event in settings.events:
        if event not in EVENTS:
            raise InvalidSettings(f"There is no event {event[:60]!r}.", f"Choose from: {', '.join(EVENTS)}.")
    if not settings.events:
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
class ChangeContext:
    """What a change needs besides its transaction: who makes it, when, where secrets are found, what runs tasks."""

    by: Actor
    now: int
    keys: EncryptionKeys
    environment: Mapping[str, str]
    dispatch: Dispatch


def workspace_of(
    transaction: Connection, settings: ConnectionSettings, before: StoredConnection | None, means: ChangeContext
) -> str:
    """Return the same text for settings with the same access token at the same API.

    Where the token cannot be found from here, as on a data gateway, it is known by where it is kept there, unless it
    was found once at that place: `before` is the connection as it was. The text reveals no token
    to somebody who has the database alone. To be called in a transaction that writes.
    """
    try:
        token = None if settings.gateway is not None else _token(transaction, settings, means)
    except Refused:
        token = None
    if token is None:
        if before is not None and _place(before.settings) == _place(settings):
            return before.workspace
        return f"reference:{sha256(_place(settings).encode()).hexdigest()[:40]}"
    if transaction.scalar(select(secrets.c.name).where(secrets.c.name == FINGERPRINTS)) is None:
        write_own(transaction, means.keys, FINGERPRINTS, randomness.token_hex(32), means.now)
    key = revealed(transaction, means.keys, [FINGERPRINTS])[FINGERPRINTS]
    return f"token:{hmac.new(key.encode(), (_host(settings) + token).encode(), sha256).hexdigest()[:40]}"


def _place(settings: ConnectionSettings) -> str:
    """Return where the token is, and for which API."""
    return "\n".join((_host(settings), settings.gateway or "", settings.access_token_from or USUAL))


def _host(settings: ConnectionSettings) -> str:
    url = connection_options.api_url(settings.api_url) if settings.api_url is not None else None
    return CUSTOMER_IO if url is None or url in HOSTS.values() else url


def _token(transaction: Connection, settings: ConnectionSettings, means: ChangeContext) -> str:
    found = with_revealed(transaction, means.keys, means.environment, stored_names(settings))
    return access_token_from(settings.access_token_from, found).reveal()


# Changes are made in one transaction, and nothing of it is committed when they do not fit together.


def perform(transaction: Connection, changes: Sequence[Change], means: ChangeContext) -> None:
    """Make these changes, deletions last, each with a line in the audit log.

    Raises Refused for settings that no run could use, and when the stored settings would not fit together any more;
    nothing of the transaction may be committed then.
    """
    for change in changes:
        if change.settings is not None:
            require_usable(change.settings, means.now)
            _write(transaction, change, change.settings, means)
            _record(transaction, change, means)
    gone = [change for change in changes if change.settings is None]
    tasks_there = documents_of(transaction).tasks if gone else {}
    for change in gone:
        _require_unused(change, tasks_there, {one.name for one in gone if one.kind is SettingsKind.TASK})
        _delete(transaction, change, means.dispatch)
        _record(transaction, change, means)
    left = documents_of(transaction)
    used = users_in(left)
    unused = [name for one in gone if (name := own_secret(one.kind, one.name)) not in used]
    transaction.execute(delete(secrets).where(secrets.c.name.in_(unused)))
    require_consistent(
        left,
        set(transaction.scalars(select(gateways.c.name))),
        set(transaction.scalars(select(secrets.c.name))),
    )


def _record(transaction: Connection, change: Change, means: ChangeContext) -> None:
    changed = "; ".join(f"{one.name}: {shown(one.old)} → {shown(one.new)}" for one in change.fields)
    record(transaction, means.now, means.by, f"{change.kind}.{change.what}", change.name, changed or None)


def recognise(transaction: Connection, means: ChangeContext) -> int:
    """Find out again which connections reach the same workspace; return how many are known otherwise now."""
    changed = 0
    for one in stored(transaction, StoredConnection):
        found = workspace_of(transaction, one.settings, one, means)
        if found != one.workspace:
            transaction.execute(update(connections).where(connections.c.id == one.id).values(workspace=found))
            changed += 1
    if changed:
        _refresh_waiting(transaction)
    return changed


def shown(value: str | None) -> str:
    """Return the value of a setting, or that it has none."""
    return "none" if value is None else value or "empty"


def _write(transaction: Connection, change: Change, settings: Settings, means: ChangeContext) -> None:
    """Insert or update the row of what has changed."""
    table = change.kind.table
    derived = _derived(transaction, change.name, settings, means)
    values = {"settings": as_text(settings), "changed_at": means.now, **derived}
    if change.what is ChangeKind.EDIT:
        transaction.execute(update(table).where(table.c.name == change.name).values(values))
    else:
        name = checked_name(change.name, change.kind)
        if transaction.scalar(select(table.c.id).where(table.c.name == name)) is not None:
            fix = f"Choose another name, or edit it: {change.kind} edit {name}."
            raise Conflict(f"There is a {change.kind} {name} already.", fix)
        if "created_at" in table.c:
            values["created_at"] = means.now
        transaction.execute(insert(table).values(id=uuid.uuid4().hex, name=name, **values))
    if change.kind is not SettingsKind.CHANNEL:
        _refresh_waiting(transaction)


def _derived(transaction: Connection, name: str, settings: Settings, means: ChangeContext) -> dict[str, object]:
    """Return the columns that follow from settings, which queries look for."""
    if isinstance(settings, ConnectionSettings):
        connection = next(iter(stored(transaction, StoredConnection, connections.c.name == name)), None)
        return {"gateway": settings.gateway, "workspace": workspace_of(transaction, settings, connection, means)}
    if isinstance(settings, ChannelSettings):
        return {}
    source = transaction.scalar(select(connections.c.id).where(connections.c.name == settings.connection))
    if source is None:
        raise InvalidSettings(
            f"There is no connection {settings.connection[:80]!r} for the task {name}.",
            "Make it first: cio-replicate connection create.",
        )
    task = next(iter(stored(transaction, StoredTask, tasks.c.name == name)), None)
    if task is not None and (task.settings.schedule, task.settings.paused) == (settings.schedule, settings.paused):
        next_at = task.next_at
    else:
        next_at = None if settings.paused else next_due(settings.schedule, means.now)
    return {"connection_id": source, "paused": settings.paused, "after_task": settings.after, "next_at": next_at}


def _refresh_waiting(transaction: Connection) -> None:
    """Give queued runs the gateway and the workspace that their connections have now."""
    of_run = (tasks.c.id == runs.c.task_id) & (connections.c.id == tasks.c.connection_id)
    values = {name: select(connections.c[name]).where(of_run).scalar_subquery() for name in ("workspace", "gateway")}
    transaction.execute(update(runs).where(runs.c.status == "queued").values(values))


def _delete(transaction: Connection, change: Change, dispatch: Dispatch) -> None:
    table = change.kind.table
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


def _require_unused(change: Change, there: Mapping[str, TaskSettings], gone: Collection[str]) -> None:
    """Raises Refused while a task that stays names what is deleted."""
    users = [name for name, task in there.items() if name not in gone and change.name in _named(task, change.kind)]
    if users:
        raise Conflict(
            f"The {change.kind} {change.name} is used by the task {' and the task '.join(users)}.",
            "Delete the task first, or let it name another.",
        )


def _named(task: TaskSettings, kind: SettingsKind) -> Collection[str | None]:
    """Return the names of a kind that a task has in its settings."""
    if kind is SettingsKind.CHANNEL:
        return task.notify
    return [task.connection if kind is SettingsKind.CONNECTION else task.after]


def not_there(kind: SettingsKind, name: str) -> NotFound:
    """Return the error for a name that does not exist."""
    return NotFound(f"There is no {kind} {name[:80]!r}.", f"See what there is: cio-replicate {kind} list.")


def own_secret(kind: SettingsKind, name: str) -> str:
    """Return the name of the secret that is stored for a connection or a channel, and deleted with it."""
    return f"{kind}/{name}"
