"""The entry point: lists every command, runs one, and is the only place that catches everything."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from cio_replicate.base.errors import CioReplicateError
from cio_replicate.base.version import __version__
from cio_replicate.cli import failure
from cio_replicate.cli.options import command_in, epilog_of
from cio_replicate.cli.terminal import abandon_output, messages, say, write_json
from cio_replicate.config.options import as_options

NAME = "cio-replicate"

GROUPS = {
    "connection": "Keep what reaches a workspace, look at what it may read, and test it.",
    "channel": "Keep places that notifications go to: e-mail, Slack, webhooks and many more.",
    "secret": "Store secrets encrypted. They can be replaced and removed, and never be read back.",
    "gateway": "Run tasks inside a private network: no row and no secret of it reaches the console.",
    "task": "Keep what is replicated, how and when.",
    "runs": "Look at runs of tasks, cancel them, and try them again.",
}


#: Where each command is: its group, the module that defines it, and the names in the order in which help lists them.
COMMANDS = (
    ("", "demo", "demo"),
    ("", "sync", "sync"),
    ("", "listings", "tables"),
    ("", "copy_commands", "check plan status"),
    ("", "simulate", "simulate"),
    ("", "console", "console"),
    ("", "settings_commands", "apply export"),
    ("", "copy_commands", "verify"),
    ("", "sync", "resync backfill load"),
    ("", "copy_commands", "preview drop"),
    ("", "listings", "destinations"),
    ("", "run_commands", "scheduler"),
    ("connection", "connection_commands", "create list show test metadata edit delete"),
    ("channel", "settings_commands", "create list test delete"),
    ("secret", "settings_commands", "put list remove rotate"),
    ("gateway", "gateway_commands", "create code list revoke remove"),
    ("gateway", "gateway_machine", "start status unit"),
    ("task", "task_commands", "create list show edit pause resume delete"),
    ("task", "run_commands", "run"),
    ("runs", "run_commands", "list show cancel retry"),
)
PANELS = {"gateway_commands": "Where the console runs", "gateway_machine": "Where the gateway runs"}


class LazyCommand(typer.core.TyperCommand):
    """A command in a list of commands; the module with its options and its work is imported when it is called."""

    def __init__(self, path: str, module: str) -> None:
        super().__init__(name=path.rpartition(" ")[2], rich_help_panel=PANELS.get(module))
        self._path, self._module = path, module

    @cached_property
    def loaded(self) -> Any:  # noqa: ANN401 - what Typer makes has no public type
        """The command itself."""
        return command_in(importlib.import_module(f"cio_replicate.cli.{self._module}"), self._path)

    def summarize(self) -> None:
        """Set the help to the first paragraph of the command's own."""
        self.help = _summaries(self._module)[self._path]

    def make_context(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as Typer calls it
        """Begin a call: from here on the command itself is asked."""
        return self.loaded.make_context(*arguments, **more)


class CommandGroup(typer.core.TyperGroup):
    """A group of commands that are imported when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as Typer calls it
        """Return the names of the commands, for help and for completion, which show the summaries too."""
        for one in self.commands.values():
            if isinstance(one, LazyCommand):
                one.summarize()
        return super().list_commands(ctx)


@cache
def _summaries(module: str) -> dict[str, str]:
    """Return the first paragraph of each command's help, read from the source: imports take ten times as long."""
    found = {}
    for node in ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef(
                decorator_list=[ast.Call(func=ast.Name("command"), args=[ast.Constant(str(path)), *_]), *_]
            ):
                found[path] = (ast.get_docstring(node) or "").partition("\n\n")[0]
    return found


app = typer.Typer(
    name=NAME,
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        sys.stdout.write(f"cio-replicate {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog=epilog_of(
        "cio-replicate demo",
        "cio-replicate sync --start-date 2024-01-31 --to duckdb:///customerio.duckdb",
        "cio-replicate COMMAND --help",
    )
)
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Copy a Customer.io workspace into your own database, keep the copy true, and prove it.

    New here? `demo` shows everything with a made-up workspace, without a key and without a network.
    """
    _ = version


@cache
def program() -> CommandGroup:
    """Return the whole command line."""
    whole = cast("CommandGroup", typer.main.get_command(app))
    groups = {"": whole}
    for name, about in GROUPS.items():
        groups[name] = CommandGroup(name=name, help=about, no_args_is_help=True, rich_markup_mode="markdown")
    for group, module, names in COMMANDS:
        for name in names.split():
            groups[group].add_command(LazyCommand(f"{group} {name}".strip(), module))
    for name in GROUPS:
        whole.add_command(groups[name])
    return whole


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
        return int(program().main(asked, prog_name=NAME, standalone_mode=False) or 0)
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
