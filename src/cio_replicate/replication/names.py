"""That a table keeps the name that it has in a copy: under another one it would begin anew, beside what is there."""

from __future__ import annotations

from collections.abc import Sequence

from cio_replicate.base.errors import SettingsError
from cio_replicate.landing.position import Position
from cio_replicate.load.destination import Destination
from cio_replicate.load.several import members_of, missing_in
from cio_replicate.tables.declare import Table


def require_same_names(destination: Destination, tables: Sequence[Table]) -> None:
    """Raise SettingsError when a copy knows one of these tables by another name than the one that it is to have."""
    missing = missing_in(destination)
    for name, copy in members_of(destination).items():
        positions = copy.positions() if name not in missing else {}
        for table in tables:
            called = other_name(table, positions.get(table.name))
            if called:
                raise SettingsError(
                    f"The table {table.name} is called {called} in the copy{f' in {name}' if name else ''}, "
                    f"and would be called {table.target}.",
                    "Give --table-prefix and --column-case as before, choose another --dataset, or drop the table.",
                )


def other_name(table: Table, position: Position | None) -> str:
    """What a copy calls a table by the position that it has, if that is not its name here; else "".

    Positions of earlier versions do not tell it.
    """
    called = position.target if position is not None else ""
    return called if called != table.target else ""
