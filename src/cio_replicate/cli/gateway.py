"""`gateway start|status|unit`: a data gateway on the machine where it runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cio_replicate.base.errors import Conflict, GatewayRefusedError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.cli.failure import COMPLETE, FAILED, INTERRUPTED
from cio_replicate.cli.gateway_files import container_file, systemd_unit
from cio_replicate.cli.options import AsJson
from cio_replicate.cli.terminal import messages, product, say, write_json
from cio_replicate.config.connection_options import console_url
from cio_replicate.config.secret_references import is_reference, resolved
from cio_replicate.gateway.agent import Agent, AgentLimits, enrol, noted, trouble_of
from cio_replicate.gateway.identity import IDENTITY_FILE, Enrolment, GatewayFolder, folder_at, require_same_console
from cio_replicate.gateway.policy import allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a gateway is started, as the user wrote it."""

    console: str | None
    code: str | None
    ca_file: Path | None
    state_dir: Path | None
    slots: int
    away_minutes: float
    allow_api: Sequence[str] = ()
    allow_to: Sequence[str] = ()


def start(wanted: Start) -> int:
    """Enrol this machine if it is not, and serve until a signal; the exit code.

    Raises Refused, GatewayRefusedError, and BoardAwayError when the console cannot be reached to enrol.
    """
    console = console_url(wanted.console) if wanted.console is not None else None
    limits = AgentLimits(wanted.slots, wanted.away_minutes * 60, allowed(wanted.allow_api, wanted.allow_to))
    clock = SystemClock()
    with folder_at(wanted.state_dir) as folder:
        identity = _identity(folder, console, wanted)
        _log_to_stderr()
        stop = Stop()
        agent = Agent(folder, identity, limits, clock)
        try:
            agent.serve(stop)
        except GatewayRefusedError as error:
            if error.code == "revoked":
                folder.forget()
            if error.code != "unknown":
                raise
            fix = f"If that console is the right one, remove {folder.path / IDENTITY_FILE} and start with a new code."
            raise GatewayRefusedError(error.cause, fix, code=error.code) from None
    return COMPLETE


def _identity(folder: GatewayFolder, console: str | None, wanted: Start) -> Enrolment:

    identity = folder.identity()
    if identity is None:
        if console is None or not wanted.code:
            raise Conflict(
                "This machine is not enrolled as a gateway.",
                "Make a code where the console runs (`cio-replicate gateway create NAME`), and give --console and "
                "--code.",
            )
        code = resolved(wanted.code, os.environ, "--code").reveal() if is_reference(wanted.code) else wanted.code
        made = enrol(folder, console, code, SystemClock(), ca_file=wanted.ca_file, pause=time.sleep)
        say(messages(), f"Enrolled as {made.member[:12]} of the gateway {made.gateway}.")
        return made
    require_same_console(identity, console)
    if wanted.ca_file is not None and str(wanted.ca_file.absolute()) != identity.ca_file:
        identity = msgspec.structs.replace(identity, ca_file=str(wanted.ca_file.absolute()))
        folder.remember(identity)
    return identity


def status(state_dir: Path | None, output: AsJson) -> int:
    """Show whether the gateway of this machine runs and is answered; the exit code, 0 when it is."""
    folder = folder_at(state_dir)
    identity = folder.identity()
    if identity is None:
        raise Conflict("This machine is not enrolled as a gateway.", "Start it with --console and --code first.")
    health = noted(folder.path)
    trouble = trouble_of(health, SystemClock().now(), running=folder.is_held)
    if output.json:
        document = {
            "status": "healthy" if trouble is None else "unhealthy",
            "trouble": trouble,
            **msgspec.to_builtins(identity),
            "health": msgspec.to_builtins(health),
        }
        write_json(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        console = product()
        say(console, f"The gateway {identity.gateway} of {identity.console}, machine {identity.member[:12]}.")
        if health is not None and folder.is_held:
            say(console, f"Version {health.version}, process {health.pid}, {health.running} running.")
        say(console, trouble or "It runs, and the console answers.", "red" if trouble else "green")
    return COMPLETE if trouble is None else FAILED


def unit(kind: str, console: str) -> int:
    """Print the file that starts a gateway; the exit code. Raises Refused."""
    address = console_url(console)
    sys.stdout.write(systemd_unit(address) if kind == "systemd" else container_file(address))
    return COMPLETE


def _log_to_stderr() -> None:
    """The gateway's own log: what the console must not see is here."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    log = logging.getLogger("cio_replicate")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


class Stop:
    """Asked for by the first signal; a second one ends the process at once, and its runs end in order by themselves.

    A plain flag: a handler that takes a lock, as that of an event, can meet the thread that holds it.
    """

    def __init__(self) -> None:
        self._asked = False
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, self._ask)

    def __call__(self) -> bool:
        """Whether it was asked for."""
        return self._asked

    def _ask(self, number: int, frame: object) -> None:
        _ = number, frame
        if self._asked:
            os._exit(INTERRUPTED)
        self._asked = True
