"""Running simulators for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from customerio_simulator import Simulator, WorkspaceSpec

TOKEN = "key-of-the-test"
Simulate = Callable[..., tuple[Simulator, httpx2.Client]]


def client_of(sim: Simulator) -> httpx2.Client:
    """A plain client that lets itself in, without retries."""
    return httpx2.Client(base_url=sim.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=5)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    """A hostile workspace of the default size that no test may change."""
    with Simulator(WorkspaceSpec(), token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def client(sim: Simulator) -> Iterator[httpx2.Client]:
    """A client of the shared simulator."""
    with client_of(sim) as made:
        yield made


@pytest.fixture
def simulate() -> Iterator[Simulate]:
    """Starts a simulator of one's own, with its client."""
    with ExitStack() as stack:

        def start(spec: WorkspaceSpec | None = None, **options: Any) -> tuple[Simulator, httpx2.Client]:
            running = stack.enter_context(Simulator(spec or WorkspaceSpec(), token=TOKEN, **options))
            return running, stack.enter_context(client_of(running))

        yield start
