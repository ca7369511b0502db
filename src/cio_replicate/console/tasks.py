"""Tasks: made, looked at, edited, paused, resumed and deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from cio_replicate.base.runtime import Clock
from cio_replicate.config.documents import TaskSettings
from cio_replicate.console.apply_settings import ChangeContext, not_there, perform
from cio_replicate.console.difference import Change, ChangeKind, FieldChange, SettingsKind, changed_fields
from cio_replicate.console.keys import EncryptionKeys
from cio_replicate.database.actor import Actor, Role
from cio_replicate.database.connection import Database
from cio_replicate.database.rows import StoredTask, kept_tasks
from cio_replicate.database.tables import tasks


class Tasks:
    """The tasks. Whoever changes one is named in the audit log; SettingsError says what cannot be done."""

    def __init__(
        self, database: Database, keys: EncryptionKeys, clock: Clock, environment: Mapping[str, str] | None = None
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._environment = os.environ if environment is None else environment

    def all(self) -> list[StoredTask]:
        """Every task, by name."""
        with self._database.reading() as transaction:
            return kept_tasks(transaction)

    def named(self, name: str) -> StoredTask:
        """One task."""
        with self._database.reading() as transaction:
            return _named(transaction, name)

    def create(self, name: str, settings: TaskSettings, by: Actor) -> StoredTask:
        """Make a task; its schedule counts from now on."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            changes = [Change(SettingsKind.TASK, name, ChangeKind.CREATE, settings, changed_fields(None, settings))]
            perform(transaction, changes, self._means(by))
            return _named(transaction, name)

    def edit(self, name: str, settings: TaskSettings, by: Actor) -> tuple[FieldChange, ...]:
        """Give a task these settings; the fields that are others now. A run that goes on keeps those that it has."""
        by.require(Role.ADMIN)
        with self._database.writing() as transaction:
            return self._edit(transaction, _named(transaction, name), settings, by)

    def pause(self, name: str, by: Actor, *, paused: bool = True) -> bool:
        """Let a task rest, or let it go on; whether that changed anything.

        Times that come while it rests are not missed runs: its schedule counts anew from when it goes on.
        """
        by.require(Role.OPERATOR)
        with self._database.writing() as transaction:
            kept = _named(transaction, name)
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

    def _means(self, by: Actor) -> ChangeContext:
        return ChangeContext(by, int(self._clock.now()), self._keys, self._environment)


def _named(transaction: Connection, name: str) -> StoredTask:
    found = kept_tasks(transaction, tasks.c.name == name)
    if not found:
        raise not_there(SettingsKind.TASK, name)
    return found[0]
