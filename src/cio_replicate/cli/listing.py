"""How settings, lists and changes of them are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import JustifyMethod
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.console.apply_settings import FieldChange, Settings, changed_fields, shown


def as_json(document: Any) -> None:  # noqa: ANN401 - whatever a command has to say
    """Write the one document of a command."""
    write_json(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def grid_of(names: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> Grid:
    """Rows under these names, or facts, each a name and a value, without; nothing in a text is markup."""
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_header=bool(names))
    for place, name in enumerate(names or ("", "")):
        justify: JustifyMethod = "right" if name in numbers else "left"
        grid.add_column(name, justify=justify, overflow="fold", no_wrap=place == 0)
    for row in rows:
        grid.add_row(*(one if isinstance(one, Text) else Text(str(one)) for one in row))
    return grid


def print_settings(name: str, settings: Settings) -> None:
    """Settings, those that are not as they are by default."""
    console = product()
    say(console, name, "bold")
    console.print(grid_of((), [(one.name, shown(one.new)) for one in changed_fields(None, settings)]))
    console.print()


def print_changes(what: str, changes: Sequence[FieldChange], besides: str = "") -> None:
    """What an edit has changed."""
    console = product()
    if not changes:
        say(console, besides or f"Nothing to change: the {what} is so already.")
        return
    say(console, f"Changed the {what}. {besides}".rstrip())
    for one in changes:
        say(console, f"  {one.name}: {shown(one.old)} → {shown(one.new)}")
