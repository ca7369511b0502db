"""A bare HTTP server that answers as a test says, down to the byte, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

KEYS = {
    "/v1/broadcasts": "broadcasts",
    "/v1/transactional": "messages",
    "/v1/customers": "identifiers",
    "/v1/customers/attributes": "customers",
    "/v1/campaigns": "campaigns",
    "/v1/newsletters": "newsletters",
    "/v1/segments": "segments",
    "/v1/messages": "messages",
    "/v1/exports": "exports",
    "/v1/activities": "activities",
    "/v1/sender_identities": "sender_identities",
    "/v1/reporting_webhooks": "reporting_webhooks",
    "/v1/snippets": "snippets",
    "/v1/info/ip_addresses": "ip_addresses",
    "/v1/collections": "collections",
    "/v1/subscription_topics": "topics",
    "/v1/workspaces": "workspaces",
    "/v1/object_types": "types",
    "/v1/esp/suppression": "suppressions",
}


@dataclass(frozen=True)
class Asked:
    """A request: its number among those with the same path (from 1), and what it holds."""

    number: int
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer to the byte. `cut`: how many bytes of the body are kept back before the connection is closed."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    close: bool = False


#: What a path answers: a value (sent as JSON), a reply, or what makes one of them from the request.
Answer = Any


class StandIn:
    """Answers each path as told; every list that nothing is said about is empty. Use as a context manager."""

    def __init__(self, answers: Mapping[str, Answer] | None = None, host: str = "127.0.0.1") -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        quiet = {"daemon_threads": True, "request_queue_size": 128, "handle_error": lambda *_: None}
        server = type("Server", (ThreadingHTTPServer,), quiet)
        if ":" in host:
            server.address_family = 10  # type: ignore[attr-defined] # AF_INET6
        self._server: ThreadingHTTPServer = server((host, 0), _handler(self))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, path: str) -> list[Asked]:
        """The requests for a path so far."""
        with self._lock:
            return [one for one in self.asked if one.path == path]

    def reply(self, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]) -> Reply:
        """The answer to a request."""
        with self._lock:
            asked = Asked(1 + sum(one.path == path for one in self.asked), path, query, body, headers)
            self.asked.append(asked)
        answer = self.answers.get(path, self.answers.get("*"))
        made = answer(asked) if callable(answer) else answer
        if made is None:
            made = empty(path)
        return made if isinstance(made, Reply) else Reply(json.dumps(made, separators=(",", ":")).encode())


def empty(path: str) -> Mapping[str, Any]:
    """A list without entries."""
    known = next((key for start, key in KEYS.items() if path == start or path.startswith(f"{start}/")), "nothing")
    return {KEYS.get(path, known): []}


def paged(key: str, records: list[Any], size: int) -> Callable[[Asked], Answer]:
    """A list by cursor with pages of `size`."""

    def answer(asked: Asked) -> Answer:
        first = int(asked.query.get("start", "0"))
        after = first + size
        return {key: records[first:after], "next": str(after) if after < len(records) else ""}

    return answer


def by_offset(key: str, records: list[Any], most: int = 1000) -> Callable[[Asked], Answer]:
    """A list by offset with pages as large as asked for, at most `most`."""

    def answer(asked: Asked) -> Answer:
        first, size = int(asked.query.get("offset", "0")), min(most, int(asked.query.get("limit", "100")))
        return {key: records[first : first + size] or None}

    return answer


def _handler(standin: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            reply = standin.reply(parts.path, dict(parse_qsl(parts.query)), body, dict(self.headers))
            self.send_response_only(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if "transfer-encoding" not in {name.lower() for name in reply.headers}:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = bool(reply.cut) or reply.close

        do_GET = do_POST = _answer  # noqa: N815 - the names that the standard library calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
