"""Gateways and their console in one process: the desk answers as the console's server does, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from cio_replicate.base.runtime import Clock
from cio_replicate.console import gateways
from cio_replicate.console.api.gateway_api import GatewayEndpoint, SignedRequest
from cio_replicate.database.actor import LOCAL
from cio_replicate.gateway.gateway_client import GatewayClient, Outbox, RemoteQueue
from cio_replicate.gateway.identity import MemberKey, new_key
from cio_replicate.jobs import gateway_protocol as wire
from cio_replicate.jobs.ports import PROTOCOL
from tests.console.stage import Stage, stage

HOST = "console.example"
URL = f"https://{HOST}"


class DeskTransport(httpx2.BaseTransport):
    """Hands requests to a desk. `away` takes it off the network, `spoil` may change a request on its way."""

    def __init__(self, desk: GatewayEndpoint) -> None:
        self.away = False
        self.sent: list[SignedRequest] = []
        self.answered: list[bytes] = []
        self.spoil: Callable[[SignedRequest], SignedRequest] = lambda request: request
        self._desk = desk

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        if self.away:
            raise httpx2.ConnectError("[Errno 113] No route to host")
        path = urlsplit(str(request.url)).path.removeprefix(wire.ROOT)
        signed = self.spoil(SignedRequest(path, request.headers.get("authorization"), request.read()))
        self.sent.append(signed)
        status, body = self._desk.respond(signed)
        self.answered.append(body)
        return httpx2.Response(status, content=body, headers={"content-type": "application/json"})


class Machine:
    """A machine in a private network: its key, its link, its queue."""

    def __init__(self, stage: Stage, folder: Path, *, clock: Clock | None = None, alone: float = 3_600.0) -> None:
        self.stage = stage
        self.clock = clock or stage.clock
        self.transport = DeskTransport(GatewayEndpoint(stage.database, stage.queue, {HOST}, stage.clock))
        self.key: MemberKey = new_key()
        self.member = ""
        self.outbox = Outbox(folder)
        self._alone = alone
        self.link = self.linked(self.key.thumbprint)
        self.queue = self.new_queue()

    def linked(self, issuer: str) -> GatewayClient:
        """A link on which this machine says that it is somebody."""
        return GatewayClient(URL, self.key, issuer, self.clock, transport=self.transport)

    def new_queue(self) -> RemoteQueue:
        """The queue as the agent has it after a start."""
        return RemoteQueue(self.link, self.outbox, self.clock, self._alone)

    def enrol(self, code: str, machine: str = "vm-1") -> str:
        """Enrol it; its member id."""
        wish = wire.EnrolRequest(code, machine, self.key.public, "1.0", PROTOCOL)
        self.member = self.linked(self.key.thumbprint).ask(wire.ENROL, wish, wire.Enrolled).member
        self.link = self.linked(self.member)
        self.queue = self.new_queue()
        return self.member


@contextmanager
def machine_of(folder: Path, gateway: str = "vienna", kind: str = "sqlite") -> Iterator[Machine]:
    """A machine that serves as a gateway, on a stage of its own."""
    with stage(kind, folder) as made:
        yield another_machine(made, folder, gateway, new=True)


def another_machine(made: Stage, folder: Path, gateway: str, *, new: bool = False, alone: float = 3_600.0) -> Machine:
    """One more machine of a gateway, or the first of a new one."""
    make = gateways.create if new else gateways.new_code
    code = make(made.database, gateway, int(made.clock.now()), LOCAL).code
    outbox = folder / f"outbox-{code}"
    outbox.mkdir()
    machine = Machine(made, outbox, alone=alone)
    machine.enrol(code)
    return machine
