"""The columns of a table as known so far: those declared, and those discovered in what the API sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cio_replicate.config.naming import RESERVED, LetterCase
from cio_replicate.schema.table import Column, ColumnType, Table

MOST_DISCOVERED = 200  # a source that sends keys without end must not make columns without end
LONGEST_NAME = 100
TAKEN = "file_row_number"  # DuckDB's name for the place of a row in a page


class KnownColumns:
    """Leads from a path in a record to its column. Grows when a field appears that the table does not declare."""

    def __init__(self, table: Table, discovered: Iterable[Column] = ()) -> None:
        self.table = table
        self.discovered: list[Column] = []
        self.changes = 0  # counts up whenever a path leads to another column than before
        self._by_path = {column.path: column for column in table.columns}
        self._names = {TAKEN, *(column.name.casefold() for column in table.columns)}
        self._inside = tuple(table.naming.column("__".join(path) + "__").casefold() for path in table.objects)
        for column in discovered:
            if column.path not in self._by_path and column.name.casefold() not in self._names:
                self._add(column)
        # a destination tells names only, and of names whose case was changed not for sure from which field they are
        self._guessed = {one.name for one in self.discovered} if table.naming.case is not LetterCase.AS_IS else set()

    @property
    def all(self) -> tuple[Column, ...]:
        """Declared columns first, then the discovered ones in the order of their discovery."""
        return (*self.table.columns, *self.discovered)

    def at(self, path: tuple[str, ...]) -> Column | None:
        """The column for the value at `path`, if there is one."""
        return self._by_path.get(path)

    def discover(self, path: tuple[str, ...], kind: ColumnType) -> Column | None:
        """A new column for the value at `path`, or None when no column can have that name.

        Databases fold the case of names, so a name that differs from a known one only by case is none; nor is one on
        top that reads like a field inside of a flattened object. The type is that of the first value seen, for good:
        what does not fit it later is kept in `_cio_extra`.
        """
        name = self.table.naming.column("__".join(path))
        if name in self._guessed:
            return self._known_as(name, path)
        possible = (
            name.isprintable()
            and bool(name.strip())
            and len(name) <= LONGEST_NAME
            and not name.casefold().startswith(RESERVED)
            and name.casefold() not in self._names
            and not (len(path) == 1 and name.casefold().startswith(self._inside))
            and len(self.discovered) < MOST_DISCOVERED
        )
        if not possible:
            return None
        column = Column(name, kind, "Sent by the API though not in its documentation.", path)
        self._add(column)
        return column

    def _known_as(self, name: str, path: tuple[str, ...]) -> Column:
        """The column that a destination has under this name, which from now on is that of the value at `path`."""
        self._guessed.discard(name)
        at = next(number for number, one in enumerate(self.discovered) if one.name == name)
        column = replace(self.discovered[at], path=path)
        del self._by_path[self.discovered[at].path]
        self.discovered[at] = self._by_path[path] = column
        self.changes += 1
        return column

    def _add(self, column: Column) -> None:
        self.discovered.append(column)
        self.changes += 1
        self._by_path[column.path] = column
        self._names.add(column.name.casefold())
