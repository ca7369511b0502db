"""What is said of one setting: its option, its label, what it means; every face derives from this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

WORKSPACE, COPY = "Where the data comes from", "Where the copy goes"
AGAIN, CHANGES, COLUMNS = "What later runs read again", "How changes reach the copy", "What the columns hold"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is said of a field of a group of settings, in its annotation.

    `option` is how the command line calls it, `label` how a form does, `shown` stands for the value in a help text, and
    `choices` are the only values that there are.
    """

    option: str
    label: str
    about: str
    shown: str = ""
    group: str = WORKSPACE
    choices: tuple[str, ...] = ()


Kind = Literal["text", "number", "whole number", "yes or no", "texts", "group"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a group of settings, as a form or a document shows it. `default` is None where it must be given."""

    name: str
    setting: Setting
    kind: Kind
    required: bool
    default: Any


def fields_of(group: type) -> Iterator[Field]:
    """The fields of a dataclass of settings that are declared with a `Setting`, in their order."""
    hints = get_type_hints(group, include_extras=True)
    for one in fields(group):
        hint = hints[one.name]
        setting = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Setting)), None)
        if setting is not None:
            default = one.default_factory() if one.default_factory is not MISSING else one.default
            required = default is MISSING
            yield Field(one.name, setting, _kind(hint.__origin__), required, None if required else default)


def _kind(hint: Any) -> Kind:  # noqa: ANN401 - a type
    if get_origin(hint) in (Union, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    kinds: dict[Any, Kind] = {str: "text", float: "number", int: "whole number", bool: "yes or no"}
    if get_origin(hint) is list:
        return "texts"
    return kinds.get(hint, "group")
