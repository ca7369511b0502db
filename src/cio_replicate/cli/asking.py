"""What a command asks its user for: whether something is meant, and a secret that must not stand in the command."""

from __future__ import annotations

import getpass
import sys

import typer

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.text import Secret
from cio_replicate.cli.terminal import messages, say


def require_meant(question: str, otherwise: str) -> None:
    """Ask on the terminal. Raises Refused when nobody can answer, Abort when it is not meant."""
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
