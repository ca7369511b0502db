"""`tables`: the tables that can be copied, and the columns of one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import NotFound
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, write_json
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, Table
from cio_replicate.source.catalog import TABLES, facts_of, names, table

ROOMY = 100  # columns of a terminal that leave room for a sentence beside everything else


def tables(name: str | None, output: AsJson) -> int:
    """List all tables, or show one. Raises NotFound when there is none of that name."""
    if name is not None and name not in names():
        raise NotFound(f"There is no table {name!r}.", f"The tables are: {', '.join(names())}.")
    if output.json:
        described = _described(table(name)) if name is not None else {"tables": [_listed(one) for one in TABLES]}
        write_json(msgspec.json.format(msgspec.json.encode(described), indent=2).decode())
    elif name is None:
        _print_list(product(), TABLES)
    else:
        _print_table(product(), table(name))
    return 0


def _print_list(console: Console, every: Iterable[Table]) -> None:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("table", no_wrap=True)
    grid.add_column("method", no_wrap=True)
    grid.add_column("key", no_wrap=True)
    roomy = console.width >= ROOMY
    if roomy:
        grid.add_column("replication key", no_wrap=True)
    grid.add_column("holds")
    for one in every:
        replication_key = [one.replication_key or ""] if roomy else []
        grid.add_row(one.name, one.method, ", ".join(one.key), *replication_key, Text(one.about))
    console.print(grid)
    console.print()
    say(console, "`cio-replicate tables NAME` shows the columns of one and how it is read.")


def _print_table(console: Console, one: Table) -> None:
    say(console, one.name, "bold")
    console.print(Text(one.about))
    console.print()
    facts = Grid.grid(padding=(0, 2, 0, 0))
    facts.add_row("reads", f"{one.http_method} {one.path}")
    facts.add_row("method", one.method)
    facts.add_row("key", ", ".join(one.key))
    if one.replication_key:
        facts.add_row("replication key", one.replication_key)
    facts.add_row("API page", Text(one.reference))
    console.print(facts)
    console.print()
    for sentence in (*one.notes, *facts_of(one)):
        bullet = Grid.grid(padding=(0, 1, 0, 0))
        bullet.add_row("-", Text(sentence))
        console.print(bullet)
    console.print()
    console.print(_columns(one.columns, one.key))
    console.print()
    say(console, "and in every table", "bold")
    console.print(_columns(SYSTEM_COLUMNS))


def _columns(columns: Iterable[Column], key: tuple[str, ...] = ()) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    grid.add_column("column", overflow="fold")
    grid.add_column("type", no_wrap=True)
    grid.add_column("holds")
    for column in columns:
        kind = f"{column.type}, key" if column.name in key else str(column.type)
        grid.add_row(column.name, kind, Text(column.about))
    return grid


def _listed(one: Table) -> dict[str, object]:
    return {
        "name": one.name,
        "method": one.method,
        "key": list(one.key),
        "replication_key": one.replication_key,
        "about": one.about,
    }


def _described(one: Table) -> dict[str, object]:
    return {
        **_listed(one),
        "reads": f"{one.http_method} {one.path}",
        "reference": one.reference,
        "notes": [*one.notes, *facts_of(one)],
        "columns": [
            {"name": column.name, "type": column.type, "about": column.about}
            for column in (*one.columns, *SYSTEM_COLUMNS)
        ],
    }
