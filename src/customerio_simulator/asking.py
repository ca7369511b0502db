"""What a request asks: its parameters, declared once, checked and typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .behaviour import Behaviour
from .refusals import bad_parameter
from .workspace import Workspace

Kind = Literal["integer", "string", "boolean"]
_NUMBER = re.compile(r":[0-9]+:")
_LONGEST_INTEGER = 18  # digits: within 64 bits, and nothing legitimate is longer


@dataclass(frozen=True, slots=True)
class Param:
    """One query or path parameter; `minimum` and `maximum` bound integers, `maximum` of a `limit` may only cap it."""

    name: str
    kind: Kind = "string"
    default: int | bool | None = None
    minimum: int | None = None
    maximum: int | None = None
    enum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A request that passed the gate: everything a read needs, already typed."""

    workspace: Workspace
    behaviour: Behaviour
    listing: str
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: object = None

    @property
    def limit(self) -> int:
        """Records on the page, at most."""
        return self.at_most(int(self.query["limit"]))

    def at_most(self, records: int) -> int:
        """So many records, unless no page may have as many."""
        ceiling = self.behaviour.page_ceiling
        return records if ceiling is None else min(records, max(1, ceiling))


def typed(params: Iterable[Param], given: Mapping[str, str], *, reject_over_max: bool) -> dict[str, Any]:
    """The declared parameters with their values or defaults; others are ignored. Bad values raise a 400."""
    return {
        param.name: _value(param, given[param.name], reject_over_max=reject_over_max)
        if given.get(param.name, "") != "" or (param.name in given and param.kind != "string")
        else param.default
        for param in params
    }


def _value(param: Param, text: str, *, reject_over_max: bool) -> int | bool | str:
    if param.kind == "integer":
        return _integer(param, text, reject_over_max=reject_over_max)
    if param.kind == "boolean":
        if text not in {"true", "false"}:
            raise bad_parameter(param.name)
        return text == "true"
    if param.enum and not _among(param.enum, text):
        raise bad_parameter(param.name)
    return text


def _integer(param: Param, text: str, *, reject_over_max: bool) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_INTEGER):
        raise bad_parameter(param.name)
    value = int(text)
    if param.minimum is not None and value < param.minimum:
        raise bad_parameter(param.name)
    if param.maximum is not None and value > param.maximum:
        if reject_over_max:
            raise bad_parameter(param.name)
        return param.maximum
    return value


def _among(enum: tuple[str, ...], text: str) -> bool:
    """Whether the text is a listed value; `<object_type_id>` in one stands for a number (spec)."""
    return text in enum or _NUMBER.sub(":<object_type_id>:", text, count=1) in enum
