"""What differs between settings that are kept and settings that are wanted, field by field; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

from cio_replicate.config.documents import ChannelSettings, ConnectionSettings, Documents, TaskSettings, plain

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
