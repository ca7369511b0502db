"""A console per test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.visiting import Console, console_of


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console with an empty database, on loopback."""
    with console_of(tmp_path) as made:
        yield made
