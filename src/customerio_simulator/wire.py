"""Faults below HTTP and in place of the answer: resets, cut bodies, silence, refusals and garbage.

An ASGI application can only send well-formed answers, so these go around it: `WireProtocol`, uvicorn's own h11
protocol, hands each request its connection, and the responses here write to the connection's transport. A proxy in
front would do the same with a second parser and a second hop to keep honest.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from .faults import Fault
from .refusals import error_body

_HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
_BINARY = bytes(range(256))
_TEXTS = {400: "invalid query parameter", 401: "unauthorized", 403: "forbidden", 404: "resource not found"}
_CONNECTION = "connection"
Headers = dict[str, str]


class WireProtocol(H11Protocol):
    """HTTP/1.1 whose requests can reach their connection, under `scope["state"]["connection"]`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state | {_CONNECTION: self}, _loop)


def fault_response(
    fault: Fault,
    closing: asyncio.Event,
    body: bytes | None = None,
    headers: Headers | None = None,
) -> Response | None:
    """The response that this fault makes, or None when it leaves the response alone at this stage.

    Without a body: faults that need no data. With the body about to be sent: faults that spoil it on its way.
    """
    if body is None or headers is None:
        return _instead(fault, closing)
    if fault.kind == "truncated_gzip":
        return Response(body[: len(body) // 2], 200, headers)
    if fault.kind in {"reset_mid_body", "truncated_body"}:
        return CutResponse(body, headers, reset=fault.kind == "reset_mid_body")
    if fault.kind == "stall" and fault.params.get("headers_sent"):
        return StalledResponse(_seconds(fault), closing, headers | {"content-length": str(len(body))})
    if fault.kind == "slow":
        return SlowResponse(body, headers, _seconds(fault), closing)
    return None


def _instead(fault: Fault, closing: asyncio.Event) -> Response | None:
    params = fault.params
    if fault.kind == "status":
        return _refusal(int(params.get("status", 500)), params.get("body", "json"), params.get("retry_after"))
    if fault.kind == "expired_cursor":
        return _refusal(400, "json", None)
    if fault.kind == "rate_limited":
        return _refusal(429, "json", params.get("retry_after"), "rate limited to 10 requests per 1s (reference 7c1d2e)")
    if fault.kind == "daily_quota":
        return _refusal(429, "json", None, "daily quota exceeded (reference 90be11)")
    if fault.kind == "garbage":
        binary = params.get("body") == "binary"
        kind = "application/json" if binary else "text/html; charset=utf-8"
        return Response(_BINARY if binary else _HTML, 200, {"content-type": kind})
    if fault.kind == "reset":
        return ResetResponse()
    if fault.kind == "stall" and not params.get("headers_sent"):
        return StalledResponse(_seconds(fault), closing, None)
    return None


def _refusal(status: int, body: str, retry_after: int | None, detail: str | None = None) -> Response:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    if body == "html":
        return Response(_HTML, status, headers | {"content-type": "text/html"})
    if body == "empty":
        return Response(b"", status, headers)
    text = detail or _TEXTS.get(status, "internal error (reference 1a2b3c)")
    return Response(error_body(status, text), status, headers | {"content-type": "application/json; charset=utf-8"})


def _seconds(fault: Fault) -> float:
    return float(fault.params.get("seconds", 1.0))


def _transport(scope: Scope) -> asyncio.Transport:
    connection: WireProtocol = scope["state"][_CONNECTION]
    return connection.transport


def _reset(transport: asyncio.Transport) -> None:
    """Closes with RST instead of FIN: a linger time of zero discards what is unsent."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _gone(receive: Receive) -> None:
    """Returns when uvicorn has noticed that the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _silence(seconds: float, closing: asyncio.Event, receive: Receive) -> None:
    """Waits out the time, unless the client goes away or the server stops first."""
    waits = {asyncio.ensure_future(closing.wait()), asyncio.ensure_future(_gone(receive))}
    _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


def _head(headers: Headers) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode("latin-1")


class ResetResponse(Response):
    """No byte of an answer, then a reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI)
        """Resets, and waits until the server has noticed."""
        _reset(_transport(scope))
        await _gone(receive)


class CutResponse(Response):
    """A full Content-Length and half of the body, then a reset or a plain close."""

    def __init__(self, body: bytes, headers: Headers, *, reset: bool) -> None:
        super().__init__()
        self._promised = _head(headers | {"content-length": str(len(body))})
        self._sent = body[: len(body) // 2]
        self._resets = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI)
        """Writes past the server, so that its own Content-Length check cannot object."""
        scope["state"]["status"] = 200
        transport = _transport(scope)
        transport.write(self._promised + self._sent)
        if self._resets:
            # A reset discards what the client has not read; one turn of the loop lets the bytes leave first.
            await asyncio.sleep(0)
            _reset(transport)
        else:
            transport.close()
        await _gone(receive)


class StalledResponse(Response):
    """Headers, or not even those, then silence, then the connection closes."""

    def __init__(self, seconds: float, closing: asyncio.Event, headers: Headers | None) -> None:
        super().__init__()
        self._seconds = seconds
        self._closing = closing
        self._sent_headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI)
        """Keeps silent until the time is up, the client has gone or the server stops."""
        transport = _transport(scope)
        if self._sent_headers is not None:
            scope["state"]["status"] = 200
            transport.write(_head(self._sent_headers))
        await _silence(self._seconds, self._closing, receive)
        transport.abort()
        await _gone(receive)


class SlowResponse(Response):
    """The right answer, late."""

    def __init__(self, body: bytes, headers: Headers, seconds: float, closing: asyncio.Event) -> None:
        super().__init__(body, 200, headers)
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits, then sends as any other response."""
        await _silence(self._seconds, self._closing, receive)
        await super().__call__(scope, receive, send)
