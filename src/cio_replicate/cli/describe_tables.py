"""The table of tables as a page to read: `python -m cio_replicate.cli.describe_tables > docs/tables.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

from cio_replicate.cli.written_page import write_or_check
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, Method, Table
from cio_replicate.source.catalog import TABLES, facts_of
from cio_replicate.source.strategies import strategy_class

COMMAND = "python -m cio_replicate.cli.describe_tables"
NONE = "–"

_TYPES = {
    ColumnType.STRING: "text of any length",
    ColumnType.INTEGER: "a whole number of 64 bits",
    ColumnType.NUMBER: "a number in double precision",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.TIMESTAMP: "a moment in UTC; the API sends unix seconds",
    ColumnType.JSON: "an array or an object, its text as received",
}

_METHODS = {
    Method.INCREMENTAL: "the rows whose replication key is not before the start date",
    Method.FULL: "every row that is read",
}


def page(tables: Sequence[Table] = TABLES) -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines(tables)) + "\n"


def overview(tables: Iterable[Table]) -> Iterator[str]:
    """One line of a table per table: what it reads, how, and what it holds."""
    yield from _grid(
        ("Table", "Reads", "Method", "Key", "Replication key", "Holds"),
        (
            (
                f"[`{table.name}`](#{table.name})",
                f"`{table.http_method} {table.path}`",
                table.method,
                _codes(table.key),
                _code(table.replication_key),
                table.about,
            )
            for table in tables
        ),
    )


def section(table: Table) -> Iterator[str]:
    """All there is to say about one table."""
    facts = {
        "Reads": f"[`{table.http_method} {table.path}`]({table.reference})",
        "Method": table.method,
        "Key": _codes(table.key),
        "Replication key": _code(table.replication_key),
    }
    yield from (f"## `{table.name}`", "", table.about, "")
    yield " · ".join(f"**{label}** {value}" for label, value in facts.items() if value != NONE)
    yield ""
    if sentences := [*table.notes, *facts_of(table)]:
        yield from (*(f"- {sentence}" for sentence in sentences), "")
    yield from _columns(table.columns, table.key)


def _lines(tables: Sequence[Table]) -> Iterator[str]:
    by_time = _codes(table.name for table in tables if strategy_class(table).by_time)
    yield from (f"<!-- Written by `{COMMAND}`: change the tables, not this page. -->", "", "# Tables", "")
    yield f"The {len(tables)} tables that can be copied, with every column that Customer.io is known to send."
    yield ""
    yield from overview(tables)
    yield ""
    yield from (
        f"- *{method.capitalize()}* compares {_METHODS[method]} with the copy, and writes those that differ."
        for method in Method
    )
    yield from (
        "- The **key** tells rows apart. The **replication key** is the column whose highest value is remembered.",
        f"- Only {by_time} can be asked for by time; every other list is read whole, whatever its method, unless",
        "  the table says otherwise.",
        "",
        "Unless a table says otherwise, its list comes in one answer, the start date does not apply to it, and a row",
        "that a complete read no longer finds is marked deleted.",
        "",
        "## How values become columns",
        "",
    )
    yield from _grid(("Type", "Holds"), ((kind, _TYPES[kind]) for kind in ColumnType))
    yield from (
        "",
        "- An object with known fields becomes a column per field, its name and the field's joined by two underscores:",
        "  `customer_identifiers__email`.",
        "- A field that is not listed here becomes a new column when it is first sent.",
        "- Any column can be null: the API leaves fields out freely.",
        "- *Personal* columns may tell who a person is. With `--erase` they are blanked once that person is gone, with",
        "  `_cio_extra` and every column that is not listed here: [Erasure](how-it-works.md#erasure).",
        "",
        "## Columns of every table",
        "",
    )
    yield from _columns(SYSTEM_COLUMNS)
    for table in tables:
        yield ""
        yield from section(table)


def _columns(columns: Iterable[Column], key: Sequence[str] = ()) -> Iterator[str]:
    yield from _grid(
        ("Column", "Type", "Holds"),
        ((_code(column.name), _kind(column, key), _about(column)) for column in columns),
    )


def _kind(column: Column, key: Sequence[str]) -> str:
    marks = (*(("key",) if column.name in key else ()), *(("personal",) if column.personal else ()))
    return ", ".join((column.type.value, *marks))


def _about(column: Column) -> str:
    in_the_api = ".".join(column.path)
    renamed = "__".join(column.path) != column.name
    return f"{column.about} In the API: `{in_the_api}`." if renamed else column.about


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _code(name: str | None) -> str:
    return f"`{name}`" if name else NONE


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page to standard output; with `--check FILE`, return 1 when that file is not the page."""
    return write_or_check(page(), "the tables", COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main())
