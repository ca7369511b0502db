"""A fresh place of each kind, and the command that copies into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.destinations.copying import Copying
from tests.destinations.kinds import EVERY_KIND, KINDS


@pytest.fixture(params=EVERY_KIND)
def copying(request: pytest.FixtureRequest, tmp_path: Path) -> Copying:
    """An empty place of one kind."""
    return Copying(KINDS[request.param](tmp_path), tmp_path)
