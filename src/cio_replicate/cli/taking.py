"""Lets a command take whole groups of options: each field of a group is an option, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

from cio_replicate.cli.options import option
from cio_replicate.settings.setting import Setting


def taking(command: Callable[..., int]) -> Callable[..., int]:
    """A command whose parameters that are dataclasses of options are given by these options.

    Options that must be given come first, the others in the order of the groups.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    own = [one for name, one in inspect.signature(command).parameters.items() if name not in groups]
    parameters = [one.replace(annotation=_as_option(hints[one.name])) for one in own]
    for group in groups.values():
        parameters += _options(group)
    parameters.sort(key=lambda one: (one.kind, one.default is not inspect.Parameter.empty))

    def called(*positional: Any, **given: Any) -> int:  # noqa: ANN401 - Any: as Typer has read them
        made = {
            name: group(**{one.name: given.pop(one.name) for one in _options(group)}) for name, group in groups.items()
        }
        return command(*positional, **given, **made)

    called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what Typer looks at
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _options(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=_as_option(hints[one.name]),
            default=inspect.Parameter.empty if one.default is MISSING else one.default,
        )
        for one in fields(group)
    ]


def _as_option(hint: Any) -> Any:  # noqa: ANN401 - a type, as Typer reads it
    """The type of a parameter with what Typer must know of it."""
    setting = next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Setting)), None)
    return hint if setting is None else Annotated[hint.__origin__, option(setting)]
