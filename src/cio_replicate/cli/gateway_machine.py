"""`gateway start|status|unit`: a data gateway on the machine where it runs, and files that keep it running."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cio_replicate.base.errors import Conflict, GatewayRefusedError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.version import __version__
from cio_replicate.cli.failure import COMPLETE, FAILED
from cio_replicate.cli.options import AsJson, command, option
from cio_replicate.cli.terminal import Line, StopSignal, answer, log_to_stderr, messages, say
from cio_replicate.config.connection_options import console_url
from cio_replicate.config.secret_references import is_reference, resolved
from cio_replicate.gateway.agent import Agent, enrol, noted, trouble_of
from cio_replicate.gateway.identity import IDENTITY_FILE, Enrolment, GatewayFolder, folder_at, require_same_console
from cio_replicate.gateway.policy import allowed

StateDir = Annotated[
    Path | None,
    option(
        "--state-dir",
        "DIR",
        "Where this machine's key, and the landed pages of its runs, are kept; a folder of your own user if not given.",
    ),
]
CODE_VARIABLE = "CIO_GATEWAY_CODE"
FILES = {"systemd": "cio-replicate-gateway.service", "container": "Containerfile"}


@dataclass(frozen=True, kw_only=True)
class GatewayStartOptions:
    """How a gateway is started, as the user wrote it."""

    console: Annotated[
        str | None, option("--console", "URL", "The console's address; not needed once this machine is enrolled.")
    ] = None
    code: Annotated[
        str | None,
        option(
            "--code",
            "CODE",
            "What `gateway create` or `gateway code` has shown, or where it is kept: env:NAME or file:/path. "
            "Passed over once this machine is enrolled.",
        ),
    ] = None
    ca_file: Annotated[
        Path | None, option("--ca-file", "FILE", "Certificates, in PEM format, that alone may vouch for the console.")
    ] = None
    state_dir: StateDir = None
    slots: Annotated[int, option("--slots", "COUNT", "Runs at a time on this machine.", min=1, max=64)] = 2
    away_minutes: Annotated[
        float,
        option(
            "--away-minutes",
            "MINUTES",
            "How long a run goes on while the console cannot be reached. Usually it is stopped, in order, before "
            "another machine could take it; with more, two may write for a moment when only one is cut off.",
            min=0,
            max=1_440,
        ),
    ] = 0.0
    allow_api: Annotated[
        list[str] | None,
        option(
            "--allow-api",
            "URL",
            "Besides Customer.io's own, an address to which the access token may be sent; may be given several times.",
        ),
    ] = None
    allow_to: Annotated[
        list[str] | None,
        option(
            "--allow-to",
            "URL",
            "A destination that may be written, or a folder in which it may lie, written as in --to; may be given "
            "several times. Any, if not given.",
        ),
    ] = None


@command(
    "gateway start",
    "cio-replicate gateway start --console https://console.example.com --code 7K3QF-…",
    "cio-replicate gateway start",
)
def start(*, wanted: GatewayStartOptions) -> int:
    """Serve as a gateway until a signal: ask the console for runs, execute them here, tell how they go.

    Only calls out, by HTTPS, and listens nowhere; HTTPS_PROXY is used. The first start makes a key on this machine and
    enrols it with the code. On SIGTERM each run finishes its page and its batch and is given back. Ends with 2 when
    the console does not let this machine in.
    """
    console = console_url(wanted.console) if wanted.console is not None else None
    policy = allowed(wanted.allow_api or (), wanted.allow_to or ())
    clock = SystemClock()
    with folder_at(wanted.state_dir) as folder:
        identity = _identity(folder, console, wanted)
        log_to_stderr(logging.INFO, "cio_replicate")
        stop = StopSignal()
        agent = Agent(folder, identity, clock, wanted.slots, wanted.away_minutes * 60, policy)
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


@command("gateway status", "cio-replicate gateway status", "cio-replicate gateway status --json")
def status(*, state_dir: StateDir = None, output: AsJson) -> int:
    """Tell whether this machine's gateway runs and the console answers it: ends with 0 then, else with 1."""
    folder = folder_at(state_dir)
    identity = folder.identity()
    if identity is None:
        raise Conflict("This machine is not enrolled as a gateway.", "Start it with --console and --code first.")
    health = noted(folder.path)
    trouble = trouble_of(health, SystemClock().now(), running=folder.is_held)
    lines: list[Line] = [f"The gateway {identity.gateway} of {identity.console}, machine {identity.member[:12]}."]
    if health is not None and folder.is_held:
        lines.append(f"Version {health.version}, process {health.pid}, {health.running} running.")
    lines.append((trouble or "It runs, and the console answers.", "red" if trouble else "green"))
    state = {"status": "healthy" if trouble is None else "unhealthy", "trouble": trouble}
    answer(output, {**state, **msgspec.to_builtins(identity), "health": msgspec.to_builtins(health)}, *lines)
    return COMPLETE if trouble is None else FAILED


@command(
    "gateway unit",
    "cio-replicate gateway unit --console https://console.example.com > cio-replicate-gateway.service",
    "cio-replicate gateway unit --kind container --console https://console.example.com > Containerfile",
)
def unit(
    *,
    console: Annotated[str, option("--console", "URL", "The console's address.")],
    kind: Annotated[Literal["systemd", "container"], option("--kind", "systemd|container", "Which file.")] = "systemd",
) -> int:
    """Print a file that keeps a gateway running: a systemd unit, or a container file."""
    address = console_url(console)
    beside = Path(sys.executable).with_name("cio-replicate")
    installed = str(beside) if beside.exists() else shutil.which("cio-replicate") or "/usr/local/bin/cio-replicate"
    text = (Path(__file__).parent / "files" / FILES[kind]).read_text(encoding="utf-8")
    if kind == "systemd":
        address = shlex.quote(address).replace("%", "%%")
    sys.stdout.write(text.format(command=installed, console=address, variable=CODE_VARIABLE, version=__version__))
    return COMPLETE


def _identity(folder: GatewayFolder, console: str | None, wanted: GatewayStartOptions) -> Enrolment:
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
