"""Where the console is reached, and what follows from it: which hosts it answers to, whether cookies need TLS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cio_replicate.base.errors import SettingsError

_NAME = re.compile(r"[a-z0-9._:-]{1,253}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Site:
    """How the console is reached: `url` is its address for people, `hosts` are the names that it answers to."""

    url: str
    hosts: frozenset[str]

    @property
    def secure(self) -> bool:
        """Whether browsers reach it by TLS."""
        return self.url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """The name of the cookie of a session; with TLS a browser takes one of this name from this host alone."""
        return "__Host-cio-session" if self.secure else "cio-session"


def site(host: str, port: int, url: str | None, allowed: Sequence[str], *, tls: bool) -> Site:
    """The site of a server that listens there. Raises SettingsError for one that would be reached unprotected."""
    loopback = _is_loopback(host)
    if url is None and not tls and not loopback:
        raise SettingsError(
            f"On {host} other machines would reach the console without encryption.",
            "Give --tls-cert and --tls-key, or with --url the https:// address of the proxy in front of it.",
        )
    shown = f"[{host}]" if ":" in host else host
    own = f"{'https' if tls else 'http'}://{shown}:{port}"
    public = _public(url) if url is not None else own
    name = urlsplit(public).hostname or ""
    if public.startswith("http://") and not _is_loopback(name):
        raise SettingsError(
            f"The address {public!r} would send passwords unprotected.", "Use https://, or an address of this machine."
        )
    names = {name, *map(_host, allowed), *(LOOPBACK if loopback else ())}
    if url is None and not loopback:
        names.add(host)
    return Site(public, frozenset(names))


def host_of(header: str) -> str:
    """The name in a `Host` header, without its port, in lower case; empty when it is none."""
    try:
        name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""
    return name if _NAME.fullmatch(name) else ""


def _public(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # looked at only now, and may be none
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise SettingsError(f"The address {url!r} is no address.", "Write it as https://console.example.com.")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(f"The address {url!r} has a path.", "The console needs a host, or a port, of its own.")
    return f"{parts.scheme}://{parts.netloc}"


def _host(text: str) -> str:
    name = host_of(text)
    if not name:
        raise SettingsError(f"{text!r} is no host.", "Write it as console.example.com.")
    return name


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
