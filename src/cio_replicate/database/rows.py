"""Stored connections, tasks and channels: rows of the control database with their settings decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Table, select

from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, Documents, TaskSettings, decoded
from cio_replicate.database.tables import channels, connections, metadata, tasks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Record = TypeVar("Record", bound="DataclassInstance")

Settings = ConnectionSettings | TaskSettings | ChannelSettings


class SettingsKind(StrEnum):
    """What settings are of, in an order in which they can be created: a task names channels and a connection."""

    CHANNEL = "channel"
    CONNECTION = "connection"
    TASK = "task"

    @property
    def table(self) -> Table:
        """The table with a row for each."""
        return metadata.tables[f"{self}s"]

    def settings_in(self, documents: Documents) -> dict[str, Settings]:
        """Return what files say of this kind, by name."""
        found: dict[str, Settings] = getattr(documents, f"{self}s")
        return found


def entries(documents: Documents) -> Iterator[tuple[SettingsKind, str, Settings]]:
    """Yield every connection, then every task and every channel, with its name."""
    for section in fields(documents):
        kind = SettingsKind(section.name.removesuffix("s"))
        yield from ((kind, name, settings) for name, settings in kind.settings_in(documents).items())


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


Stored = TypeVar("Stored", bound=StoredConnection | StoredTask | StoredChannel)

_STORED: dict[type, tuple[Table, type[Settings]]] = {
    StoredConnection: (connections, ConnectionSettings),
    StoredTask: (tasks, TaskSettings),
    StoredChannel: (channels, ChannelSettings),
}


def stored(connection: Connection, kind: type[Stored], *where: ColumnElement[bool]) -> list[Stored]:
    """Return all connections, tasks or channels, or those for which `where` is true, by name."""
    table, settings = _STORED[kind]
    columns = [table.c[one.name] for one in fields(kind)]
    rows = connection.execute(select(*columns).where(*where).order_by(table.c.name))
    return [record_of(kind, row, settings=settings_from(row.settings, settings)) for row in rows]


def record_of(kind: type[Record], row: Row[Any], **others: object) -> Record:  # Any: of every column
    """Build a dataclass from the columns of a row that have the names of its fields, and from other values."""
    columns = {one.name: getattr(row, one.name) for one in fields(kind) if one.name not in others}
    return kind(**columns, **others)


def documents_of(connection: Connection) -> Documents:
    """Return all that is stored, as a file would say it."""
    return Documents(
        connections={one.name: one.settings for one in stored(connection, StoredConnection)},
        tasks={one.name: one.settings for one in stored(connection, StoredTask)},
        channels={one.name: one.settings for one in stored(connection, StoredChannel)},
    )


def as_text(settings: Any) -> str:  # noqa: ANN401 - any dataclass of settings
    """Encode settings with every default, so that another version's defaults change nothing."""
    return msgspec.json.encode(settings).decode()


def settings_from(text: str, kind: type[T]) -> T:
    """Decode what `as_text` has encoded. Raises InvalidSettings for settings of another version."""
    return decoded(msgspec.json.decode(text), kind)


def storable(text: str) -> str:
    """Return a text as every database can store it: PostgreSQL takes no NUL."""
    return text.replace("\0", "�")
