"""Connections, tasks and channels as documents (TOML, JSON): their schema, and the stored secrets they refer to."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints
from urllib.parse import unquote

import msgspec

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import worded
from cio_replicate.config.options import (
    SETTINGS,
    AccessOptions,
    CopyOptions,
    DatasetOptions,
    RereadOptions,
    StartDateOptions,
    TableOptions,
    fields_of,
)

T = TypeVar("T")

EVENTS = SETTINGS["events"].choices


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings(StartDateOptions, AccessOptions):
    """What reaches a workspace, as the user wrote it."""

    gateway: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """When a task runs by itself, as the user wrote it."""

    cron: str | None = None
    every: str | None = None
    zone: str = "UTC"
    begin: str | None = None
    end: str | None = None
    missed: str = "once"


@dataclass(frozen=True, kw_only=True)
class TaskSettings(CopyOptions, RereadOptions, TableOptions, DatasetOptions):
    """What a task replicates, how and when, as the user wrote it."""

    connection: str
    to: list[str]
    keep_landed: bool = False
    schedule: ScheduleSettings | None = None
    after: str | None = None
    paused: bool = False
    retries: int = 3
    retry_pause: int = 300
    notify: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """Where notifications go, as the user wrote it."""

    url: str
    events: list[str] = field(default_factory=lambda: list(EVENTS))


@dataclass(frozen=True, kw_only=True)
class Documents:
    """All that a file `cio-replicate.toml` says, by name."""

    connections: dict[str, ConnectionSettings] = field(default_factory=dict)
    tasks: dict[str, TaskSettings] = field(default_factory=dict)
    channels: dict[str, ChannelSettings] = field(default_factory=dict)


def decoded(data: Any, kind: type[T], called: str = "") -> T:  # noqa: ANN401 - what a file or a request holds
    """Settings of a kind from what a file or a request holds; `called` says where they stand, for a refusal.

    Raises InvalidSettings for a name that is not known, a value of another kind, and one that is missing.
    """
    _require_known(data, kind, called)
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidSettings(_sentence(called, _cause(error)), "Correct it and try again.") from None


def documents(data: Mapping[str, Any]) -> Documents:
    """All that a file holds. Raises InvalidSettings as `decoded`, and says in which entry."""
    _require_known({name: {} for name in data}, Documents, "")
    sections: dict[str, dict[str, Any]] = {}
    for section, kind in _SECTIONS.items():
        entries = decoded(data.get(section, {}), dict[str, Any], section)
        sections[section] = {name: decoded(entry, kind, f"{section}.{name}") for name, entry in entries.items()}
    return Documents(**sections)


def plain(settings: Any) -> Any:  # noqa: ANN401 - any dataclass of settings, and what it holds
    """Settings as a document, without what is as it is by default."""
    if isinstance(settings, dict):
        return {name: plain(value) for name, value in settings.items()}
    if not is_dataclass(settings):
        return settings
    return {
        one.name: plain(value)
        for one in fields(settings)
        if (value := getattr(settings, one.name))
        != (one.default if one.default_factory is MISSING else one.default_factory())
    }


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file, with what each setting means."""
    schema = msgspec.json.schema(Documents)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cio-replicate.toml", **schema}
    for kind in (*_SECTIONS.values(), ScheduleSettings, Documents):
        described = schema["$defs"][kind.__name__]
        described["additionalProperties"] = False
        described["description"] = (kind.__doc__ or "").strip()
        for one in fields_of(kind):
            described["properties"][one.name]["description"] = one.setting.about
            if one.setting.choices and one.kind == "text":
                described["properties"][one.name]["enum"] = list(one.setting.choices)
    return schema


def as_labels(text: str) -> str:
    """A sentence that names settings, or options such as `--tables`, with the labels that a form has for them."""
    text = worded(text, {name: one.label for name, one in SETTINGS.items()})
    for one in sorted(SETTINGS.values(), key=lambda setting: len(setting.option), reverse=True):
        text = text.replace(one.option, one.label)
    return text


_SECTIONS: dict[str, type] = {"connections": ConnectionSettings, "tasks": TaskSettings, "channels": ChannelSettings}


def _require_known(data: Any, kind: Any, called: str) -> None:  # noqa: ANN401 - what a file holds, and a type
    if isinstance(kind, types.UnionType):
        kind = next((one for one in get_args(kind) if is_dataclass(one)), None)
    if not isinstance(data, Mapping) or not is_dataclass(kind):
        return
    hints = get_type_hints(kind)
    for name, value in data.items():
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, 1)
            fix = f"Perhaps {near[0]} is meant." if near else f"There are: {', '.join(hints)}."
            raise InvalidSettings(_sentence(called, f"there is no setting {str(name)[:60]!r}"), fix)
        _require_known(value, hints[name], f"{called}.{name}".strip("."))


def _sentence(called: str, cause: str) -> str:
    text = f"in {called}, {cause}." if called else f"{cause}."
    return text[:1].upper() + text[1:]


def _cause(error: msgspec.ValidationError) -> str:
    """What msgspec says, in our order: ``Expected `int`, got `str` - at `$.retries` ``."""
    said, _, where = str(error).partition(" - at ")
    said = said.replace("`", "").removeprefix("Object ")
    path = where.strip("`").removeprefix("$").removeprefix(".")
    return f"{path}: {said}" if path else said


PREFIX = "stored:"


def stored_names(settings: ConnectionSettings | TaskSettings | ChannelSettings) -> list[str]:
    """The names of the stored secrets that these settings refer to, each once."""
    if isinstance(settings, ConnectionSettings):
        references = [settings.access_token_from or ""]
    elif isinstance(settings, TaskSettings):
        references = [settings.salt or "", *(value for to in settings.to for value in _values(to))]
    else:
        references = [settings.url]
    return list(dict.fromkeys(one.removeprefix(PREFIX) for one in references if one.startswith(PREFIX)))


def stored_names_in(address: str) -> list[str]:
    """The names of the stored secrets that an address of a destination refers to."""
    return [one.removeprefix(PREFIX) for one in _values(address) if one.startswith(PREFIX)]


def _values(address: str) -> list[str]:
    """What stands behind the question mark of an address: the values of its options."""
    _, _, query = address.partition("?")
    return [unquote(piece.partition("=")[2]) for piece in query.split("&")]
