"""Files that keep a gateway running: a systemd unit and a container file, as texts to put where they belong."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from cio_replicate.base.version import __version__

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
