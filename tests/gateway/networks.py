"""Private networks on this machine: namespaces whose programs can call one address, and that nobody can call."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

RULES = """
table inet private {{
  chain in {{
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }}
  chain out {{
    type filter hook output priority 0; policy drop;
    oif lo accept
    ct state established,related accept
    ip daddr {outside} accept
  }}
  chain through {{
    type filter hook forward priority 0; policy drop;
  }}
}}
"""


def missing() -> str | None:
    """Why namespaces cannot be made here, if so."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [one for one in ("ip", "nft", "ss") if shutil.which(one) is None]
    return f"needs {', '.join(lacking)}: `make test-gateway` installs them" if lacking else None


@dataclass(frozen=True)
class Network:
    """A private network. `inside` is what a command is put behind to run there, `address` what it has there."""

    name: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        """To run a command there."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        return subprocess.run([*self.inside, *command], capture_output=True, text=True, check=False, timeout=30)

    def listening(self) -> str:
        """The ports on which somebody listens there."""
        return self.run("ss", "-Hltnu").stdout.strip()


@contextmanager
def networks(count: int) -> Iterator[tuple[str, list[Network]]]:
    """The one outside address that they can call, and so many private networks, each by itself."""
    number = os.getpid() % 200 + 20
    outside = f"10.{number}.0.1"
    made = [Network(f"cio{os.getpid()}n{one}", f"10.{number}.{one}.2") for one in range(1, count + 1)]
    try:
        _ip("addr", "add", f"{outside}/32", "dev", "lo")
        for one, network in enumerate(made, 1):
            _make(network, f"cio{number}h{one}", f"10.{number}.{one}.1", outside)
        yield outside, made
    finally:
        for network in made:
            _ip("netns", "del", network.name, check=False)
        _ip("addr", "del", f"{outside}/32", "dev", "lo", check=False)


def _make(network: Network, cable: str, gateway: str, outside: str) -> None:
    _ip("netns", "add", network.name)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "up0", "netns", network.name)
    _ip("addr", "add", f"{gateway}/30", "dev", cable)
    _ip("link", "set", cable, "up")
    within = ("-n", network.name)
    _ip(*within, "link", "set", "lo", "up")
    _ip(*within, "addr", "add", f"{network.address}/30", "dev", "up0")
    _ip(*within, "link", "set", "up0", "up")
    _ip(*within, "route", "add", f"{outside}/32", "via", gateway)
    rules = RULES.format(outside=outside)
    subprocess.run([*network.inside, "nft", "-f", "-"], input=rules, text=True, check=True, timeout=30)


def _ip(*arguments: str, check: bool = True) -> None:
    subprocess.run([shutil.which("ip") or "ip", *arguments], check=check, timeout=30)
