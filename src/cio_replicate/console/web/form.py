"""A form as a browser sent it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request
from litestar.di import NamedDependency

LONGEST = 20_000  # characters of a field


class SubmittedForm:
    """Fields by name, each a text or several."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def text(self, name: str, default: str = "") -> str:
        """The field without what surrounds it."""
        values = self._fields.get(name)
        return values[-1].strip() if values else default

    def raw(self, name: str) -> str:
        """The field as it is: a password may begin with a space."""
        values = self._fields.get(name)
        return values[-1] if values else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that may come several times, without empty ones."""
        return [value.strip() for value in self._fields.get(name, ()) if value.strip()]

    def lines(self, name: str) -> list[str]:
        """The lines of a field, without empty ones."""
        return [line.strip() for line in self.raw(name).splitlines() if line.strip()]

    def has(self, name: str) -> bool:
        """Whether the form has this field: a box that is ticked, a button that was pressed."""
        return name in self._fields


async def form_of(request: Request[Any, Any, Any]) -> SubmittedForm:
    """The form that a request brought."""
    sent = await request.form()
    fields: dict[str, list[str]] = {}
    for name, value in sent.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value[:LONGEST])
    return SubmittedForm(fields)


#: How a handler asks for the form that it was sent.
Sent = NamedDependency[SubmittedForm]
