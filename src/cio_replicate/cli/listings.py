"""`tables` and `destinations`: what can be copied, and where to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import NotFound
from cio_replicate.cli.options import AsJson, argument, command
from cio_replicate.cli.terminal import as_json, product, say, say_as_is
from cio_replicate.config.destination_kind import DestinationKind
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, Table
from cio_replicate.sinks.kinds import KINDS, schemes
from cio_replicate.source.catalog import TABLES, facts_of, names, table

ROOMY = 100  # columns of a terminal that leave room for a sentence beside everything else


@command("tables", "cio-replicate tables", "cio-replicate tables messages")
def tables(
    *,
    name: Annotated[str | None, argument("[NAME]", "One table: shows its columns and how it is read.")] = None,
    output: AsJson,
) -> int:
    """List the tables that can be copied, or the columns of one of them."""
    if name is not None and name not in names():
        raise NotFound(f"There is no table {name!r}.", f"The tables are: {', '.join(names())}.")
    if output.json:
        described = _described(table(name)) if name is not None else {"tables": [_listed_table(one) for one in TABLES]}
        as_json(described)
    elif name is None:
        _print_tables(product(), TABLES)
    else:
        _print_table(product(), table(name))
    return 0


def _print_tables(console: Console, every: Iterable[Table]) -> None:
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


def _listed_table(one: Table) -> dict[str, object]:
    return {
        "name": one.name,
        "method": one.method,
        "key": list(one.key),
        "replication_key": one.replication_key,
        "about": one.about,
    }


def _described(one: Table) -> dict[str, object]:
    return {
        **_listed_table(one),
        "reads": f"{one.http_method} {one.path}",
        "reference": one.reference,
        "notes": [*one.notes, *facts_of(one)],
        "columns": [
            {"name": column.name, "type": column.type, "about": column.about}
            for column in (*one.columns, *SYSTEM_COLUMNS)
        ],
    }


class DestinationKindJson(msgspec.Struct, kw_only=True):
    """A kind, as `--json` writes it."""

    scheme: str
    title: str
    form: str
    extra: str | None
    tested: bool


@command("destinations", "cio-replicate destinations", "cio-replicate destinations postgresql")
def destinations(
    *,
    name: Annotated[str | None, argument("[KIND]", "One kind: shows its options and how to look at a copy.")] = None,
    output: AsJson,
) -> int:
    """List the kinds of places a copy can be in, or show one of them."""
    if name is not None and name not in schemes():
        raise NotFound(f"There is no kind of destination {name!r}.", f"Choose from: {', '.join(schemes())}.")
    kinds = KINDS if name is None else (schemes()[name],)
    if output.json:
        as_json([_listed_kind(one) for one in kinds])
    elif name is None:
        _print_kinds(product())
    else:
        _print_kind(product(), kinds[0])
    return 0


def _listed_kind(kind: DestinationKind) -> DestinationKindJson:
    return DestinationKindJson(
        scheme=kind.scheme, title=kind.title, form=kind.form, extra=kind.extra, tested=kind.proved
    )


def _print_kinds(console: Console) -> None:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("kind", "--to", "needs", "tested"):
        grid.add_column(name, no_wrap=name != "--to", overflow="fold")
    for kind in KINDS:
        grid.add_row(kind.title, Text(kind.form), kind.extra or "", "yes" if kind.proved else "")
    console.print(grid)
    console.print()
    say(console, "What stands under `needs` is an extra: pip install 'cio-replicate[EXTRA]'. Those that are not tested")
    say(console, "by us are configured as dlt documents them. `cio-replicate destinations KIND` shows one in full.")


def _print_kind(console: Console, kind: DestinationKind) -> None:
    say(console, kind.title, "bold")
    say(console, kind.about)
    console.print()
    say_as_is(console, f"  --to {kind.form}")
    say_as_is(console, f"  for example: --to '{kind.example}'")
    if kind.extra:
        say_as_is(console, f"  needs: pip install 'cio-replicate[{kind.extra}]'")
    console.print()
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for option in kind.options:
        known = f" Kept in: {', '.join(option.references)}." if option.references else ""
        usual = f" Usually {option.default}." if option.default else ""
        grid.add_row(option.name, Text(f"{option.about}{usual}{known}{' Needed.' if option.needed else ''}"))
    console.print(grid)
    for note in kind.notes:
        say(console, f"- {note}")
    for look in kind.look:
        console.print()
        for line in look.code.splitlines():
            say_as_is(console, f"  {line}", "cyan")
