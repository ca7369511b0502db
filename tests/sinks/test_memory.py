"""Rows that need more memory than DuckDB is given at first."""

from __future__ import annotations

from pathlib import Path

import pytest

from cio_replicate.sinks.duckdb.duckdb_backend import DuckDBSink
from cio_replicate.sinks.port import Changes
from tests.sinks.copying import query, write
from tests.sinks.pages import Pages, close

ROWS = 400


def _snippets(pages: Pages, mark: str) -> list[Path]:
    made = [{"name": f"{number}", "value": f"{mark}{number}-" * 8000} for number in range(ROWS)]
    return [pages.land(*made[first : first + 100]) for first in range(0, ROWS, 100)]


@pytest.mark.parametrize("memory", ["12MB", "30MB"])
def test_large_rows_are_loaded_all_the_same(tmp_path: Path, memory: str) -> None:
    """What changed is counted once, whether the memory was too little for the merge or for what follows a commit."""
    pages = Pages(tmp_path / "pages", "snippets")
    file = tmp_path / "copy.duckdb"
    destination = DuckDBSink(file, "customerio", memory=memory)
    first, second = _snippets(pages, "a"), _snippets(pages, "b")
    assert write(destination, pages.batch(*first, close=close(*first))) == Changes(inserted=ROWS)
    destination = DuckDBSink(file, "customerio", memory=memory)
    assert write(destination, pages.batch(*second[1:], close=close(*second))) == Changes(updated=ROWS - 100)
    destination = DuckDBSink(file, "customerio", memory=memory)
    assert write(destination, pages.batch(*second[1:])) == Changes()
    (found,) = query(file, "SELECT count(*) AS rows, count(DISTINCT value) AS kinds FROM copy.customerio.snippets")
    assert found == {"rows": ROWS, "kinds": ROWS}
    (commits,) = query(file, "SELECT commits FROM copy.customerio._cio_copy")
    assert commits == {"commits": 3}
