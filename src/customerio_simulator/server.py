"""Runs the simulator: in a background thread for tests, or in the foreground for the command line."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Literal, Self, TypedDict, Unpack

import uvicorn

from .app import build_app
from .behaviour import Behaviour
from .evolution import BACKDATED_WITHIN, SIX_MONTHS, Changes, evolve
from .faults import Faults
from .request_log import LoggedRequest, RequestLog
from .spec import DAY, WorkspaceSpec
from .state import SimulatorState
from .wire import WireProtocol
from .workspace import Workspace

_LOOPBACK = "127.0.0.1"
_BACKLOG = 1_024
_TICK_SECONDS = 0.1  # uvicorn renews its Date header every tenth tick
_TICKS_PER_DAY = 864_000
_GRACE_SECONDS = 2  # how long answers in progress may take once the server stops
_STOP_POLL_SECONDS = 0.001
DEFAULT_TOKEN = "simulator-token"  # noqa: S105  (opens nothing but a simulator)


class BehaviourOptions(TypedDict, total=False):
    """What `Behaviour` documents, as keyword arguments."""

    denied: Iterable[str]
    wrong_region: bool
    retry_after: int | None
    others_rps: float
    others_burst: int
    limit_over_max: Literal["cap", "reject"]
    page_ceiling: int | None
    oldest_first: bool
    wrapped_people: bool
    deleted_activities: Literal["with", "always", "only"]
    trailing_sender_token: bool
    gzip: bool


class SimulatorStartError(RuntimeError):
    """The server thread ended before it was listening."""


class SimulatorBugError(ExceptionGroup[Exception]):
    """The simulator itself failed while it answered; what a test saw of it is worth nothing."""


class _Server(uvicorn.Server):
    """Reports when the server listens, and stops without waiting for a timer: uvicorn's own stop takes 200 ms."""

    def __init__(self, config: uvicorn.Config, state: SimulatorState, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._simulator = state
        self._listening = listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop = asyncio.Event()

    def stop_soon(self) -> None:
        """Ask the server to stop, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
                self._loop.call_soon_threadsafe(self._asked_to_stop.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._listening()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % _TICKS_PER_DAY
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_stop.wait(), _TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._simulator.closing.set()
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        deadline = time.monotonic() + _GRACE_SECONDS
        while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
            if time.monotonic() > deadline:
                for task in self.server_state.tasks:
                    task.cancel()
                break
            await asyncio.sleep(_STOP_POLL_SECONDS)


class Simulator:
    """A simulated Customer.io workspace behind a real HTTP server on loopback, in a thread of its own.

    Use as a context manager, or call `start` and `stop`. `workspace`, `behaviour` and `faults` may be changed while it
    runs and hold from the next request on. Leaving the context raises `SimulatorBugError` if an answer failed by the
    simulator's own mistake. `keep_requests` bounds how many requests `requests` remembers.
    """

    def __init__(
        self,
        spec: WorkspaceSpec | None = None,
        *,
        token: str | Iterable[str] = DEFAULT_TOKEN,
        rps: int | None = None,
        latency: float = 0.0,
        faults: Faults | None = None,
        host: str = _LOOPBACK,
        port: int = 0,
        keep_requests: int = 100_000,
        **behaviour: Unpack[BehaviourOptions],
    ) -> None:
        self._state = _new_state(spec, token, rps, latency, faults, keep_requests, behaviour)
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base address without a trailing slash; there is one only while it runs."""
        if self._socket is None:
            message = "the simulator is not running"
            raise RuntimeError(message)
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def workspace(self) -> Workspace:
        """The data served, to be asked for its truth and to be edited."""
        return self._state.workspace

    @property
    def behaviour(self) -> Behaviour:
        """How callers are treated."""
        return self._state.behaviour

    @property
    def faults(self) -> Faults:
        """What goes wrong, and what went wrong so far (`struck`)."""
        return self._state.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._state.faults = faults

    @property
    def requests(self) -> list[LoggedRequest]:
        """The last requests to the API, oldest first."""
        return self._state.log.requests

    @property
    def log(self) -> RequestLog:
        """Counts of all requests, and the most in any second."""
        return self._state.log

    def evolve(
        self,
        seed: int,
        *,
        edits: int = 3,
        seconds: int = DAY,
        metrics_within: int = SIX_MONTHS,
        forget_deliveries: bool = False,
        backdated_within: int = BACKDATED_WITHIN,
        unlogged: int = 0,
    ) -> Changes:
        """Lets time pass in the workspace; see `evolution.evolve`."""
        return evolve(
            self.workspace,
            seed,
            edits=edits,
            seconds=seconds,
            metrics_within=metrics_within,
            forget_deliveries=forget_deliveries,
            backdated_within=backdated_within,
            unlogged=unlogged,
        )

    def start(self) -> Self:
        """Listens when it returns."""
        listening = threading.Event()
        self._socket = _bound(*self._address)
        self._server = _Server(_config(self._state), self._state, listening.set)
        server, bound = self._server, self._socket

        def run() -> None:
            try:
                server.run(sockets=[bound])
            finally:
                listening.set()

        self._thread = threading.Thread(target=run, name="cio-simulator", daemon=True)
        self._thread.start()
        listening.wait()
        if not server.started:
            self.stop()
            message = "the simulator's server did not start"
            raise SimulatorStartError(message)
        return self

    def stop(self) -> None:
        """Closes every connection and ends the thread; stopping twice does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.stop_soon()
            self._thread.join()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._server = self._thread = None
        self._state.closing = asyncio.Event()  # a stopped simulator may be started again

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._state.bugs and kind is None:
            message = "the simulator answered 500 because of its own mistake"
            raise SimulatorBugError(message, self._state.bugs)


def serve(  # noqa: PLR0913  (each is an option of the command line)
    spec: WorkspaceSpec | None = None,
    *,
    host: str = _LOOPBACK,
    port: int = 0,
    token: str | Iterable[str] = DEFAULT_TOKEN,
    rps: int | None = None,
    latency: float = 0.0,
    faults: Faults | None = None,
    keep_requests: int = 10_000,
    on_listening: Callable[[str], None] | None = None,
    **behaviour: Unpack[BehaviourOptions],
) -> None:
    """Serves until SIGINT or SIGTERM and prints nothing; `on_listening` gets the address once it can be asked."""
    state = _new_state(spec, token, rps, latency, faults, keep_requests, behaviour)
    with _bound(host, port) as bound:
        address = "http://{}:{}".format(*bound.getsockname()[:2])
        server = _Server(_config(state), state, lambda: on_listening(address) if on_listening else None)
        # uvicorn raises the signal again once it has stopped cleanly; stopping is what was asked for.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[bound])


def _new_state(
    spec: WorkspaceSpec | None,
    token: str | Iterable[str],
    rps: int | None,
    latency: float,
    faults: Faults | None,
    keep_requests: int,
    options: BehaviourOptions,
) -> SimulatorState:
    given = Behaviour(tokens=(token,) if isinstance(token, str) else tuple(token), rps=rps, latency=latency)
    for name, value in options.items():
        setattr(given, name, frozenset(options["denied"]) if name == "denied" else value)
    workspace = Workspace(spec or WorkspaceSpec())
    return SimulatorState(workspace, given, faults or Faults(), RequestLog(keep_requests))


def _config(state: SimulatorState) -> uvicorn.Config:
    return uvicorn.Config(
        build_app(state),
        http=WireProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def _bound(host: str, port: int) -> socket.socket:
    """A socket that already queues connections, so that the address is known before the server runs."""
    # Named protocol: asyncio switches Nagle's algorithm off only then, and answers in two writes would wait 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound
