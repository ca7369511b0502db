"""The page that describes all tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_replicate.cli.describe_tables import main, page, section
from cio_replicate.schema.system_tables import SYSTEM_COLUMNS
from cio_replicate.schema.table import Column, ColumnType, Table
from cio_replicate.source.catalog import TABLES, facts_of

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_the_page_is_up_to_date() -> None:
    """docs/tables.md says what the tables say."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_holds_every_column() -> None:
    """Every column of every table, and every system column, stands on the page with its sentence."""
    columns = [*SYSTEM_COLUMNS, *(column for table in TABLES for column in table.columns)]
    lines = page().splitlines()
    shown = {(line.split("`")[1], line.split(" | ", 2)[2]) for line in lines if line.startswith("| `")}
    missing = [
        column for column in columns if not any(_shows(column, cell) for name, cell in shown if name == column.name)
    ]
    assert missing == []


def test_the_page_explains_every_type() -> None:
    """Every type that a column can have is explained."""
    assert [kind for kind in ColumnType if f"\n| {kind} | " not in page()] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_row_of_a_section_has_three_cells(table: Table) -> None:
    """No name or sentence breaks out of its cell."""
    rows = [line for line in section(table) if line.startswith("|")]
    assert len(rows) == len(table.columns) + 2
    assert {row.replace("\\|", "").count("|") for row in rows} == {4}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_notes_and_facts_are_sentences(table: Table) -> None:
    """Every note on a table and every derived fact ends in a period."""
    assert [line for line in (*table.notes, *facts_of(table)) if not line.endswith(".")] == []


def test_a_column_under_another_name_says_so() -> None:
    """A column that is not called like the API's field names that field."""
    assert "`metrics.secondary:delivered`" in page()


def test_check_is_silent_when_the_page_is_up_to_date(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Checking what was just written finds nothing."""
    assert main([]) == 0
    written = tmp_path / "tables.md"
    written.write_text(capfd.readouterr().out, encoding="utf-8")
    assert main(["--check", str(written)]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [None, b"", b"\xff# Tables\n"])
def test_check_says_when_the_page_lags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """A page that lags, is missing or is no text fails the check with one sentence that names the remedy."""
    file = tmp_path / "tables.md"
    if content is not None:
        file.write_bytes(content)
    assert main(["--check", str(file)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith(f"> {file}`.\n")


def _shows(column: Column, cell: str) -> bool:
    return cell.startswith(column.about.replace("|", "\\|"))
