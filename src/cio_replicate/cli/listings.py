"""`tables` and `destinations`: what can be copied, and where to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import NotFound
from cio_replicate.cli.failure import COMPLETE
from cio_replicate.cli.options import AsJson, argument, command
from cio_replicate.cli.terminal import Line, answer, grid_of, product, say, say_as_is
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
    if name is None:
        return answer(output, {"tables": [_listed_table(one) for one in TABLES]}, *_list_lines(TABLES))
    return answer(output, _described(table(name)), *_table_lines(table(name)))


def _list_lines(every: Iterable[Table]) -> Iterator[Line]:
    roomy = product().width >= ROOMY
    rows = [
        (one.name, one.method, ", ".join(one.key), *([one.replication_key or ""] if roomy else []), one.about)
        for one in every
    ]
    names = ("table", "method", "key", *(["replication key"] if roomy else []), "holds")
    yield grid_of(names, rows, wrapped=("holds",))
    yield ""
    yield "`cio-replicate tables NAME` shows the columns of one and how it is read."


def _table_lines(one: Table) -> Iterator[Line]:
    facts = {"reads": f"{one.http_method} {one.path}", "method": one.method, "key": ", ".join(one.key)}
    if one.replication_key:
        facts["replication key"] = one.replication_key
    facts["API page"] = one.reference
    yield from table_lines(one.name, one.about, facts, (*one.notes, *facts_of(one)), _columns(one.columns, one.key))
    yield ""
    yield "and in every table", "bold"
    yield _columns(SYSTEM_COLUMNS)


def table_lines(name: str, about: str, facts: Mapping[str, str], notes: Sequence[str], columns: Grid) -> Iterator[Line]:
    """Yield all that is known of one table, for people."""
    yield name, "bold"
    yield Text(about)
    yield ""
    yield grid_of((), facts.items())
    yield ""
    yield grid_of((), [("-", sentence) for sentence in notes], gap=1)
    yield ""
    yield columns


def _columns(columns: Iterable[Column], key: tuple[str, ...] = ()) -> Grid:
    rows = [(one.name, f"{one.type}{', key' * (one.name in key)}", one.about) for one in columns]
    return grid_of(("column", "type", "holds"), rows, wrapped=("column", "holds"))


def _listed_table(one: Table) -> dict[str, object]:
    about = {"replication_key": one.replication_key, "about": one.about}
    return {"name": one.name, "method": one.method, "key": list(one.key), **about}


def _described(one: Table) -> dict[str, object]:
    return {
        **_listed_table(one),
        "reads": f"{one.http_method} {one.path}",
        "reference": one.reference,
        "notes": [*one.notes, *facts_of(one)],
        "columns": [{"name": c.name, "type": c.type, "about": c.about} for c in (*one.columns, *SYSTEM_COLUMNS)],
    }


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
    facts = ("scheme", "title", "form", "extra")
    listed = [{**{fact: getattr(one, fact) for fact in facts}, "tested": one.proved} for one in kinds]
    if name is None or output.json:
        return answer(output, listed, *_kinds_lines())
    _print_kind(product(), kinds[0])
    return COMPLETE


def _kinds_lines() -> Iterator[Line]:
    rows = [(one.title, one.form, one.extra or "", "yes" if one.proved else "") for one in KINDS]
    yield grid_of(("kind", "--to", "needs", "tested"), rows, wrapped=("--to",))
    yield ""
    yield "What stands under `needs` is an extra: pip install 'cio-replicate[EXTRA]'. Those that are not tested"
    yield "by us are configured as dlt documents them. `cio-replicate destinations KIND` shows one in full."


def _print_kind(console: Console, kind: DestinationKind) -> None:
    say(console, kind.title, "bold")
    say(console, kind.about)
    console.print()
    say_as_is(console, f"  --to {kind.form}")
    say_as_is(console, f"  for example: --to '{kind.example}'")
    if kind.extra:
        say_as_is(console, f"  needs: pip install 'cio-replicate[{kind.extra}]'")
    console.print()
    rows = []
    for one in kind.options:
        known = f" Kept in: {', '.join(one.references)}." if one.references else ""
        usual = f" Usually {one.default}." if one.default else ""
        rows.append((one.name, f"{one.about}{usual}{known}{' Needed.' if one.needed else ''}"))
    console.print(grid_of((), rows))
    for note in kind.notes:
        say(console, f"- {note}")
    for look in kind.look:
        console.print()
        for line in look.code.splitlines():
            say_as_is(console, f"  {line}", "cyan")
