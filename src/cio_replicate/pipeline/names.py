"""That a table keeps in a copy the name that it has, and where rows must be found again, the rules for its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.schema.system_tables import Checkpoint
from cio_replicate.schema.table import Table
from cio_replicate.sinks.fan_out import members_of, missing_in
from cio_replicate.sinks.port import Sink


def require_same_names(destination: Sink, tables: Sequence[Table]) -> None:
    """Raise InvalidSettings when a copy knows one of these tables by another name than the one that it is to have."""
    for where, table, position in _known(destination, tables):
        called = other_name(table, position)
        if called:
            raise InvalidSettings(
                f"The table {table.name} is called {called} in the copy{where}, and would be called {table.target}.",
                "Give --table-prefix and --column-case as before, choose another --dataset, or drop the table.",
            )


def require_same_rules(destination: Sink, tables: Sequence[Table]) -> None:
    """Raise InvalidSettings when rows about people could not be found in one of these tables, which are not read now.

    By other rules for columns and names they are looked for in columns that are called or hashed otherwise.
    """
    require_same_names(destination, tables)
    for where, table, position in _known(destination, tables):
        if table.person is not None and position.rules != table.rules:
            raise InvalidSettings(
                f"--erase could not find rows of {table.name}, which was copied{where} by other rules for its columns.",
                "Give --columns, --salt, --column-prefix and --column-case as in the run that copied it.",
            )


def _known(destination: Sink, tables: Sequence[Table]) -> Iterator[tuple[str, Table, Checkpoint]]:
    """Where each table was copied, for a sentence, and how far it was read there."""
    missing = missing_in(destination)
    for name, copy in members_of(destination).items():
        positions = copy.positions() if name not in missing else {}
        for table in tables:
            if table.name in positions:
                yield f" in {name}" if name else "", table, positions[table.name]


def other_name(table: Table, position: Checkpoint | None) -> str:
    """What a copy calls a table by the position that it has, if that is not its name here; else "".

    Positions of earlier versions do not tell it.
    """
    called = position.target if position is not None else ""
    return called if called != table.target else ""
