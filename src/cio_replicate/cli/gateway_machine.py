"""`gateway start|status|unit`: a data gateway on the machine where it runs, and files that keep it running."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from cio_replicate.base.errors import Conflict, GatewayRefusedError
from cio_replicate.base.runtime import SystemClock
from cio_replicate.base.version import __version__
from cio_replicate.cli.failure import COMPLETE, FAILED, INTERRUPTED
from cio_replicate.cli.options import AsJson, command
from cio_replicate.cli.terminal import as_json, log_to_stderr, messages, product, say
from cio_replicate.config.connection_options import console_url
from cio_replicate.config.secret_references import is_reference, resolved
from cio_replicate.gateway.agent import Agent, enrol, noted, trouble_of
from cio_replicate.gateway.identity import IDENTITY_FILE, Enrolment, GatewayFolder, folder_at, require_same_console
from cio_replicate.gateway.policy import allowed

StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Where this machine's key, and the landed pages of its runs, are kept; a folder of your own user if not "
        "given.",
    ),
]
CODE_VARIABLE = "CIO_GATEWAY_CODE"
UNIT = """\
# A data gateway of cio-replicate. Put this into /etc/systemd/system/cio-replicate-gateway.service.
#
# The variables that connections and destinations name (env:NAME), and for the first start
# {variable}=…, go into /etc/cio-replicate/gateway.env (chmod 600):
#
#   systemctl daemon-reload && systemctl enable --now cio-replicate-gateway
#   journalctl -u cio-replicate-gateway -f

[Unit]
Description=Data gateway of cio-replicate
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
EnvironmentFile=-/etc/cio-replicate/gateway.env
ExecStart={command} gateway start --console {console} --code env:{variable} --state-dir %S/cio-replicate-gateway
# what ends with 2 somebody has to set right: a code that does not count, a machine that was shut out
Restart=always
RestartSec=10
RestartPreventExitStatus=2
# the gateway itself asks its runs to end in order, and waits for them
KillMode=mixed
TimeoutStopSec=180

DynamicUser=yes
StateDirectory=cio-replicate-gateway
StateDirectoryMode=0700
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
# a destination that is a folder of this machine needs: ReadWritePaths=/that/folder
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
"""
CONTAINER = """\
# A data gateway of cio-replicate.
#
#   docker build -t cio-gateway -f Containerfile .
#   docker run -d --name cio-gateway --restart on-failure -v cio-gateway:/state \\
#     -e {variable}=… --env-file gateway.env cio-gateway
#
# The volume holds the machine's key and the pages of runs: without it each start needs a new code. Variables that
# connections and destinations name (env:NAME) go into gateway.env. No port is published: a gateway only calls.
FROM docker.io/library/python:3.13-slim

# add the extras of your destinations, such as [gateway,postgres]
RUN pip install --no-cache-dir 'cio-replicate[gateway]=={version}'
RUN useradd --system --uid 10001 --create-home gateway && install -d -o gateway -m 0700 /state
USER 10001
VOLUME /state

HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \\
  CMD ["cio-replicate", "gateway", "status", "--state-dir", "/state"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["cio-replicate", "gateway", "start", "--state-dir", "/state"]
CMD ["--console", "{console}", "--code", "env:{variable}"]
"""


@dataclass(frozen=True, kw_only=True)
class GatewayStartOptions:
    """How a gateway is started, as the user wrote it."""

    console: Annotated[
        str | None,
        typer.Option(
            "--console", metavar="URL", help="The console's address; not needed once this machine is enrolled."
        ),
    ] = None
    code: Annotated[
        str | None,
        typer.Option(
            "--code",
            metavar="CODE",
            help="What `gateway create` or `gateway code` has shown, or where it is kept: env:NAME or file:/path. "
            "Passed over once this machine is enrolled.",
        ),
    ] = None
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file", metavar="FILE", help="Certificates, in PEM format, that alone may vouch for the console."
        ),
    ] = None
    state_dir: StateDir = None
    slots: Annotated[
        int, typer.Option("--slots", metavar="COUNT", min=1, max=64, help="Runs at a time on this machine.")
    ] = 2
    away_minutes: Annotated[
        float,
        typer.Option(
            "--away-minutes",
            metavar="MINUTES",
            min=0,
            max=1_440,
            help="How long a run goes on while the console cannot be reached. Usually it is stopped, in order, before "
            "another machine could take it; with more, two may write for a moment when only one is cut off.",
        ),
    ] = 0.0
    allow_api: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-api",
            metavar="URL",
            help="Besides Customer.io's own, an address to which the access token may be sent; may be given several "
            "times.",
        ),
    ] = None
    allow_to: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-to",
            metavar="URL",
            help="A destination that may be written, or a folder in which it may lie, written as in --to; may be given "
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
    if output.json:
        document = {
            "status": "healthy" if trouble is None else "unhealthy",
            "trouble": trouble,
            **msgspec.to_builtins(identity),
            "health": msgspec.to_builtins(health),
        }
        as_json(document)
    else:
        console = product()
        say(console, f"The gateway {identity.gateway} of {identity.console}, machine {identity.member[:12]}.")
        if health is not None and folder.is_held:
            say(console, f"Version {health.version}, process {health.pid}, {health.running} running.")
        say(console, trouble or "It runs, and the console answers.", "red" if trouble else "green")
    return COMPLETE if trouble is None else FAILED


@command(
    "gateway unit",
    "cio-replicate gateway unit --console https://console.example.com > cio-replicate-gateway.service",
    "cio-replicate gateway unit --kind container --console https://console.example.com > Containerfile",
)
def unit(
    *,
    console: Annotated[str, typer.Option("--console", metavar="URL", help="The console's address.")],
    kind: Annotated[
        Literal["systemd", "container"], typer.Option("--kind", metavar="systemd|container", help="Which file.")
    ] = "systemd",
) -> int:
    """Print a file that keeps a gateway running: a systemd unit, or a container file."""
    address = console_url(console)
    sys.stdout.write(systemd_unit(address) if kind == "systemd" else container_file(address))
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


class StopSignal:
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


def systemd_unit(console: str) -> str:
    """A unit for systemd that enrols the machine at its first start and keeps the gateway running."""
    return UNIT.format(command=_command(), console=shlex.quote(console).replace("%", "%%"), variable=CODE_VARIABLE)


def container_file(console: str) -> str:
    """A container file that does the same."""
    return CONTAINER.format(version=__version__, console=console, variable=CODE_VARIABLE)


def _command() -> str:
    """Where the command is installed here."""
    beside = Path(sys.executable).with_name("cio-replicate")
    return str(beside) if beside.exists() else shutil.which("cio-replicate") or "/usr/local/bin/cio-replicate"
