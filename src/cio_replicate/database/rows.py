"""Connections, tasks and channels as they are kept: rows of the control database, and settings again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, Documents, TaskSettings, decoded
from cio_replicate.database.tables import channels, connections, tasks

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredConnection:
    """A connection. Runs of connections with the same `workspace` share a request budget, so they do not overlap."""

    id: str
    name: str
    settings: ConnectionSettings
    workspace: str
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTask:
    """A task. `next_at` is when its schedule lets it run next, in unix seconds; None when nothing does."""

    id: str
    name: str
    settings: TaskSettings
    connection_id: str
    paused: bool
    next_at: int | None
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChannel:
    """A place that notifications go to."""

    id: str
    name: str
    settings: ChannelSettings
    changed_at: int


def kept_connections(connection: Connection, *where: ColumnElement[bool]) -> list[StoredConnection]:
    """All of them, or those of which this is true, by name."""
    rows = connection.execute(select(connections).where(*where).order_by(connections.c.name))
    return [
        StoredConnection(
            id=row.id,
            name=row.name,
            settings=settings_from(row.settings, ConnectionSettings),
            workspace=row.workspace,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def kept_tasks(connection: Connection, *where: ColumnElement[bool]) -> list[StoredTask]:
    """All of them, or those of which this is true, by name."""
    rows = connection.execute(select(tasks).where(*where).order_by(tasks.c.name))
    return [
        StoredTask(
            id=row.id,
            name=row.name,
            settings=settings_from(row.settings, TaskSettings),
            connection_id=row.connection_id,
            paused=row.paused,
            next_at=row.next_at,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def kept_channels(connection: Connection, *where: ColumnElement[bool]) -> list[StoredChannel]:
    """All of them, or those of which this is true, by name."""
    rows = connection.execute(select(channels).where(*where).order_by(channels.c.name))
    return [
        StoredChannel(
            id=row.id,
            name=row.name,
            settings=settings_from(row.settings, ChannelSettings),
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def documents_of(connection: Connection) -> Documents:
    """All that is kept, as a file would say it."""
    return Documents(
        connections={one.name: one.settings for one in kept_connections(connection)},
        tasks={one.name: one.settings for one in kept_tasks(connection)},
        channels={one.name: one.settings for one in kept_channels(connection)},
    )


def as_text(settings: Any) -> str:  # noqa: ANN401 - any dataclass of settings
    """Settings as they are kept: with every default, so that another version's changes nothing."""
    return msgspec.json.encode(settings).decode()


def settings_from(text: str, kind: type[T]) -> T:
    """Settings as they were kept."""
    return decoded(msgspec.json.decode(text), kind)


def storable(text: str) -> str:
    """What others said, as every database keeps it: PostgreSQL takes no NUL."""
    return text.replace("\0", "�")
