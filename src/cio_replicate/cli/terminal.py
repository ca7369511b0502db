"""Speak with the user: sentences, lists, JSON documents and a log go out; a yes and secrets come in."""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import typer
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.cli.failure import COMPLETE, INTERRUPTED
from cio_replicate.cli.options import AsJson
from cio_replicate.config.options import as_options

IN_A_FILE = 160  # columns
Line = RenderableType | tuple[str, str]  # what a command shows: a grid, a sentence, or a sentence with its style


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


def write_json(document: str) -> None:
    """Write the one JSON document of a command to standard output."""
    document = as_options(document)
    sys.stdout.write(document.rstrip("\n") + "\n")
    sys.stdout.flush()


def as_json(document: Any) -> None:  # noqa: ANN401 - whatever a command has to say
    """Write the one document of a command, which is encoded here."""
    write_json(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def answer(output: AsJson, document: Any, *shown: Line) -> int:  # noqa: ANN401 - whatever a command has to say
    """Write what a command found or did: as JSON if asked for, else as sentences and grids. Return `COMPLETE`."""
    if output.json:
        as_json(document)
        return COMPLETE
    console = product()
    for one in shown:
        if isinstance(one, str):
            say(console, one)
        elif isinstance(one, tuple):
            say(console, *one)
        else:
            console.print(one)
    return COMPLETE


def grid_of(
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    numbers: Sequence[str] = (),
    *,
    wrapped: Sequence[str] | None = None,
    gap: int = 2,
) -> Grid:
    """Return rows under these names, or facts, each a name and a value, without; nothing in a text is markup.

    Columns `wrapped` may take several lines: all but the first unless given.
    """
    grid = Grid(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="bold", show_header=bool(names))
    for place, name in enumerate(names or ("", "")):
        justify: JustifyMethod = "right" if name in numbers else "left"
        whole = place == 0 if wrapped is None else name not in wrapped
        grid.add_column(name, justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        grid.add_row(*(one if isinstance(one, Text) else Text(str(one)) for one in row))
    return grid


def log_to_stderr(level: int, *names: str) -> None:
    """Write what these loggers say from `level` on to standard error, each line with its time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    for name in names:
        log = logging.getLogger(name)
        log.addHandler(handler)
        log.setLevel(level)


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


def require_meant(question: str, otherwise: str, *, yes: bool) -> None:
    """Ask on the terminal, unless `yes`. Raises Refused when nobody can answer, Abort when it is not meant."""
    if yes:
        return
    try:
        meant = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise InvalidSettings("Nobody can answer here whether that is meant.", "Say --yes.") from None
    if not meant:
        say(messages(), otherwise)
        raise typer.Abort


def secret_from_input(what: str) -> Secret:
    """A secret that is typed on the terminal, unseen, or comes in by standard input, without its last line break."""
    if sys.stdin.isatty():
        try:
            return Secret(getpass.getpass(f"{what}: ", stream=sys.stderr))
        except EOFError:
            raise typer.Abort from None
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise InvalidSettings("What came in by standard input is no text.", "Give the secret in UTF-8.") from None
    return Secret(text.removesuffix("\n").removesuffix("\r"))


class StopSignal:
    """Asked for by the first signal; a second one ends the process at once, and its runs end in order by themselves.

    A plain flag: a handler that takes a lock, as that of an event, can meet the thread that holds it.
    """

    def __init__(self) -> None:
        self._asked = False
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self._ask)

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked

    def _ask(self, number: int, frame: object) -> None:
        _ = number, frame
        if self._asked:
            os._exit(INTERRUPTED)
        self._asked = True
