"""Gateways and a console on one machine: a task runs there, nothing of it passes by, and another machine takes over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console import gateways
from cio_replicate.database.actor import LOCAL
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Simulator, WorkspaceSpec
from tests.gateway.machines import GatewayProcess, until
from tests.gateway.served import ServedConsole, served_console
from tests.gateway.values import found_in, values_of
from tests.pipeline.copies import differences

TOKEN = "marked-7f3a9c51-token"
SALT = "marked-salt-19c2"
ALL = tuple(table.name for table in TABLES)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A small, hostile workspace."""
    with Simulator(WorkspaceSpec(seed=3), token=TOKEN, latency=0.4) as running:  # so that it is seen on its way
        yield running


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ServedConsole]:
    """A console with a gateway vienna."""
    with served_console(tmp_path) as served:
        gateways.create(served.stage.database, "vienna", int(served.stage.clock.now()), LOCAL)
        yield served


def _start(console: ServedConsole, folder: Path, *more: str, **variables: str) -> GatewayProcess:
    code = gateways.new_code(console.stage.database, "vienna", int(console.stage.clock.now()), LOCAL).code
    arguments = [f"--console={console.url}", f"--ca-file={console.authority.file}", "--code=env:CODE", *more]
    secrets = {"CODE": code, "WORKSPACE_TOKEN": TOKEN, "SALT": SALT, **variables}
    return GatewayProcess(folder, arguments, secrets)


def _task(console: ServedConsole, simulator: Simulator, file: Path, **settings: Any) -> str:
    """A task of the gateway, asked for; the run."""
    made = console.stage
    reached: dict[str, Any] = {
        "api_url": simulator.url,
        "gateway": "vienna",
        "start_date": "2020-01-01",
        "max_rps": 500.0,
    }
    made.variables["WORKSPACE_TOKEN"] = "never-looked-for"
    connection = ConnectionSettings(access_token_from="env:WORKSPACE_TOKEN", **reached)
    task = TaskSettings(connection="main", to=[f"duckdb:///{file}"], **settings)
    made.keep({"main": connection})
    made.keep({"nightly": task})
    return made.ask("nightly")


def _state(console: ServedConsole, run: str) -> str:
    return str(console.stage.runs.show(run).run.status)


def test_a_task_runs_on_the_gateway_and_nothing_of_it_passes_by(
    console: ServedConsole, simulator: Simulator, tmp_path: Path
) -> None:
    """The copy is true; what went to the console holds no row and no secret; the gateway ends in order."""
    run = _task(
        console, simulator, tmp_path / "copy.duckdb", salt="env:SALT", columns=["customers:hash=identifiers__email"]
    )
    gateway = _start(console, tmp_path / "vm")
    try:
        until(lambda: _state(console, run) not in ("queued", "running"), "the run ends")
        assert gateway.status()["status"] == "healthy"
    finally:
        code = gateway.stop()
    assert (_state(console, run), code) == ("complete", 0), gateway.said
    truth = values_of(simulator, ALL)
    assert len(truth) > 5_000
    assert "content-encoding" not in console.traffic.lower()
    assert len(console.traffic) > 20_000
    assert found_in(console.traffic, {*truth, TOKEN, SALT}) == set()
    shown = console.stage.runs.show(run)
    assert shown.progress is not None
    assert shown.run.requests


@pytest.mark.slow
def test_when_a_machine_dies_another_goes_on(console: ServedConsole, simulator: Simulator, tmp_path: Path) -> None:
    """Nothing is lost and nothing comes twice; the run is the same one."""
    file = tmp_path / "copy.duckdb"
    run = _task(console, simulator, file)
    first = _start(console, tmp_path / "vm-1")
    second = None
    try:
        until(lambda: _progress(console, run) > 300, "the run is on its way")
        second = _start(console, tmp_path / "vm-2")
        first.lose_power()
        assert _state(console, run) == "running"
        until(lambda: _state(console, run) not in ("queued", "running"), "the run ends")
    finally:
        first.lose_power()
        if second is not None:
            second.stop()
    assert _state(console, run) == "complete"
    assert console.stage.runs.show(run).run.claims == 2
    assert differences(simulator, file, ALL) == {}


def _progress(console: ServedConsole, run: str) -> int:
    progress = console.stage.runs.show(run).progress
    return progress.rows if progress is not None else 0
