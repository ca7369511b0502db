"""The entry point: runs a command, and is the only place that catches everything."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import typer

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.cli import (
    commands_connections,
    commands_console,
    commands_control,
    commands_copy,
    commands_gateway,
    commands_runs,
    commands_tasks,
    failure,
)
from cio_replicate.cli.commands import app
from cio_replicate.cli.terminal import abandon_output, as_options, messages, say, write_json

NAME = "cio-replicate"

#: Those of the faces add their commands to the app when they are imported.
__all__ = [
    "app",
    "command",
    "commands_connections",
    "commands_console",
    "commands_control",
    "commands_copy",
    "commands_gateway",
    "commands_runs",
    "commands_tasks",
    "main",
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    asked = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr] # a name that the terminal cannot show is no failure
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = _run(asked)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_output()
        code = failure.UNREAD
    sys.exit(code)


def command() -> None:
    """What the installed command calls: `main`, but the process ends without giving its memory back piece by piece.

    That would take a tenth of a second (measured), in which nothing of worth happens: all is on disk and flushed.
    """
    try:
        main()
    except SystemExit as end:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else failure.FAILED)


def _run(asked: list[str]) -> int:
    """Run a command; whatever goes wrong becomes one line and an exit code."""
    try:
        return int(typer.main.get_command(app).main(asked, prog_name=NAME, standalone_mode=False) or 0)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        return failure.INTERRUPTED
    except typer.Abort:
        return failure.INTERRUPTED
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", NAME)
        return _failed(failure.usage(error.format_message(), command), failure.REFUSED, asked)
    except CioReplicateError as error:
        return _failed(str(error), failure.exit_code(error), asked)
    except ModuleNotFoundError as error:
        return _failed(failure.missing(error, asked), failure.REFUSED, asked)
    except Exception as error:  # noqa: BLE001 - the last place that can turn a defect into a sentence
        if os.environ.get(failure.DEBUG_VARIABLE):
            sys.stderr.write(failure.scrubbed(failure.trace_of(error), os.environ))
        return _failed(failure.internal(error), failure.FAILED, asked)


def _failed(sentence: str, code: int, asked: list[str]) -> int:
    """Say why a command ended; also as JSON when it was asked for."""
    sentence = as_options(failure.scrubbed(sentence, os.environ))
    if "--json" in asked:
        write_json(failure.document(sentence, code, asked))
    say(messages(), f"Error: {sentence}", "red")
    return code


if __name__ == "__main__":
    command()
