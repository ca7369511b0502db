"""Create, show, edit and delete connections, tasks and channels."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

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
    SettingsKind,
    changed_fields,
    checked_name,
    not_there,
    own_secret,
    perform,
    recognise,
    require_usable,
)
from cio_replicate.console.metadata import Metadata, keep, last_opened
from cio_replicate.console.secrets import EncryptionKeys
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import (
    StoredChannel,
    StoredConnection,
    StoredTask,
    kept_channels,
    kept_connections,
    kept_tasks,
)
from cio_replicate.database.tables import channels, connections, tasks
from cio_replicate.jobs.ports import Dispatch, ProbeRequest, ProbeResult, refused


class _StoredSettings:
    """What a change of connections, tasks or channels needs besides the settings."""

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

    def _means(self, by: Actor) -> ChangeContext:
        return ChangeContext(by, int(self._clock.now()), self._keys, self._environment, self._dispatch)


class Connections(_StoredSettings):
    """The connections. Whoever changes one is named in the audit log; InvalidSettings says what cannot be done."""

    def all(self) -> list[StoredConnection]:
        """Every connection, by name."""
        with self._database.reading() as transaction:
            return kept_connections(transaction)

    def named(self, name: str) -> StoredConnection:
        """One connection."""
        with self._database.reading() as transaction:
            return _named(transaction, name)

    def create(
        self, name: str, settings: ConnectionSettings, by: Actor, token: Secret | None = None
    ) -> StoredConnection:
        """Make a connection. A `token` is stored for it, encrypted, and goes when the connection does."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means = self._means(by)
            if token is not None:
                settings = self._with_token(transaction, name, settings, token, means)
            changes = [
                Change(SettingsKind.CONNECTION, name, ChangeKind.CREATE, settings, changed_fields(None, settings))
            ]
            perform(transaction, changes, means)
            return _named(transaction, name)

    def edit(
        self, name: str, settings: ConnectionSettings, by: Actor, token: Secret | None = None
    ) -> tuple[FieldChange, ...]:
        """Give a connection these settings; the fields that are others now. A `token` takes the place of its own."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means, kept = self._means(by), _named(transaction, name)
            if token is not None:
                settings = self._with_token(transaction, name, settings, token, means)
            fields = changed_fields(kept.settings, settings)
            if fields or token is not None:
                perform(transaction, [Change(SettingsKind.CONNECTION, name, ChangeKind.EDIT, settings, fields)], means)
            return fields

    def delete(self, name: str, by: Actor) -> None:
        """Delete a connection that no task uses; what was copied stays where it is."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            perform(transaction, [Change(SettingsKind.CONNECTION, name, ChangeKind.DELETE, None)], self._means(by))

    def recognise(self) -> int:
        """Find out anew which connections reach the same workspace, by the tokens that can be found from here.

        For a program that executes runs to do when it begins, since it may find tokens that who made a connection could
        not, and after a key was lost. Returns how many are known otherwise now.
        """
        with self._database.writing() as transaction:
            return recognise(transaction, self._means(LOCAL))

    def inquire(
        self, settings: ConnectionSettings, about: ProbeRequest, by: Actor, token: Secret | None = None
    ) -> ProbeResult:
        """Ask the API by these settings, which need not be kept yet; what is wrong with them is in the answer.

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
        """Find out what the tables of a connection hold and cost, and keep the answer."""
        kept = self.named(name)
        found = self.inquire(kept.settings, ProbeRequest.TABLES, by)
        return self.keep_metadata(kept.id, found)

    def keep_metadata(self, connection_id: str, found: ProbeResult) -> Metadata:
        """Keep what was found out of a connection, by a gateway perhaps."""
        with self._database.writing() as transaction:
            return keep(transaction, connection_id, found, int(self._clock.now()))

    def last_metadata(self, name: str) -> Metadata:
        """What was found out last; before that, what is known of the tables without asking."""
        with self._database.reading() as transaction:
            return last_opened(transaction, _named(transaction, name).id)

    def _with_token(
        self, transaction: Connection, name: str, settings: ConnectionSettings, token: Secret, means: ChangeContext
    ) -> ConnectionSettings:
        """The settings with the token stored, and named in its place."""
        if settings.gateway is not None:
            raise InvalidSettings(
                "The token of a connection with a data gateway is kept where the gateway runs, not here.",
                "Leave it out, and say by ‹access_token_from› where it is there.",
            )
        stored = own_secret(SettingsKind.CONNECTION, checked_name(name, SettingsKind.CONNECTION))
        secrets.put(transaction, means.keys, stored, _sound(token), means.now, means.by)
        return replace(settings, access_token_from=f"{PREFIX}{stored}")

    def _with_stored(self, settings: ConnectionSettings, token: Secret | None) -> Mapping[str, str]:
        """The environment, and in it the stored secrets that these settings name, or the token that was given."""
        if token is not None:
            return {stored_variable(_GIVEN): _sound(token).reveal()}
        names = stored_names(settings)
        if not names:
            return self._environment
        with self._database.writing() as transaction:
            found = secrets.revealed(transaction, self._keys, names)
        return {**self._environment, **{stored_variable(name): value for name, value in found.items()}}


_GIVEN = "given"  # stands for a token that is not stored yet


def _sound(token: Secret) -> Secret:
    try:
        return access_token(token.reveal())
    except InvalidSettings:
        raise InvalidSettings(
            "The access token is empty, or has characters that no App API key has.", "Copy it again, whole."
        ) from None


def _named(transaction: Connection, name: str) -> StoredConnection:
    found = kept_connections(transaction, connections.c.name == name)
    if not found:
        raise not_there(SettingsKind.CONNECTION, name)
    return found[0]


# Tasks: made, looked at, edited, paused, resumed and deleted.


class Tasks(_StoredSettings):
    """The tasks. Whoever changes one is named in the audit log; InvalidSettings says what cannot be done."""

    def all(self) -> list[StoredTask]:
        """Every task, by name."""
        with self._database.reading() as transaction:
            return kept_tasks(transaction)

    def named(self, name: str) -> StoredTask:
        """One task."""
        with self._database.reading() as transaction:
            return _task_named(transaction, name)

    def create(self, name: str, settings: TaskSettings, by: Actor) -> StoredTask:
        """Make a task; its schedule counts from now on."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            changes = [Change(SettingsKind.TASK, name, ChangeKind.CREATE, settings, changed_fields(None, settings))]
            perform(transaction, changes, self._means(by))
            return _task_named(transaction, name)

    def edit(self, name: str, settings: TaskSettings, by: Actor) -> tuple[FieldChange, ...]:
        """Give a task these settings; the fields that are others now. A run that goes on keeps those that it has."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            return self._edit(transaction, _task_named(transaction, name), settings, by)

    def pause(self, name: str, by: Actor, *, paused: bool = True) -> bool:
        """Let a task rest, or let it go on; whether that changed anything.

        Times that come while it rests are not missed runs: its schedule counts anew from when it goes on.
        """
        by.require(Role.OPERATOR)
        with self._database.writing() as transaction:
            kept = _task_named(transaction, name)
            return bool(self._edit(transaction, kept, replace(kept.settings, paused=paused), by))

    def delete(self, name: str, by: Actor) -> None:
        """Delete a task with its history, unless a run of it goes on; what was copied stays where it is."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            perform(transaction, [Change(SettingsKind.TASK, name, ChangeKind.DELETE, None)], self._means(by))

    def _edit(
        self, transaction: Connection, kept: StoredTask, settings: TaskSettings, by: Actor
    ) -> tuple[FieldChange, ...]:
        fields = changed_fields(kept.settings, settings)
        if fields:
            perform(
                transaction, [Change(SettingsKind.TASK, kept.name, ChangeKind.EDIT, settings, fields)], self._means(by)
            )
        return fields


def _task_named(transaction: Connection, name: str) -> StoredTask:
    found = kept_tasks(transaction, tasks.c.name == name)
    if not found:
        raise not_there(SettingsKind.TASK, name)
    return found[0]


# Channels, where notifications go: made, looked at, edited and deleted.


class Channels(_StoredSettings):
    """The channels. Whoever changes one is named in the audit log; InvalidSettings says what cannot be done."""

    def all(self) -> list[StoredChannel]:
        """Every channel, by name."""
        with self._database.reading() as transaction:
            return kept_channels(transaction)

    def named(self, name: str) -> StoredChannel:
        """One channel."""
        with self._database.reading() as transaction:
            return _channel_named(transaction, name)

    def create(self, name: str, settings: ChannelSettings, by: Actor, url: Secret | None = None) -> StoredChannel:
        """Make a channel. A `url` is its address with what is secret in it, and is stored, encrypted."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means = self._means(by)
            if url is not None:
                settings = _with_url(transaction, name, settings, url, means)
            changes = [Change(SettingsKind.CHANNEL, name, ChangeKind.CREATE, settings, changed_fields(None, settings))]
            perform(transaction, changes, means)
            return _channel_named(transaction, name)

    def edit(
        self, name: str, settings: ChannelSettings, by: Actor, url: Secret | None = None
    ) -> tuple[FieldChange, ...]:
        """Give a channel these settings; the fields that are others now."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means, kept = self._means(by), _channel_named(transaction, name)
            if url is not None:
                settings = _with_url(transaction, name, settings, url, means)
            fields = changed_fields(kept.settings, settings)
            if fields:
                perform(transaction, [Change(SettingsKind.CHANNEL, name, ChangeKind.EDIT, settings, fields)], means)
            return fields

    def delete(self, name: str, by: Actor) -> None:
        """Delete a channel that no task names, with what waits to be sent to it."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            perform(transaction, [Change(SettingsKind.CHANNEL, name, ChangeKind.DELETE, None)], self._means(by))

    def address(self, name: str) -> Secret:
        """The address of a channel, with what is secret in it, for who sends to it."""
        with self._database.writing() as transaction:
            return address_of(transaction, self._keys, self._environment, _channel_named(transaction, name).settings)


def address_of(
    transaction: Connection, keys: EncryptionKeys, environment: Mapping[str, str], settings: ChannelSettings
) -> Secret:
    """The address that a channel's settings lead to; call it in a transaction that writes. Raises Refused."""
    if not is_reference(settings.url):
        return Secret(settings.url)
    found = secrets.revealed(transaction, keys, stored_names(settings))
    stored = {stored_variable(name): value for name, value in found.items()}
    return resolved(settings.url, {**environment, **stored}, "the address of the channel")


def _with_url(
    transaction: Connection, name: str, settings: ChannelSettings, url: Secret, means: ChangeContext
) -> ChannelSettings:
    """The settings with the address stored, and named in its place."""
    stored = own_secret(SettingsKind.CHANNEL, checked_name(name, SettingsKind.CHANNEL))
    secrets.put(transaction, means.keys, stored, Secret(url.reveal().strip()), means.now, means.by)
    return replace(settings, url=f"{PREFIX}{stored}")


def _channel_named(transaction: Connection, name: str) -> StoredChannel:
    found = kept_channels(transaction, channels.c.name == name)
    if not found:
        raise not_there(SettingsKind.CHANNEL, name)
    return found[0]
