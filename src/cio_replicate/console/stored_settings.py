"""Create, show, edit and delete connections, tasks and channels."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

import msgspec
from sqlalchemy import Connection, select, update

from cio_replicate.app.probe import inquire
from cio_replicate.app.settings import connection_of
from cio_replicate.base.errors import Conflict, InvalidSettings, Refused
from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.connection_options import access_token
from cio_replicate.config.documents import PREFIX, ChannelSettings, ConnectionSettings, TaskSettings, stored_names
from cio_replicate.config.secret_references import is_reference, resolved, stored_variable
from cio_replicate.console import secrets
from cio_replicate.console.apply_settings import (
    Change,
    ChangeContext,
    ChangeKind,
    FieldChange,
    changed_fields,
    checked_name,
    not_there,
    own_secret,
    perform,
    recognise,
    require_usable,
)
from cio_replicate.console.metadata import Metadata, joined
from cio_replicate.console.secrets import EncryptionKeys, with_revealed
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import (
    Settings,
    SettingsKind,
    Stored,
    StoredChannel,
    StoredConnection,
    StoredTask,
    stored,
)
from cio_replicate.database.tables import connections
from cio_replicate.jobs.ports import Dispatch, ProbeRequest, ProbeResult, refused

S = TypeVar("S", bound=Settings)


class StoredSettings(Generic[Stored, S]):
    """The settings of one kind. Each change is in the audit log; Refused says what cannot be done."""

    kind: ClassVar[SettingsKind]
    _stored: type[Stored]
    _secret_setting: ClassVar[str] = ""  # the one that can name a secret that is stored with the settings

    def __init__(
        self,
        database: Database,
        keys: EncryptionKeys,
        clock: Clock,
        dispatch: Dispatch,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._dispatch = dispatch
        self._environment = os.environ if environment is None else environment

    def all(self) -> list[Stored]:
        """Return all of them, by name."""
        with self._database.reading() as transaction:
            return stored(transaction, self._stored)

    def named(self, name: str) -> Stored:
        """Return one of them. Raises NotFound."""
        with self._database.reading() as transaction:
            return self._named(transaction, name)

    def create(self, name: str, settings: S, by: Actor, secret: Secret | None = None) -> Stored:
        """Create one; a schedule counts from now on. A `secret` is stored for it, encrypted, and deleted with it."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means = self._means(by)
            if secret is not None:
                settings = self._with_secret(transaction, name, settings, secret, means)
            change = Change(self.kind, name, ChangeKind.CREATE, settings, changed_fields(None, settings))
            perform(transaction, [change], means)
            return self._named(transaction, name)

    def edit(self, name: str, settings: S, by: Actor, secret: Secret | None = None) -> tuple[FieldChange, ...]:
        """Replace the settings; return the fields that changed. A `secret` takes the place of the one stored for it.

        A run that goes on keeps the settings that it has.
        """
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            return self._edit(transaction, self._named(transaction, name), settings, by, secret)

    def delete(self, name: str, by: Actor) -> None:
        """Delete one that nothing else uses, with its history; what was copied stays where it is."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            perform(transaction, [Change(self.kind, name, ChangeKind.DELETE, None)], self._means(by))

    def _means(self, by: Actor) -> ChangeContext:
        return ChangeContext(by, int(self._clock.now()), self._keys, self._environment, self._dispatch)

    def _named(self, transaction: Connection, name: str) -> Stored:
        found = stored(transaction, self._stored, self.kind.table.c.name == name)
        if not found:
            raise not_there(self.kind, name)
        return found[0]

    def _edit(
        self, transaction: Connection, before: Stored, settings: S, by: Actor, secret: Secret | None = None
    ) -> tuple[FieldChange, ...]:
        means = self._means(by)
        if secret is not None:
            settings = self._with_secret(transaction, before.name, settings, secret, means)
        changed = changed_fields(before.settings, settings)
        if changed or secret is not None:
            perform(transaction, [Change(self.kind, before.name, ChangeKind.EDIT, settings, changed)], means)
        return changed

    def _with_secret(self, transaction: Connection, name: str, settings: S, secret: Secret, means: ChangeContext) -> S:
        """Store the secret; return the settings with its name in its place."""
        own = own_secret(self.kind, checked_name(name, self.kind))
        secrets.put(transaction, means.keys, own, secret, means.now, means.by)
        named = {self._secret_setting: f"{PREFIX}{own}"}
        return replace(settings, **named)  # type: ignore[arg-type] # which settings these are is known to the kind


class Connections(StoredSettings[StoredConnection, ConnectionSettings]):
    """The connections, and what the API says when it is asked by their settings."""

    kind = SettingsKind.CONNECTION
    _stored = StoredConnection
    _secret_setting = "access_token_from"  # noqa: S105 - the name of a setting

    def recognise(self) -> int:
        """Find out again which connections reach the same workspace, by the tokens that can be found from here.

        For a program that executes runs to do when it begins, since it may find tokens that who made a connection could
        not, and after a key was lost. Returns how many are known otherwise now.
        """
        with self._database.writing() as transaction:
            return recognise(transaction, self._means(LOCAL))

    def inquire(
        self, settings: ConnectionSettings, about: ProbeRequest, by: Actor, token: Secret | None = None
    ) -> ProbeResult:
        """Ask the API by these settings, which need not be stored yet; what is wrong with them is in the answer.

        A connection with a data gateway is asked about there: Refused says so.
        """
        by.require(Role.OPERATOR if token is None else Role.ADMIN)
        if settings.gateway is not None:
            raise Conflict(f"The connection is reached from the data gateway {settings.gateway} alone.", "Ask there.")
        try:
            require_usable(settings, self._clock.now())
            environment = self._with_stored(settings, token)
            if token is not None:
                settings = replace(settings, access_token_from=f"{PREFIX}{_GIVEN}")
            connection = connection_of(settings, self._clock, settings.start_date, environment)
        except Refused as error:
            return refused(error)
        return asyncio.run(inquire(connection, about, self._clock))

    def test(self, name: str, by: Actor) -> ProbeResult:
        """Find out whether a connection's key works, and which tables it may read."""
        return self.inquire(self.named(name).settings, ProbeRequest.ACCESS, by)

    def open_metadata(self, name: str, by: Actor) -> Metadata:
        """Find out what the tables of a connection hold and cost, and store the answer."""
        opened = self.named(name)
        return self.keep_metadata(opened.id, self.inquire(opened.settings, ProbeRequest.TABLES, by))

    def keep_metadata(self, connection_id: str, found: ProbeResult) -> Metadata:
        """Store what was found out, by a gateway perhaps; where nothing was, what was found before stays stored."""
        now = int(self._clock.now())
        if found.works:
            text = msgspec.json.encode(_OpenedMetadata(now, found)).decode()
            with self._database.writing() as transaction:
                mine = connections.c.id == connection_id
                transaction.execute(update(connections).where(mine).values(metadata=text))
        return joined(found, now)

    def last_metadata(self, name: str) -> Metadata:
        """Return what was found out last; before that, what is known of the tables without asking."""
        with self._database.reading() as transaction:
            mine = connections.c.id == self._named(transaction, name).id
            text = transaction.scalar(select(connections.c.metadata).where(mine))
        opened = msgspec.json.decode(text, type=_OpenedMetadata) if text is not None else None
        return joined(opened.found, opened.at) if opened is not None else joined(None, None)

    def _with_secret(
        self,
        transaction: Connection,
        name: str,
        settings: ConnectionSettings,
        secret: Secret,
        means: ChangeContext,
    ) -> ConnectionSettings:
        if settings.gateway is not None:
            raise InvalidSettings(
                "The token of a connection with a data gateway is kept where the gateway runs, not here.",
                "Leave it out, and say by ‹access_token_from› where it is there.",
            )
        return super()._with_secret(transaction, name, settings, _sound(secret), means)

    def _with_stored(self, settings: ConnectionSettings, token: Secret | None) -> Mapping[str, str]:
        """Return the environment with the stored secrets that these settings name, or only the token that was given."""
        if token is not None:
            return {stored_variable(_GIVEN): _sound(token).reveal()}
        names = stored_names(settings)
        if not names:
            return self._environment
        with self._database.writing() as transaction:
            return with_revealed(transaction, self._keys, self._environment, names)


class _OpenedMetadata(msgspec.Struct):
    """What was found out of a connection, and when."""

    at: int
    found: ProbeResult


_GIVEN = "given"  # stands for a token that is not stored yet


def _sound(token: Secret) -> Secret:
    try:
        return access_token(token.reveal())
    except InvalidSettings:
        raise InvalidSettings(
            "The access token is empty, or has characters that no App API key has.", "Copy it again, whole."
        ) from None


class Tasks(StoredSettings[StoredTask, TaskSettings]):
    """The tasks."""

    kind = SettingsKind.TASK
    _stored = StoredTask

    def pause(self, name: str, by: Actor, *, paused: bool = True) -> bool:
        """Pause or resume a task; return whether that changed anything.

        Times that come while it is paused are not missed runs: its schedule counts from when it is resumed.
        """
        by.require(Role.OPERATOR)
        with self._database.writing() as transaction:
            before = self._named(transaction, name)
            return bool(self._edit(transaction, before, replace(before.settings, paused=paused), by))


class Channels(StoredSettings[StoredChannel, ChannelSettings]):
    """The channels, where notifications go."""

    kind = SettingsKind.CHANNEL
    _stored = StoredChannel
    _secret_setting = "url"  # noqa: S105 - the name of a setting

    def address(self, name: str) -> Secret:
        """Return the address of a channel, with what is secret in it, for who sends to it."""
        with self._database.writing() as transaction:
            return address_of(transaction, self._keys, self._environment, self._named(transaction, name).settings)

    def _with_secret(
        self, transaction: Connection, name: str, settings: ChannelSettings, secret: Secret, means: ChangeContext
    ) -> ChannelSettings:
        return super()._with_secret(transaction, name, settings, Secret(secret.reveal().strip()), means)


def address_of(
    transaction: Connection, keys: EncryptionKeys, environment: Mapping[str, str], settings: ChannelSettings
) -> Secret:
    """Return the address that a channel's settings lead to; call it in a transaction that writes. Raises Refused."""
    if not is_reference(settings.url):
        return Secret(settings.url)
    found = with_revealed(transaction, keys, environment, stored_names(settings))
    return resolved(settings.url, found, "the address of the channel")
