"""What the README promises exists: its first two commands, tables, commands, options, exit codes, report fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.cli import failure
from cio_replicate.cli.app import program
from cio_replicate.pipeline.report import EXIT_CODES, Report, TableReport
from cio_replicate.schema.table import Table
from cio_replicate.source.catalog import TABLES

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^ *```[^\n]*\n(.*?)^ *```\s*$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"cio-replicate(?: (?P<command>[a-z]+))?(?P<rest>(?: [^\n`#(]*)?)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
HELP = {"--help"}  # every command has it


def test_it_opens_with_two_commands() -> None:
    """Right under the title stand the demo and the tests, each with what it does, and nothing else."""
    title, first, *_ = FENCE.split(TEXT)
    assert title.strip() == "# cio-replicate"
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]
    assert all(line.partition("#")[2].strip() for line in first.splitlines())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_it_lists_every_table(table: Table) -> None:
    """Each table is listed with its method and key, and leads to its section of the reference page."""
    keys = ", ".join(f"`{name}`" for name in table.key)
    assert f"\n| [`{table.name}`](docs/tables.md#{table.name}) | {table.method} | {keys} |\n" in TEXT


def test_it_lists_no_table_that_is_not_there() -> None:
    """The list is as long as the catalogue, in the same order, and so is the number of tables that it states."""
    assert re.findall(r"^\| \[`(\w+)`\]", TEXT, flags=re.MULTILINE) == [table.name for table in TABLES]
    assert {int(count) for count in re.findall(r"\b(\d+) tables\b", TEXT)} == {len(TABLES)}


def test_commands_and_their_options_exist() -> None:
    """A command that is shown is one of ours, and the options shown with it are its own."""
    assert [use for use in _uses() if use[0] not in _options() or not use[1] <= _options()[use[0]]] == []


def test_every_command_is_named() -> None:
    """A reader meets every command, in code or in the name of a job."""
    assert [name for name in _options() if name and not re.search(rf"(?:cio-replicate|make) {name}\b", TEXT)] == []


def test_options_named_alone_exist() -> None:
    """An option that stands in a sentence belongs to some command."""
    every = set().union(*_options().values())
    assert set(OPTION.findall(TEXT)) - every == set()


def test_exit_codes_are_those_of_the_program() -> None:
    """Exactly the codes that a command can end with are listed."""
    section = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)}
    assert listed == {*EXIT_CODES.values(), failure.UNREAD}


def test_report_fields_are_those_of_the_report() -> None:
    """The tables of fields hold every field of a run and of a table, and no other."""
    run, _, table = TEXT.partition("## The report")[2].partition("\n## ")[0].partition("| Field of a table |")
    assert _fields(run) == set(Report.__struct_fields__)
    assert _fields(table) == set(TableReport.__struct_fields__)


def _fields(text: str) -> set[str]:
    firsts = re.findall(r"^\| (`[^|]+) \|", text, flags=re.MULTILINE)
    return {name for first in firsts for name in re.findall(r"`(\w+)`", first)}


def _options() -> dict[str, set[str]]:
    """The options of each command, a group having those of its commands; those of the program under an empty name."""
    group: Any = program()
    commands = {"": [group], **{name: _with_its_own(command) for name, command in group.commands.items()}}
    return {
        name: HELP | {option for one in some for parameter in one.params for option in parameter.opts if "--" in option}
        for name, some in commands.items()
    }


def _with_its_own(command: Any) -> list[Any]:
    every = [command, *getattr(command, "commands", {}).values()]
    return [getattr(one, "loaded", one) for one in every]


def _uses() -> Iterator[tuple[str, set[str]]]:
    """Each call of the program in code, with its options."""
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", TEXT))
    for code in (*(body.replace("\\\n", " ") for body in FENCE.findall(TEXT)), *spans):
        for call in COMMAND.finditer(code):
            yield call["command"] or "", set(OPTION.findall(call["rest"]))
