"""Two gateways in private networks that can only reach out, a console and a database outside."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cio_replicate.config.documents import ConnectionSettings, TaskSettings
from cio_replicate.console import gateways
from cio_replicate.console import gateways as inquiries
from cio_replicate.database.actor import LOCAL
from cio_replicate.jobs.ports import ProbeRequest
from cio_replicate.source.catalog import TABLES
from customerio_simulator import Faults, Simulator, WorkspaceSpec
from tests.destinations.copying import Copying
from tests.destinations.kinds import KINDS
from tests.gateway.machines import GatewayProcess, until
from tests.gateway.networks import Network, missing, networks
from tests.gateway.served import Front, ServedConsole, served_console
from tests.gateway.values import found_in, values_of
from tests.sinks import servers

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]

TOKEN = "marked-7f3a9c51-token"
SALT = "marked-salt-19c2"
ALL = tuple(table.name for table in TABLES)


@dataclass
class World:
    """A console, a workspace and a database outside; two networks inside."""

    console: ServedConsole
    simulator: Simulator
    outside: str
    networks: list[Network]
    copy: Copying
    to: str
    api: str
    folder: Path

    def start(self, number: int, *more: str) -> GatewayProcess:
        """A gateway in one of the networks, with what only its machine knows."""
        made, now = self.console.stage, int(self.console.stage.clock.now())
        arguments = [
            f"--console={self.console.url}",
            f"--ca-file={self.console.authority.file}",
            f"--code={gateways.new_code(made.database, 'vienna', now, LOCAL).code}",
            f"--allow-api={self.api}",
            f"--allow-to={self.to}",
            *more,
        ]
        secrets = {
            "WORKSPACE_TOKEN": TOKEN,
            "SALT": SALT,
            "SSL_CERT_FILE": str(self.console.authority.file),
            **self.copy.where.variables,
        }
        folder = self.folder / f"vm-{len(list(self.folder.iterdir()))}"
        return GatewayProcess(folder, arguments, secrets, self.networks[number].inside)

    @contextmanager
    def serving(self, count: int, *more: str) -> Iterator[dict[str, GatewayProcess]]:
        """So many gateways by their member ids, all of which are there; stopped in order at the end."""
        machines: dict[str, GatewayProcess] = {}
        started = [self.start(number, *more) for number in range(count)]
        try:
            for one in started:
                until(lambda one=one: "Serving as" in one.said, "a machine is there")  # type: ignore[misc] # bound now
                machines[one.member] = one
            yield machines
            assert [one.stop() for one in machines.values()] == [0] * len(machines)
        finally:
            for one in started:
                one.lose_power()

    @property
    def connection(self) -> ConnectionSettings:
        """The connection of the gateway."""
        return ConnectionSettings(
            start_date="2020-01-01",
            api_url=self.api,
            access_token_from="env:WORKSPACE_TOKEN",
            gateway="vienna",
            max_rps=25.0,
        )

    def ask(self) -> str:
        """A task of the gateway, asked for; the run."""
        made = self.console.stage
        made.keep({"main": self.connection})
        made.keep({"nightly": TaskSettings(connection="main", to=[self.to], salt="env:SALT")})
        return made.ask("nightly")

    def state(self, run: str) -> str:
        """Of a run."""
        return str(self.console.stage.runs.show(run).run.status)

    def rows(self, run: str) -> int:
        """Read so far by a run."""
        progress = self.console.stage.runs.show(run).progress
        return progress.rows if progress is not None else 0

    def holder(self, run: str) -> str:
        """The member that has a run."""
        return (self.console.stage.runs.show(run).run.worker or "").partition("/")[0]

    def over(self, run: str) -> bool:
        """Whether a run has ended."""
        return self.state(run) not in ("queued", "running")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """All of it, with an API that misbehaves."""
    machines = tmp_path / "machines"
    machines.mkdir()
    where = KINDS["postgresql"](tmp_path)
    port = urlsplit(where.to).port or 0
    with (
        networks(2) as (outside, made),
        served_console(tmp_path, outside, lease=8) as console,
        Simulator(WorkspaceSpec(seed=3, messages=12_000), token=TOKEN, faults=Faults.everything(5)) as simulator,
    ):
        api = Front(console.authority.server(outside), outside, int(simulator.url.rpartition(":")[2]))
        database = Front(None, outside, port)
        gateways.create(console.stage.database, "vienna", int(console.stage.clock.now()), LOCAL)
        try:
            yield World(
                console,
                simulator,
                outside,
                made,
                Copying(where, tmp_path),
                where.to.replace(f"127.0.0.1:{port}", f"{outside}:{database.port}"),
                f"https://{outside}:{api.port}",
                machines,
            )
        finally:
            api.close()
            database.close()


def _reaches(network: Network, address: str, port: int) -> bool:
    program = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    return network.run("python3", "-c", program).returncode == 0


def _is_reached(network: Network) -> bool:
    for port in (22, 80, 443, 8000, 40_000):
        with socket.socket() as asking:
            asking.settimeout(0.3)
            if asking.connect_ex((network.address, port)) == 0:
                return True
    return False


def test_a_task_runs_inside_and_survives_the_machine(world: World) -> None:
    """A run that one machine began is ended by the other; the copy is true; the console saw no row and no secret."""
    with world.serving(2) as machines:
        for network in world.networks:
            assert (network.listening(), _is_reached(network)) == ("", False)
            assert _reaches(network, world.outside, world.console.front.port)
            assert not _reaches(network, "127.0.0.1", world.console.front.port)
        run = world.ask()
        until(lambda: world.rows(run) > 300, "the run is on its way")
        holder = world.holder(run)
        machines.pop(holder).lose_power()
        assert (world.state(run), world.holder(run)) == ("running", holder)
        until(lambda: world.over(run), "the run ends", 240)
        (other,) = machines
        assert (world.state(run), world.holder(run)) == ("complete", other)
        assert machines[other].status()["code"] == 0
        assert all(network.listening() == "" for network in world.networks)
    assert world.console.stage.runs.show(run).run.claims == 2
    assert world.copy.differences(world.simulator, *ALL) == {}
    traffic = world.console.traffic
    truth = values_of(world.simulator, ALL)
    assert len(truth) > 5_000
    assert len(traffic) > 20_000
    assert "content-encoding" not in traffic.lower()
    secrets = {TOKEN, SALT, *world.copy.where.variables.values()}
    assert found_in(traffic, truth | secrets) == set()


def test_a_connection_is_looked_at_from_inside(world: World) -> None:
    """What its tables cost is found by the gateway; the answer holds numbers, and no row."""
    made, clock = world.console.stage, world.console.stage.clock
    with world.serving(1):
        number = inquiries.ask(made.database, world.connection, ProbeRequest.TABLES, int(clock.now()))
        until(lambda: inquiries.reply(made.database, number, int(clock.now())).found, "it is answered", 60)
    found = inquiries.reply(made.database, number, int(clock.now())).found
    assert found is not None
    assert {one.name for one in found.tables} == set(ALL)
    assert found_in(world.console.traffic, values_of(world.simulator, ALL) | {TOKEN}) == set()


def test_a_cut_cable_costs_nothing(world: World) -> None:
    """A run may go on while the console cannot be reached, and what it has to tell is told afterwards."""
    with world.serving(1, "--away-minutes=60") as machines:
        (gateway,) = machines.values()
        run = world.ask()
        until(lambda: world.rows(run) > 100, "the run is on its way")
        world.console.front.cut_off(cut=True)
        until(lambda: "ended, complete" in gateway.said, "the run ends by itself", 240)
        assert not world.over(run)
        world.console.front.cut_off(cut=False)
        until(lambda: world.over(run), "its end is told", 120)
    assert (world.state(run), world.console.stage.runs.show(run).run.claims) == ("complete", 1)
    assert world.copy.differences(world.simulator, *ALL) == {}


def test_a_machine_that_is_cut_off_stops_its_run_and_goes_on_later(world: World) -> None:
    """Usually it stops before another machine may have the run; when the console is back, the run goes on."""
    with world.serving(1) as machines:
        (gateway,) = machines.values()
        run = world.ask()
        until(lambda: world.rows(run) > 100, "the run is on its way")
        world.console.front.cut_off(cut=True)
        until(lambda: "ended, interrupted" in gateway.said or "ended, complete" in gateway.said, "the run stops", 240)
        assert not world.over(run)
        world.console.front.cut_off(cut=False)
        until(lambda: world.state(run) == "complete" or len(world.console.stage.listed()) > 1, "it goes on", 240)
        until(lambda: all(one.has_ended for one in world.console.stage.listed()), "it ends", 240)
    assert world.console.stage.listed()[0].status == "complete"
    assert world.copy.differences(world.simulator, *ALL) == {}


def test_a_machine_that_is_stopped_hands_its_run_over(world: World) -> None:
    """SIGTERM: the page and the batch are finished, and the other machine goes on at once."""
    with world.serving(2) as machines:
        run = world.ask()
        until(lambda: world.rows(run) > 300, "the run is on its way")
        holder = world.holder(run)
        assert machines.pop(holder).stop() == 0
        until(lambda: world.over(run), "the run ends", 240)
        assert world.holder(run) != holder
    shown = world.console.stage.runs.show(run)
    assert (shown.run.status, shown.run.attempt) == ("complete", 1)
    assert world.copy.differences(world.simulator, *ALL) == {}


def test_a_machine_that_is_shut_out_stops(world: World) -> None:
    """Its run stops, it ends with a sentence, forgets its key, and its code lets nobody in again."""
    with world.serving(1) as machines:
        gateway = machines.pop(next(iter(machines)))
        run = world.ask()
        until(lambda: world.rows(run) > 100, "the run is on its way")
        made = world.console.stage
        gateways.revoke(made.database, world.holder(run), int(made.clock.now()), LOCAL)
        until(lambda: gateway.process.poll() is not None, "the gateway ends", 150)
    assert gateway.process.returncode == 2
    assert "The console has shut out this machine of the gateway vienna." in gateway.said
    assert gateway.family() == []
    assert not (gateway.folder / "state" / "gateway.key").exists()
    assert not world.over(run)


def test_what_a_database_says_of_rows_stays_inside(world: World) -> None:
    """A destination whose errors quote rows fails the run; what it said is known on the gateway's machine at most."""
    run = world.ask()
    with world.serving(1) as machines:
        until(lambda: world.over(run), "the run ends", 240)
        server, database = servers.postgres(), urlsplit(world.copy.where.to).path[1:]
        servers.postgres_run(
            server,
            database,
            "CREATE FUNCTION customerio.no() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no room for %', NEW USING DETAIL = NEW::text; END $$",
            *(
                f"CREATE TRIGGER no BEFORE INSERT ON customerio.{table} FOR EACH ROW EXECUTE FUNCTION customerio.no()"
                for table in ("customers", "campaigns", "segments", "newsletters")
            ),
        )
        world.simulator.evolve(7, edits=20)
        second = world.console.stage.ask("nightly")
        until(lambda: world.over(second), "the second run ends", 240)
        (gateway,) = machines.values()
        assert "no room for" not in world.console.traffic
        assert gateway.status()["code"] == 0
    shown = world.console.stage.runs.show(second)
    assert shown.report is not None
    failed = [one for one in shown.report.tables if one.status == "failed"]
    assert len(failed) >= 3
    assert all(one.error and one.error.endswith(".") for one in failed)
    assert found_in(world.console.traffic, values_of(world.simulator, ALL)) == set()
