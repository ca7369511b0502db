"""The page that describes all tables."""

from __future__ import annotations

import pytest

from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.source.catalog import TABLES, facts_of
from docs.reference_pages import table_section, tables_page


def test_the_page_holds_every_column() -> None:
    """Every column of every table, and every system column, stands on the page with its sentence."""
    columns = [*SYSTEM_COLUMNS, *(column for table in TABLES for column in table.columns)]
    lines = tables_page().splitlines()
    shown = {(line.split("`")[1], line.split(" | ", 2)[2]) for line in lines if line.startswith("| `")}
    missing = [
        column for column in columns if not any(_shows(column, cell) for name, cell in shown if name == column.name)
    ]
    assert missing == []


def test_the_page_explains_every_type() -> None:
    """Every type that a column can have is explained."""
    assert [kind for kind in ColumnType if f"\n| {kind} | " not in tables_page()] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_of_a_section_has_three_cells(table: Table) -> None:
    """No name or sentence breaks out of its cell."""
    rows = [line for line in table_section(table) if line.startswith("|")]
    assert len(rows) == len(table.columns) + 2
    assert {row.replace("\\|", "").count("|") for row in rows} == {4}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_notes_and_facts_are_sentences(table: Table) -> None:
    """Every note on a table and every derived fact ends in a period."""
    assert [line for line in (*table.notes, *facts_of(table)) if not line.endswith(".")] == []


def test_a_column_under_another_name_says_so() -> None:
    """A column that is not called like the API's field names that field."""
    assert "`metrics.secondary:delivered`" in tables_page()


def _shows(column: Column, cell: str) -> bool:
    return cell.startswith(column.about.replace("|", "\\|"))
