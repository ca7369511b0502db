"""What stands around all of the console: only its own hosts are answered, and every answer has the same headers."""

from __future__ import annotations

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cio_replicate.console.web.http_security import Site, host_of

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
