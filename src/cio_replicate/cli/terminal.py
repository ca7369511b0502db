"""Standard output and standard error."""

from __future__ import annotations

import contextlib
import os
import sys

from rich.console import Console
from rich.text import Text

from cio_replicate.base.text import FIELD, worded

IN_A_FILE = 160  # columns


class ProductConsole(Console):
    """Standard output: what the user asked for, so a reader who goes away ends the command."""

    def on_broken_pipe(self) -> None:
        """Leave it to `main`."""
        self.quiet = True
        raise BrokenPipeError


class MessageConsole(Console):
    """Standard error: a reader who goes away misses something, but the work goes on."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True


def product() -> Console:
    """The console of standard output: as wide as the terminal, or wide enough for what a file or a program reads."""
    console = ProductConsole(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = IN_A_FILE
    return console


def messages() -> Console:
    """The console of standard error."""
    return MessageConsole(stderr=True, highlight=False)


#: Options of single commands, by the name that a sentence has for them.
ONLY_HERE = {
    "everything": "--all",
    "first": "--from",
    "full_refresh": "--full-refresh",
    "staged": "--from-landing",
    "until": "--until",
}


def as_options(text: str) -> str:
    """A sentence that names settings, with their options."""
    if FIELD.search(text) is None:
        return text
    from cio_replicate.config.documents import settings_declared  # noqa: PLC0415 - so that --help is quick

    return worded(text, {name: one.option for name, one in settings_declared().items()} | ONLY_HERE)


def write_json(document: str) -> None:
    """Write the one JSON document of a command to standard output."""
    document = as_options(document)
    sys.stdout.write(document.rstrip("\n") + "\n")
    sys.stdout.flush()


def say(console: Console, text: str, style: str = "") -> None:
    """Print a sentence: wrapped between words on a terminal, one line in a log; nothing in it is markup."""
    console.print(Text(as_options(text), style=style), soft_wrap=not console.is_terminal)


def say_as_is(console: Console, text: str, style: str = "") -> None:
    """Print a line that can be copied: never wrapped by us."""
    console.print(Text(text, style=style), soft_wrap=True)


def abandon_output() -> None:
    """Send what is still buffered for a reader who went away nowhere, so that the end of Python does not stumble."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
