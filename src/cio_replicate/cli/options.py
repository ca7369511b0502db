"""The options that only a command line has, and how a setting is taken there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cio_replicate.config.options import Setting

OUTPUT = "What is shown"

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar="",
        help="Write one JSON document to standard output and everything else to standard error.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", metavar="", help="Show only problems.", rich_help_panel=OUTPUT)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AsJson:
    """Whether a program reads what is shown."""

    json: Json = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(AsJson):
    """What is shown."""

    quiet: Quiet = False


def option(setting: Setting) -> Any:  # noqa: ANN401 - what Typer makes has no public type
    """A setting as an option of a command."""
    return typer.Option(setting.option, metavar=setting.shown, help=setting.about, rich_help_panel=setting.group)
