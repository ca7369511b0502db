"""HTTP security: accepted hosts, cookies, security headers, and the limit on sign-in attempts."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock

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
    """The site of a server that listens there. Raises Refused for one that would be reached unprotected."""
    loopback = _is_loopback(host)
    if url is None and not tls and not loopback:
        raise InvalidSettings(
            f"On {host} other machines would reach the console without encryption.",
            "Give --tls-cert and --tls-key, or with --url the https:// address of the proxy in front of it.",
        )
    shown = f"[{host}]" if ":" in host else host
    own = f"{'https' if tls else 'http'}://{shown}:{port}"
    public = _public(url) if url is not None else own
    name = urlsplit(public).hostname or ""
    if public.startswith("http://") and not _is_loopback(name):
        raise InvalidSettings(
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
        raise InvalidSettings(f"The address {url!r} is no address.", "Write it as https://console.example.com.")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidSettings(f"The address {url!r} has a path.", "The console needs a host, or a port, of its own.")
    return f"{parts.scheme}://{parts.netloc}"


def _host(text: str) -> str:
    name = host_of(text)
    if not name:
        raise InvalidSettings(f"{text!r} is no host.", "Write it as console.example.com.")
    return name


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# What stands around all of the console: only its own hosts are answered, and every answer has the same headers.


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with `no-referrer` a browser would not say where a form comes from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    "x-frame-options": "DENY",
}
STRICT_TRANSPORT = "max-age=31536000"
ASSETS = "/static/"


class SecurityHeaders:
    """An ASGI application around another one. Whatever that answers, errors too, leaves with the headers."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site
        headers = {**HEADERS, **({"strict-transport-security": STRICT_TRANSPORT} if site.secure else {})}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        kind: str = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        private = not scope["path"].startswith(ASSETS)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers_for(message["headers"], private=private)]
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_of(hosts[0]) not in self._site.hosts:
            await _refuse(sent)
            return
        await self._app(scope, receive, sent)

    def _headers_for(self, given: object, *, private: bool) -> list[tuple[bytes, bytes]]:
        names = {name for name, _ in given}  # type: ignore[attr-defined] # pairs, as ASGI has them
        headers = self._headers if not private else [*self._headers, (b"cache-control", b"no-store")]
        return [(name, value) for name, value in headers if name not in names]


async def _refuse(send: Send) -> None:
    """Say that no host of that name is served here, without repeating the name."""
    body = b"This console does not answer to that host. Open it by its own address, or name the host: --allowed-host.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


# How often somebody may try to log in: a handful at once, then ever so often, and never not at all.


MOST_KEPT = 10_000


class LoginThrottle:
    """Lets a few tries of a key through at once, and then one per `pause` seconds.

    Of `MOST_KEPT` keys it is known how often they tried; a further one takes the place of the one seen longest ago.
    """

    def __init__(self, clock: Clock, at_once: int, pause: float) -> None:
        self._clock = clock
        self._at_once = at_once
        self._pause = pause
        self._free_at: OrderedDict[str, float] = OrderedDict()  # when all tries of a key will be there again
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        """Seconds until this key may try again; zero means that it may now, and that this counts as a try."""
        now = self._clock.monotonic()
        with self._lock:
            free_at = max(self._free_at.get(key, now), now) + self._pause
            late = free_at - now - self._at_once * self._pause
            if late > 0:
                return late
            self._free_at[key] = free_at
            self._free_at.move_to_end(key)
            while len(self._free_at) > MOST_KEPT:
                self._free_at.popitem(last=False)
        return 0.0

    def give_back(self, key: str) -> None:
        """The last try of this key does not count: it was the right one, of however many others."""
        with self._lock:
            if key in self._free_at:
                self._free_at[key] -= self._pause

    def forget(self, key: str) -> None:
        """No try of this key counts any more: it was the right one."""
        with self._lock:
            self._free_at.pop(key, None)
