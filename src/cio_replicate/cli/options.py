"""The options of commands: groups of settings become options, and those that only a command line has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from types import ModuleType, UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from cio_replicate.config.options import SETTINGS, Setting

Command = TypeVar("Command", bound=Callable[..., int])


def option(name: str, shown: str | None, about: str, group: str | None = None, **more: Any) -> Any:  # noqa: ANN401 - Typer's
    """Return what Typer must know of an option: `shown` stands for its value, `group` is its panel of the help."""
    return typer.Option(name, metavar=shown, help=about, rich_help_panel=group, **more)


def flag(name: str, about: str, group: str | None = None) -> Any:  # noqa: ANN401 - what Typer makes has no public type
    """Return what Typer must know of an option without a value."""
    return option(name, "", about, group)


def argument(shown: str, about: str) -> Any:  # noqa: ANN401 - what Typer makes has no public type
    """Return what Typer must know of an argument."""
    return typer.Argument(metavar=shown, help=about)


OUTPUT = "What is shown"
Json = Annotated[
    bool, flag("--json", "Write one JSON document to standard output and everything else to standard error.", OUTPUT)
]
Quiet = Annotated[bool, flag("--quiet", "Show only problems.", OUTPUT)]
StoreUrl = Annotated[
    str | None,
    option(
        "--store",
        "URL",
        "Where connections and tasks are kept: sqlite:////folder/console.db or "
        "postgresql://USER@HOST/DATABASE?password=env:NAME; if not given, what CIO_REPLICATE_STORE says, or a file of "
        "your own user.",
        "Where it is kept",
    ),
]
Yes = Annotated[bool, flag("--yes", "Do not ask whether that is meant.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsJson:
    """Whether a program reads what is shown."""

    json: Json = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(AsJson):
    """What is shown."""

    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """Where connections and tasks are kept."""

    store: StoreUrl = None


@dataclass(frozen=True, kw_only=True)
class StoreOutputOptions(StoreOptions, AsJson):
    """Where connections and tasks are kept, and what is shown."""


@dataclass(frozen=True, slots=True)
class Edits:
    """In the annotation of a parameter: it gets those fields of the group that were given, by their names."""

    group: type


def command(path: str, *examples: str) -> Callable[[Command], Command]:
    """Make a function the command of this path, such as `task list`; its help ends with the examples."""

    def named(function: Command) -> Command:
        function.path, function.examples = path, examples  # type: ignore[attr-defined] # read by `command_in`
        return function

    return named


def epilog_of(*examples: str) -> str:
    """Return the end of a help text: examples, each on a line of its own."""
    return "**Examples**\n\n" + "\n\n".join(examples)


def command_in(module: ModuleType, path: str) -> Any:  # noqa: ANN401 - what Typer makes has no public type
    """Return the command of a path: the parameters of its function are the options, the docstring is the help."""
    function = next(one for one in vars(module).values() if getattr(one, "path", None) == path)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    epilog = "**Examples**\n\n" + "\n\n".join(function.examples)
    app.command(path.rsplit(maxsplit=1)[-1], epilog=epilog)(with_options(function))
    return typer.main.get_command(app)


def with_options(function: Callable[..., int]) -> Callable[..., int]:
    """Return a function that takes each field of its parameters that are dataclasses as an option.

    A parameter or a field with the name of a setting is that setting's option. Options that must be given come first,
    the others in the order of the groups. A group within a group is None when nothing of it is given.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    edits = {name: extra.group for name, hint in hints.items() for extra in _extras(hint) if isinstance(extra, Edits)}
    parameters = [
        one.replace(annotation=_as_option(name, hints[name]))
        for name, one in inspect.signature(function).parameters.items()
        if name not in groups and name not in edits
    ]
    for group in groups.values():
        parameters += _options(group)
    for group in edits.values():
        parameters += [one.replace(annotation=_as_edit(one), default=None) for one in _options(group)]
    parameters.sort(key=lambda one: (one.kind, one.default is not inspect.Parameter.empty))

    def called(*positional: Any, **given: Any) -> int:  # noqa: ANN401 - Any: as Typer has read them
        made: dict[str, Any] = {name: _made(group, given) for name, group in groups.items()}
        for name, group in edits.items():
            taken = {one.name: given.pop(one.name) for one in _options(group)}
            made[name] = {field: value for field, value in taken.items() if value is not None}
        return function(*positional, **given, **made)

    called.__name__, called.__doc__, called.__module__ = function.__name__, function.__doc__, function.__module__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what Typer looks at
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


def _made(group: type, given: dict[str, Any]) -> Any:  # noqa: ANN401 - one of the group
    """Return one of a group, of what was given for its options, which is taken out there."""
    hints, values = get_type_hints(group), {}
    for one in fields(group):
        inner = inner_group(hints[one.name])
        if inner is None:
            values[one.name] = given.pop(one.name)
        else:
            made = _made(inner, given)
            values[one.name] = None if made == inner() else made
    return group(**values)


def _options(group: type) -> list[inspect.Parameter]:
    """Return the options of a group."""
    hints, options = get_type_hints(group, include_extras=True), []
    for one in fields(group):
        hint, inner = hints[one.name], inner_group(hints[one.name])
        if inner is not None:
            options += _options(inner)
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        options.append(
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=_as_option(one.name, hint),
                default=inspect.Parameter.empty if default is MISSING else default,
            )
        )
    return options


def inner_group(hint: Any) -> Any:  # noqa: ANN401 - a type, and perhaps another
    """Return the group that a field of this type is, if it is one or none."""
    if get_origin(hint) is not UnionType:
        return None
    return next((one for one in get_args(hint) if is_dataclass(one)), None)


def _as_edit(option: inspect.Parameter) -> Any:  # noqa: ANN401 - a type, as Typer reads it
    """Return the type of an option that need not be given; a yes can be taken back."""
    kind, (extra,) = option.annotation.__origin__, option.annotation.__metadata__
    if kind is bool:
        name = SETTINGS[option.name].option
        extra = _option(replace(SETTINGS[option.name], option=f"{name}/--no-{name.removeprefix('--')}"))
    return Annotated[kind | None, extra]


def _as_option(name: str, hint: Any) -> Any:  # noqa: ANN401 - a type, as Typer reads it
    """Return the type of a parameter with what Typer must know of it."""
    return hint if _extras(hint) or name not in SETTINGS else Annotated[hint, _option(SETTINGS[name])]


def _option(setting: Setting) -> Any:  # noqa: ANN401 - what Typer makes has no public type
    return option(setting.option, setting.shown, setting.about, setting.group)


def _extras(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type, and what is said of it
    return getattr(hint, "__metadata__", ())
