"""What is loaded together, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_replicate.pipeline.batches import LONGEST_WAIT, batch_of, is_due
from cio_replicate.pipeline.journal import StagedPage
from cio_replicate.sinks.duckdb.duckdb_backend import BATCH_ROWS

PAGES = st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=12).map(
    lambda made: [StagedPage(number, f"{number}.parquet", rows, done) for number, (rows, done) in enumerate(made)]
)


@given(pages=PAGES, most=st.integers(1, 300))
def test_a_batch_is_the_oldest_pages_that_fit(pages: list[StagedPage], most: int) -> None:
    """Waiting pages in landing order, as many as fit and not one fewer, and always at least one."""
    chosen = batch_of(pages, most)
    waiting = [page for page in pages if not page.loaded]
    assert chosen == waiting[: len(chosen)]
    assert bool(chosen) == bool(waiting)
    assert len(chosen) <= 1 or sum(page.rows for page in chosen) <= most
    if len(chosen) < len(waiting):
        assert sum(page.rows for page in waiting[: len(chosen) + 1]) > most


@given(pages=PAGES, most=st.integers(1, 300))
def test_a_batch_holds_no_more_bytes_than_may_be(pages: list[StagedPage], most: int) -> None:
    """Where rows are large it is the size of the files that counts, and one page still goes alone."""
    sizes = {page.file: 10 * page.rows for page in pages}
    chosen = batch_of(pages, 10_000, sizes.__getitem__, most)
    assert chosen == batch_of(pages, most // 10)


@given(pages=PAGES, most=st.integers(1, 300))
def test_batch_after_batch_loads_every_page_once(pages: list[StagedPage], most: int) -> None:
    """Nothing is left over and nothing comes twice."""
    loaded: list[int] = []
    left = pages
    while chosen := batch_of(left, most):
        loaded += [page.number for page in chosen]
        left = [page for page in left if page not in chosen]
    assert loaded == [page.number for page in pages if not page.loaded]


@pytest.mark.parametrize(
    ("rows", "waited", "due"),
    [
        (0, 0.0, False),
        (0, 3600.0, False),
        (1, 0.0, False),
        (1, LONGEST_WAIT - 0.1, False),
        (1, LONGEST_WAIT, True),
        (BATCH_ROWS - 1, 0.0, False),
        (BATCH_ROWS, 0.0, True),
        (BATCH_ROWS * 3, 0.0, True),
    ],
)
def test_rows_are_loaded_by_number_or_by_age(rows: int, waited: float, *, due: bool) -> None:
    """While a table is read a commit waits for company, but not for long, and never for nothing."""
    assert is_due(rows, waited, BATCH_ROWS, reading=True) is due


@pytest.mark.parametrize("rows", [0, 1, BATCH_ROWS])
def test_the_end_of_a_read_is_loaded_at_once(rows: int) -> None:
    """A read without rows is closed, too, since its position moves."""
    assert is_due(rows, 0.0, BATCH_ROWS, reading=False)
