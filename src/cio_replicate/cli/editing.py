"""Edit stored settings: what an edit gives takes the place of what is there; how settings and changes are shown."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from cio_replicate.cli.options import inner_group
from cio_replicate.cli.terminal import Line, grid_of
from cio_replicate.config.documents import TaskSettings
from cio_replicate.console.apply_settings import FieldChange, changed_fields, shown
from cio_replicate.database.actor import LOCAL, Actor, Role
from cio_replicate.database.rows import Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
_EITHER = ("cron", "every")  # a schedule has one of them: to give one takes the place of the other


def acting() -> Actor:
    """Return who acts by a command: who may read the database may do everything, and the audit log names the user."""
    try:
        return Actor(getpass.getuser(), Role.ADMIN)
    except (OSError, KeyError):  # this user has no name, as in a container
        return LOCAL


def edited(settings: T, given: Mapping[str, Any]) -> T:
    """Return the settings with what was given in its place; an empty text takes away a setting that is optional."""
    hints, values = get_type_hints(type(settings)), {}
    for one in fields(settings):
        inner = inner_group(hints[one.name])
        if inner is not None:
            within = {field.name: given[field.name] for field in fields(inner) if field.name in given}
            if within:
                values[one.name] = edited(getattr(settings, one.name) or inner(), within)
        elif one.name in given:
            values[one.name] = _taken(given[one.name], hints[one.name])
    return replace(settings, **values)


def edited_task(settings: TaskSettings, given: Mapping[str, Any]) -> TaskSettings:
    """Return an edited task: its schedule is either by the clock or by an interval, and gone when it is neither."""
    wanted = dict(given)
    for one, other in (_EITHER, _EITHER[::-1]):
        if wanted.get(one):
            wanted.setdefault(other, "")
    made = edited(settings, wanted)
    schedule, asked = made.schedule, any(one in given for one in _EITHER)
    if asked and schedule is not None and schedule.cron is None and schedule.every is None:
        return replace(made, schedule=None)
    return made


def settings_shown(name: str, settings: Settings, facts: Mapping[str, str]) -> list[Line]:
    """Return settings, those that are not as they are by default, and what else is known, for people."""
    changed = [(one.name, shown(one.new)) for one in changed_fields(None, settings)]
    return [(name, "bold"), grid_of((), changed), "", grid_of((), facts.items())]


def change_lines(what: str, changes: Sequence[FieldChange], besides: str = "") -> list[str]:
    """Return what an edit has changed, line by line."""
    if not changes:
        return [besides or f"Nothing to change: the {what} is so already."]
    return [f"Changed the {what}. {besides}".rstrip(), *map(field_line, changes)]


def field_line(one: FieldChange) -> str:
    """Return the line of a setting that changed."""
    return f"  {one.name}: {shown(one.old)} → {shown(one.new)}"


def _taken(value: Any, hint: Any) -> Any:  # noqa: ANN401 - a setting's value, and its type
    optional = get_origin(hint) is UnionType and NoneType in get_args(hint)
    if isinstance(value, (list, tuple)):
        texts = [one for one in value if one != ""]
        return None if optional and not texts else texts
    return None if optional and value == "" else value
