"""Channels, where notifications go: made, looked at, edited and deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from cio_replicate.base.runtime import Clock
from cio_replicate.base.text import Secret
from cio_replicate.config.documents import ChannelSettings
from cio_replicate.config.secret_references import is_reference, resolved, stored_variable
from cio_replicate.config.stored import PREFIX, stored_names
from cio_replicate.console import secrets
from cio_replicate.console.apply_settings import ChangeContext, not_there, own_secret, perform
from cio_replicate.console.difference import Change, ChangeKind, FieldChange, SettingsKind, changed_fields
from cio_replicate.console.keys import EncryptionKeys
from cio_replicate.console.names import checked_name
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import StoredChannel, kept_channels
from cio_replicate.database.tables import channels


class Channels:
    """The channels. Whoever changes one is named in the audit log; SettingsError says what cannot be done."""

    def __init__(
        self, database: Database, keys: EncryptionKeys, clock: Clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment

    def all(self) -> list[StoredChannel]:
        """Every channel, by name."""
        with self._database.reading() as transaction:
            return kept_channels(transaction)

    def named(self, name: str) -> StoredChannel:
        """One channel."""
        with self._database.reading() as transaction:
            return _named(transaction, name)

    def create(self, name: str, settings: ChannelSettings, by: Actor, url: Secret | None = None) -> StoredChannel:
        """Make a channel. A `url` is its address with what is secret in it, and is stored, encrypted."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means = self._means(by)
            if url is not None:
                settings = _with_url(transaction, name, settings, url, means)
            changes = [Change(SettingsKind.CHANNEL, name, ChangeKind.CREATE, settings, changed_fields(None, settings))]
            perform(transaction, changes, means)
            return _named(transaction, name)

    def edit(
        self, name: str, settings: ChannelSettings, by: Actor, url: Secret | None = None
    ) -> tuple[FieldChange, ...]:
        """Give a channel these settings; the fields that are others now."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            means, kept = self._means(by), _named(transaction, name)
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
            return address_of(transaction, self._keys, self._environment, _named(transaction, name).settings)

    def _means(self, by: Actor) -> ChangeContext:
        return ChangeContext(by, int(self._clock.now()), self._keys, self._environment)


def address_of(
    transaction: Connection, keys: EncryptionKeys, environment: Mapping[str, str], settings: ChannelSettings
) -> Secret:
    """The address that a channel's settings lead to; call it in a transaction that writes. Raises SettingsError."""
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


def _named(transaction: Connection, name: str) -> StoredChannel:
    found = kept_channels(transaction, channels.c.name == name)
    if not found:
        raise not_there(SettingsKind.CHANNEL, name)
    return found[0]
