"""Commands that take whole groups of options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from cio_replicate.cli.taking import taking


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
    @taking
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

    @taking
    def plain(*, count: int = 1) -> int:
        return count

    assert plain(count=4) == 4
