"""HTTP security: accepted hosts, cookies, security headers, and the limit on sign-in attempts."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy import case, delete, select, update

from cio_replicate.base.errors import InvalidSettings
from cio_replicate.base.runtime import Clock
from cio_replicate.database.connection import Database, keep_latest, upsert
from cio_replicate.database.tables import login_attempts

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
    """Return the site of a server that listens there. Raises InvalidSettings for one without protection."""
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
    """Return the name in a `Host` header, without its port, in lower case; empty when it is none."""
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


MOST_KEPT = 10_000


class LoginThrottle:
    """Allows a few tries of a key at once, and then one per `pause` seconds, counted over all consoles.

    The control database holds the tries of `most` keys; of more, those that may soonest try again are forgotten.
    """

    def __init__(
        self, database: Database, clock: Clock, about: str, at_once: int, pause: float, most: int = MOST_KEPT
    ) -> None:
        self._database = database
        self._clock = clock
        self._about = about
        self._most = most
        self._pause = round(pause * 1_000)
        self._credit = at_once * self._pause

    def wait(self, key: str) -> float:
        """Return the seconds until this key may try again; zero counts as a try."""
        now, digest, free_at = round(self._clock.now() * 1_000), self._digest(key), login_attempts.c.free_at
        later = case((free_at < now, now), else_=free_at) + self._pause
        with self._database.updating() as transaction:
            counted = (
                upsert(transaction, login_attempts)
                .values(key=digest, free_at=now + self._pause)
                .on_conflict_do_update(
                    index_elements=[login_attempts.c.key],
                    set_={"free_at": later},
                    where=later <= now + self._credit,
                )
                .returning(free_at)
            )
            if transaction.scalar(counted) is not None:
                keep_latest(transaction, login_attempts.c.key, free_at, now, self._most)
                return 0.0
            late = transaction.scalar(select(later - now - self._credit).where(login_attempts.c.key == digest))
        return (late or 0) / 1_000

    def give_back(self, key: str) -> None:
        """Do not count the last try of this key: it was the right one."""
        this = login_attempts.c.key == self._digest(key)
        with self._database.updating() as transaction:
            transaction.execute(
                update(login_attempts).where(this).values(free_at=login_attempts.c.free_at - self._pause)
            )

    def forget(self, key: str) -> None:
        """Count no try of this key any more: it was the right one."""
        with self._database.updating() as transaction:
            transaction.execute(delete(login_attempts).where(login_attempts.c.key == self._digest(key)))

    def _digest(self, key: str) -> str:
        return sha256(f"{self._about} {key}".encode("utf-8", "replace")).hexdigest()
