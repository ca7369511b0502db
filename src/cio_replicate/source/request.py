"""What one request to the App API is, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` may hold `{name}` places, filled from `path_values` and percent-encoded one by one.

    `resumes` says that it carries a page token, so that a 400 means the token; `part` that it reads one part of a
    table, so that a 404 means this part and not the table; `extra` that it carries a parameter which not every
    generation of the API knows, so that a 400 means that parameter.
    """

    method: str
    path: str
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    resumes: bool = False
    part: bool = False
    extra: bool = False

    @property
    def target(self) -> str:
        """Path and query as they go over the wire.

        An id that is not encoded reads as an empty 200 or a 404, not as an error (live), so every part is encoded.
        """
        path = self.path
        for name, value in self.path_values.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        return f"{path}?{urlencode(self.query)}" if self.query else path

    @property
    def label(self) -> str:
        """The request in a message: method and path, without the query, whose tokens say nothing to a reader."""
        return f"{self.method} {self.target.partition('?')[0]}"


@dataclass(slots=True)
class RequestCounter:
    """Counts what one caller sent: every attempt, and those that were answered 429."""

    requests: int = 0
    throttled: int = 0
