"""Answers that are not data: what a refusal says and how it looks in JSON."""

from __future__ import annotations

import msgspec


class Refusal(Exception):
    """Ends a request with an error status and the API's error body."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def error_body(status: int, detail: str) -> bytes:
    """The dominant error shape; `status` is a string in it (spec, newest generation)."""
    return msgspec.json.encode({"errors": [{"detail": detail, "status": str(status)}]})


def bad_parameter(name: str) -> Refusal:
    """400 for a parameter with an impossible value."""
    return Refusal(400, f"invalid query parameter: {name}")


def not_found() -> Refusal:
    """404 for something that is not there."""
    return Refusal(404, "resource not found")


def rate_limited(rps: int, *, retry_after: int | None) -> Refusal:
    """429 as the 2026 specification words it; the header is left out when `retry_after` is None."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Refusal(429, f"rate limited to {rps} requests per 1s (reference 5f3a9c)", headers)
