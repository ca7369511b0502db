"""A copy of each kind, and pages to load into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sinks.copies import COPIES, USUALLY, Copy, tried
from tests.sinks.pages import Pages


@pytest.fixture(params=tried(COPIES, *USUALLY))
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Copy:
    """An empty copy."""
    return COPIES[request.param](tmp_path)


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    """Pages of campaigns."""
    return Pages(tmp_path / "pages")
