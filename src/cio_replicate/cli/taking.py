"""Lets a command take whole groups of options: each field of a group is an option, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cio_replicate.cli.options import option
from cio_replicate.config.options import Setting


@dataclass(frozen=True, slots=True)
class Edits:
    """In the annotation of a parameter: it gets those fields of the group that were given, by their names."""

    group: type


def taking(command: Callable[..., int]) -> Callable[..., int]:
    """A command whose parameters that are dataclasses of options are given by these options.

    Options that must be given come first, the others in the order of the groups. A group within a group is None when
    nothing of it is given.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    edits = {name: edited.group for name, hint in hints.items() if (edited := _edits(hint)) is not None}
    own = [
        one for name, one in inspect.signature(command).parameters.items() if name not in groups and name not in edits
    ]
    parameters = [one.replace(annotation=_as_option(hints[one.name])) for one in own]
    for group in groups.values():
        parameters += _options(group)
    for group in edits.values():
        parameters += _options(group, maybe=True)
    parameters.sort(key=lambda one: (one.kind, one.default is not inspect.Parameter.empty))

    def called(*positional: Any, **given: Any) -> int:  # noqa: ANN401 - Any: as Typer has read them
        made: dict[str, Any] = {name: _made(group, given) for name, group in groups.items()}
        for name, group in edits.items():
            taken = {one.name: given.pop(one.name) for one in _options(group)}
            made[name] = {field: value for field, value in taken.items() if value is not None}
        return command(*positional, **given, **made)

    called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what Typer looks at
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _edits(hint: Any) -> Edits | None:  # noqa: ANN401 - a type, as Typer reads it
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Edits)), None)


def _made(group: type, given: dict[str, Any]) -> Any:  # noqa: ANN401 - one of the group
    """One of a group, of what was given for its options, which is taken out there."""
    hints, values = get_type_hints(group, include_extras=True), {}
    for one in fields(group):
        inner = _inner(hints[one.name])
        if inner is None:
            values[one.name] = given.pop(one.name)
        else:
            made = _made(inner, given)
            values[one.name] = None if made == inner() else made
    return group(**values)


def _options(group: type, *, maybe: bool = False) -> list[inspect.Parameter]:
    """The options of a group; `maybe`: none of them need be given, and it shows."""
    hints, options = get_type_hints(group, include_extras=True), []
    for one in fields(group):
        hint, inner = hints[one.name], _inner(hints[one.name])
        if inner is not None:
            options += _options(inner, maybe=maybe)
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        options.append(
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_as_edit(hint) if maybe else _as_option(hint),
                default=None if maybe else inspect.Parameter.empty if default is MISSING else default,
            )
        )
    return options


def _inner(hint: Any) -> Any:  # noqa: ANN401 - a type, and perhaps another
    """The group that a field of this type is, if it is one or none."""
    if get_origin(hint) is not UnionType:
        return None
    return next((one for one in get_args(hint) if is_dataclass(one)), None)


def _as_edit(hint: Any) -> Any:  # noqa: ANN401 - a type, as Typer reads it
    """The same for an option that need not be given; a yes can be taken back."""
    setting = _setting(hint)
    if hint.__origin__ is bool:
        setting = replace(setting, option=f"{setting.option}/--no-{setting.option.removeprefix('--')}")
    return Annotated[hint.__origin__ | None, option(setting)]


def _as_option(hint: Any) -> Any:  # noqa: ANN401 - a type, as Typer reads it
    """The type of a parameter with what Typer must know of it."""
    setting = _setting(hint)
    return hint if setting is None else Annotated[hint.__origin__, option(setting)]


def _setting(hint: Any) -> Any:  # noqa: ANN401 - a type, and what is said of it
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Setting)), None)
