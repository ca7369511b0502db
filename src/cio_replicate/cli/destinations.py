"""`destinations`: the kinds of places a copy can be in, and one of them in full."""

from __future__ import annotations

import msgspec
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from cio_replicate.base.errors import NotFound
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import product, say, say_as_is, write_json
from cio_replicate.config.destination_kind import DestinationKind
from cio_replicate.sinks.kinds import KINDS, schemes


class Listed(msgspec.Struct, kw_only=True):
    """A kind, as `--json` writes it."""

    scheme: str
    title: str
    form: str
    extra: str | None
    tested: bool


def destinations(name: str | None, output: AsJson) -> int:
    """List all kinds, or show one. Raises NotFound when there is none of that name."""
    if name is not None and name not in schemes():
        raise NotFound(f"There is no kind of destination {name!r}.", f"Choose from: {', '.join(schemes())}.")
    kinds = KINDS if name is None else (schemes()[name],)
    if output.json:
        write_json(msgspec.json.format(msgspec.json.encode([_listed(one) for one in kinds]), indent=2).decode())
    elif name is None:
        _print_list(product())
    else:
        _print_kind(product(), kinds[0])
    return 0


def _listed(kind: DestinationKind) -> Listed:
    return Listed(scheme=kind.scheme, title=kind.title, form=kind.form, extra=kind.extra, tested=kind.proved)


def _print_list(console: Console) -> None:
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
