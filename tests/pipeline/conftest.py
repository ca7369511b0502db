"""A folder per test, and a simulator per test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from customerio_simulator import Simulator, WorkspaceSpec


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A small, hostile workspace."""
    with Simulator(WorkspaceSpec(seed=3)) as running:
        yield running
