"""Commands take whole groups of options; the list of commands is that of the modules, and imports none of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

import cio_replicate
from cio_replicate.cli.app import LazyCommand, program
from cio_replicate.cli.options import with_options

LISTING = """
import sys
from cio_replicate.cli.app import main
try:
    main(["--help"])
finally:
    sys.stderr.write(" ".join(sys.modules))
"""


@dataclass(frozen=True, kw_only=True)
class Where:
    """A group with one option that must be given."""

    to: Annotated[str, typer.Option("--to", help="Where.")]
    dataset: Annotated[str, typer.Option("--dataset", help="Which.")] = "usual"


@dataclass(frozen=True, kw_only=True)
class Wide(Where):
    """A group that has the options of another, and more."""

    names: Annotated[list[str] | None, typer.Option("--name", help="Names.")] = None


def app(seen: list[object]) -> typer.Typer:
    """A program with one command that notes what it was given."""
    made = typer.Typer()

    @made.command()
    @with_options
    def command(
        table: Annotated[str, typer.Argument(help="The table.")],
        *,
        count: Annotated[int, typer.Option("--count", help="How many.")] = 5,
        where: Wide,
    ) -> int:
        """Do it."""
        seen.extend((table, count, where))
        return 3

    return made


def called(*arguments: str) -> tuple[object, list[object]]:
    """What the command returned, and what it was given."""
    seen: list[object] = []
    return typer.main.get_command(app(seen)).main(list(arguments), standalone_mode=False), seen


def test_each_field_of_a_group_is_an_option() -> None:
    """Also those of the group that it extends; what is not given has its default."""
    given = called("segments", "--to", "here", "--name", "a", "--name", "b", "--count", "2")
    assert given == (3, ["segments", 2, Wide(to="here", names=["a", "b"])])


def test_an_option_without_a_default_must_be_given() -> None:
    """Though options with one stand before it."""
    with pytest.raises(typer.TyperException, match="Missing parameter: to"):
        called("segments")


def test_the_command_keeps_its_name_and_its_words() -> None:
    """They are what its help shows."""
    (command,) = app([]).registered_commands
    assert command.callback is not None
    assert (command.callback.__name__, command.callback.__doc__) == ("command", "Do it.")


def test_a_command_without_groups_stays_as_it_is() -> None:
    """Its own options are its options."""

    @with_options
    def plain(*, count: int = 1) -> int:
        return count

    assert plain(count=4) == 4


def test_each_listed_command_is_one_of_its_module() -> None:
    """It is there under that name, and its help begins with what the list says."""
    for path, command in _listed(program()):
        assert command.loaded.name == path.rpartition(" ")[2]
        command.summarize()
        assert command.help
        assert command.loaded.help.partition("\n\n")[0] == command.help, path


def test_each_command_of_a_module_is_listed() -> None:
    """A function that is made a command can be called as one."""
    modules = (Path(cio_replicate.__file__).parent / "cli").glob("*.py")
    made = {
        path for one in modules for path in re.findall(r'^@command\(\s*"([^"]+)"', one.read_text("utf-8"), re.MULTILINE)
    }
    assert made == {path for path, _ in _listed(program())}


def test_help_imports_no_library_of_a_command() -> None:
    """So that it is quick, and is there whatever is installed."""
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    assert "sync" in done.stdout
    assert {"duckdb", "pyarrow", "sqlalchemy", "httpx2", "cio_replicate.cli.sync"} & set(done.stderr.split()) == set()


def _listed(group: Any, within: str = "") -> Iterator[tuple[str, LazyCommand]]:
    for name, one in group.commands.items():
        path = f"{within} {name}".strip()
        if isinstance(one, LazyCommand):
            yield path, one
        else:
            yield from _listed(one, path)
