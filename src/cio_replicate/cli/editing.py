"""Settings with those changed that an edit gives; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from cio_replicate.config.documents import TaskSettings

T = TypeVar("T")
_EITHER = ("cron", "every")  # a schedule has one of them: to give one takes the place of the other


def edited(settings: T, given: Mapping[str, Any]) -> T:
    """The settings with what was given in its place; an empty text takes a setting away that need not be there."""
    return _edited(settings, type(settings), dict(given))


def edited_task(settings: TaskSettings, given: Mapping[str, Any]) -> TaskSettings:
    """The same for a task: its schedule is either by the clock or by an interval, and gone when it is neither."""
    wanted = dict(given)
    for one, other in (_EITHER, _EITHER[::-1]):
        if wanted.get(one):
            wanted.setdefault(other, "")
    made = edited(settings, wanted)
    schedule, asked = made.schedule, any(one in given for one in _EITHER)
    if asked and schedule is not None and schedule.cron is None and schedule.every is None:
        return replace(made, schedule=None)
    return made


def _edited(settings: Any, kind: type[T], given: dict[str, Any]) -> T:  # noqa: ANN401 - a dataclass of settings
    hints, values = get_type_hints(kind), {}
    for one in fields(kind):  # type: ignore[arg-type] # it is a dataclass
        there, inner = getattr(settings, one.name), _inner(hints[one.name])
        if inner is not None:
            within = {name: value for name, value in given.items() if name in {field.name for field in fields(inner)}}
            if within:
                values[one.name] = _edited(inner() if there is None else there, inner, within)
        elif one.name in given:
            values[one.name] = _taken(given[one.name], hints[one.name])
    return replace(settings, **values)  # type: ignore[no-any-return] # it is of that kind


def _taken(value: Any, hint: Any) -> Any:  # noqa: ANN401 - a setting's value, and its type
    optional = get_origin(hint) is UnionType and NoneType in get_args(hint)
    if isinstance(value, (list, tuple)):
        texts = [one for one in value if one != ""]
        return None if optional and not texts else texts
    return None if optional and value == "" else value


def _inner(hint: Any) -> Any:  # noqa: ANN401 - a type, and perhaps another
    if get_origin(hint) is not UnionType:
        return None
    return next((one for one in get_args(hint) if is_dataclass(one)), None)
