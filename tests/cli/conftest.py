"""A folder per test, and simulators that many tests share because none of them changes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from customerio_simulator import Simulator, WorkspaceSpec
from tests.cli.running import TOKEN, run, sync


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to run commands in."""
    path = tmp_path / "here"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a small workspace."""
    with Simulator(WorkspaceSpec(messages=1_500, activities=300, hostile=False), token=TOKEN) as simulator:
        yield simulator.url


@pytest.fixture(scope="session")
def closed_url() -> Iterator[str]:
    """The address of a workspace whose key may not read segments."""
    with Simulator(WorkspaceSpec(messages=10, activities=10), token=TOKEN, denied=["segments"]) as simulator:
        yield simulator.url


@pytest.fixture(scope="session")
def synced(tmp_path_factory: pytest.TempPathFactory, url: str) -> Path:
    """A folder with a copy that one run has made; to be looked at only."""
    path = tmp_path_factory.mktemp("synced") / "here"
    path.mkdir()
    ended = run(path, *sync(url))
    assert ended.code == 0, ended.err
    return path
