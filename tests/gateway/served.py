"""A real console for gateways to call: its server behind a TLS front that records, in plain, all that goes through."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from cio_replicate.base.runtime import SystemClock
from cio_replicate.console.api.gateway_api import gateway_endpoint, gateway_router
from cio_replicate.console.web.application import application
from cio_replicate.console.web.http_security import site
from cio_replicate.console.web.services import WebServices
from cio_replicate.jobs.scheduler import Scheduler
from tests.console.stage import Stage, stage
from tests.gateway.certificates import Authority

TICK = 0.2


class Front:
    """Passes everything on to a port of this machine, and keeps it in plain; with a `context` it ends TLS.

    `cut_off` takes it away as a broken cable would.
    """

    def __init__(self, context: ssl.SSLContext | None, host: str, backend: int) -> None:
        self.recorded = bytearray()
        self.port = 0
        self.cut = False
        self._context = context
        self._host = host
        self._backend = backend
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._listening.wait(10)

    def cut_off(self, *, cut: bool) -> None:
        """Take the console off the network, or put it back."""
        self.cut = cut
        self._loop.call_soon_threadsafe(self._drop)

    def close(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _drop(self) -> None:
        for one in list(self._writers):
            one.transport.abort()

    def _run(self) -> None:
        async def begin() -> asyncio.Server:
            server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._context)
            self.port = server.sockets[0].getsockname()[1]
            self._listening.set()
            return server

        server = self._loop.run_until_complete(begin())
        self._loop.run_forever()
        server.close()
        self._drop()
        for one in asyncio.all_tasks(self._loop):
            one.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.cut:
                writer.transport.abort()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._backend)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, back))
                both.create_task(self._pass_on(there, writer))
        except* (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while piece := await source.read(65_536):
                self.recorded += piece
                target.write(piece)
                await target.drain()
        target.close()


class ServedConsole:
    """A console on a machine that gateways reach at `url`."""

    def __init__(self, made: Stage, front: Front, host: str, authority: Authority) -> None:
        self.stage = made
        self.front = front
        self.url = f"https://{host}:{front.port}"
        self.authority = authority

    @property
    def traffic(self) -> str:
        """All that went between gateways and console, in plain; also what stands in tokens."""
        said = bytes(self.front.recorded).decode("utf-8", "replace")
        pieces = re.findall(r"(?<=[ .])e[A-Za-z0-9_-]{20,}", said)
        return said + "".join(urlsafe_b64decode(one + "==").decode("utf-8", "replace") for one in pieces)


@contextmanager
def served_console(folder: Path, host: str = "127.0.0.1", lease: int = 6) -> Iterator[ServedConsole]:
    """A console with an empty database, as it runs: the whole application, the scheduler, TLS in front."""
    clock = SystemClock()
    authority = Authority(folder)
    with stage("sqlite", folder, clock) as made:  # type: ignore[arg-type] # time goes by itself here
        here = site("127.0.0.1", 0, f"https://{host}", (), tls=False)
        services = WebServices(made.database, made.keys, clock, here, environment=made.variables)
        desk = gateway_endpoint(made.database, here.hosts, clock, lease)
        server = uvicorn.Server(
            uvicorn.Config(
                application(services, [gateway_router(desk)]), "127.0.0.1", 0, log_level="warning", lifespan="off"
            )
        )
        stop = threading.Event()
        serving = threading.Thread(target=server.run, daemon=True)
        ticking = threading.Thread(target=_tick, args=(made.new_scheduler(clock=clock, lease=lease), stop), daemon=True)
        serving.start()
        while not server.started:
            assert serving.is_alive()
            stop.wait(0.02)
        ticking.start()
        front = Front(authority.server(host, "localhost"), host, server.servers[0].sockets[0].getsockname()[1])
        try:
            yield ServedConsole(made, front, host, authority)
        finally:
            stop.set()
            front.close()
            server.should_exit = True
            serving.join(10)
            ticking.join(10)


def _tick(scheduler: Scheduler, stop: threading.Event) -> None:
    while not stop.wait(TICK):
        scheduler.tick()
