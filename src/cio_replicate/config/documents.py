"""Connections, tasks and channels as documents (TOML, JSON): their schema, and the stored secrets they refer to."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from dataclasses import Field as DataclassField
from typing import Annotated, Any, TypeVar, get_args, get_type_hints
from urllib.parse import unquote

import msgspec

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import worded
from cio_replicate.config.options import (
    AccessOptions,
    CopyOptions,
    DatasetOptions,
    DestinationOptions,
    KeepLanded,
    RereadOptions,
    Setting,
    StartDateOptions,
    TableOptions,
    To,
    fields_of,
)

T = TypeVar("T")

WHEN, TROUBLE = "When it runs", "When something goes wrong"
EVENTS = ("failure", "recovery", "short", "schema")

GatewayName = Annotated[
    str | None,
    Setting(
        "--gateway",
        "Data gateway",
        "Runs this connection's tasks inside a private network: the name of a gateway; without one the console's own "
        "machine runs them.",
        shown="NAME",
    ),
]
Cron = Annotated[
    str | None,
    Setting(
        "--cron",
        "Cron",
        "When to run, as minute, hour, day of month, month, day of week: `0 3 * * mon-fri` is at 3 on workdays.",
        shown="'M H D M W'",
        group=WHEN,
    ),
]
Every = Annotated[
    str | None,
    Setting(
        "--every",
        "Interval",
        "Run every so often, such as 15m, 6h or 1d; not with --cron.",
        shown="15m|6h|1d",
        group=WHEN,
    ),
]
Zone = Annotated[
    str,
    Setting(
        "--zone",
        "Time zone",
        "The time zone that the schedule's hours are in, such as Europe/Berlin.",
        shown="ZONE",
        group=WHEN,
    ),
]
Begin = Annotated[
    str | None,
    Setting("--begin", "First day", "Not before this moment, such as 2026-01-31T06:00.", shown="DATE", group=WHEN),
]
End = Annotated[str | None, Setting("--end", "Last day", "Not after this moment.", shown="DATE", group=WHEN)]
Missed = Annotated[
    str,
    Setting(
        "--missed",
        "Missed runs",
        "What becomes of times at which nothing could run, as the machine was off: one run for all of them, or none.",
        shown="once|skip",
        group=WHEN,
        choices=("once", "skip"),
    ),
]
After = Annotated[
    str | None,
    Setting("--after", "After another task", "Run whenever this task has ended well.", shown="TASK", group=WHEN),
]
Paused = Annotated[bool, Setting("--paused", "Paused", "Not run until it is resumed.", group=WHEN)]
Retries = Annotated[
    int,
    Setting(
        "--retries",
        "Retries",
        "How often a failed run is tried again; wrong settings are not.",
        shown="NUMBER",
        group=TROUBLE,
    ),
]
RetryPause = Annotated[
    int,
    Setting(
        "--retry-pause",
        "Pause before a retry",
        "Seconds before the first retry; each further one waits twice as long, a day at most.",
        shown="SECONDS",
        group=TROUBLE,
    ),
]
Notify = Annotated[
    list[str],
    Setting(
        "--notify",
        "Notifications",
        "Channels that are told of failures, recoveries, short tables and new columns; may be given several times.",
        shown="CHANNEL",
        group=TROUBLE,
    ),
]
ConnectionName = Annotated[
    str, Setting("--connection", "Connection", "The connection that is read.", shown="NAME", group="What is replicated")
]
ChannelUrl = Annotated[
    str,
    Setting(
        "--url",
        "Address",
        "Where the address of the channel is kept, since it holds a secret: env:NAME, file:/path, keyring:service/user "
        "or stored:NAME. It is written as Apprise does: slack://…, mailto://…, jsons://host/path.",
        shown="REFERENCE",
        group="Where notifications go",
    ),
]
Events = Annotated[
    list[str],
    Setting(
        "--event",
        "Events",
        "What is told: failure, recovery, short (a table lacks rows), schema (new columns); all if not given.",
        shown="|".join(EVENTS),
        group="Where notifications go",
        choices=EVENTS,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ConnectionSettings(StartDateOptions, AccessOptions):
    """What reaches a workspace, as the user wrote it."""

    gateway: GatewayName = None


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """When a task runs by itself, as the user wrote it."""

    cron: Cron = None
    every: Every = None
    zone: Zone = "UTC"
    begin: Begin = None
    end: End = None
    missed: Missed = "once"


@dataclass(frozen=True, kw_only=True)
class TaskSettings(CopyOptions, RereadOptions, TableOptions, DatasetOptions):
    """What a task replicates, how and when, as the user wrote it."""

    connection: ConnectionName
    to: To
    keep_landed: KeepLanded = False
    schedule: ScheduleSettings | None = None
    after: After = None
    paused: Paused = False
    retries: Retries = 3
    retry_pause: RetryPause = 300
    notify: Notify = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ChannelSettings:
    """Where notifications go, as the user wrote it."""

    url: ChannelUrl
    events: Events = field(default_factory=lambda: list(EVENTS))


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
    values = [(one, getattr(settings, one.name)) for one in fields(settings)]
    return {one.name: plain(value) for one, value in values if value != _default(one)}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file, with what each setting means."""
    schema = msgspec.json.schema(Documents)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "cio-replicate.toml", **schema}
    for kind in (ConnectionSettings, ScheduleSettings, TaskSettings, ChannelSettings, Documents):
        described = schema["$defs"][kind.__name__]
        described["additionalProperties"] = False
        described["description"] = (kind.__doc__ or "").strip()
        for one in fields_of(kind):
            described["properties"][one.name]["description"] = one.setting.about
            if one.setting.choices and one.kind == "text":
                described["properties"][one.name]["enum"] = list(one.setting.choices)
    return schema


def settings_declared() -> dict[str, Setting]:
    """What is said of each setting, by the name of its field."""
    return {one.name: one.setting for kind in _KINDS for one in fields_of(kind)}


def as_labels(text: str) -> str:
    """A sentence that names settings, or options such as `--tables`, with the labels that a form has for them."""
    declared = settings_declared()
    text = worded(text, {name: one.label for name, one in declared.items()})
    for one in sorted(declared.values(), key=lambda setting: len(setting.option), reverse=True):
        text = text.replace(one.option, one.label)
    return text


_SECTIONS: dict[str, type] = {
    "connections": ConnectionSettings,
    "tasks": TaskSettings,
    "channels": ChannelSettings,
}
_KINDS = (*_SECTIONS.values(), ScheduleSettings, DestinationOptions)


def _default(one: DataclassField[Any]) -> Any:  # noqa: ANN401 - of any kind
    return one.default if one.default_factory is MISSING else one.default_factory()


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


# Which secrets of the control database settings refer to, and in which form addresses say so; pure.


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
