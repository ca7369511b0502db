"""Reads of people: searches by filter, attributes by id, segment membership."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

from .answers import Answer
from .asking import Question
from .cursors import Cursor, write_cursor
from .ledger import Position, Range
from .people import Identity
from .reading import cursor_of
from .refusals import Refusal, bad_parameter, not_found
from .workspace import Workspace

_IDS_AT_ONCE = 100
_DEEPEST_FILTER = 8
Matches = Callable[[Position], bool]
_IDENTIFIERS = ("cio_id", "id", "email")


def search(question: Question) -> Answer:
    """People that match the body's `filter`, in a stable order."""
    body = question.body
    if not isinstance(body, dict) or not isinstance(body.get("filter"), dict):
        raise Refusal(400, "bad request: filter is required")
    matches = _compile(question.workspace, body["filter"], 0)
    return _identifiers(question, matches, {})


def membership(question: Question) -> Answer:
    """People of one segment."""
    segment = _segment_id(question)
    return _identifiers(question, _in_segment(segment), {"segment_id": segment})


def segment_count(question: Question) -> Answer:
    """How many people the segment holds (unwrapped, spec)."""
    segment = _segment_id(question)
    ledger = question.workspace.ledger("customers")
    matches = _in_segment(segment)
    count = len(ledger) if matches is None else sum(map(matches, ledger.positions(Range())))
    return Answer(None, [msgspec.json.encode({"segment_id": segment, "count": count})], many=False)


def _segment_id(question: Question) -> int:
    segment = int(question.path["segment_id"])
    if question.workspace.ledger("segments").seq_of(str(segment)) is None:
        raise not_found()
    return segment


def _in_segment(segment: int) -> Matches | None:
    """Segment 1 holds everyone, the others a fixed share of people each."""
    if segment == 1:
        return None
    return lambda position: (position[1] * 7 + segment * 31) % 100 < segment * 13 % 90 + 5


def _identifiers(question: Question, matches: Matches | None, siblings: dict[str, Any]) -> Answer:
    workspace = question.workspace
    positions = workspace.ledger("customers").positions(Range(after=cursor_of(question).after))
    found = list(islice(positions if matches is None else filter(matches, positions), question.limit + 1))
    more, found = len(found) > question.limit, found[: question.limit]
    people = [workspace.identity(seq) for _, seq in found]
    following = write_cursor(question.listing, Cursor(found[-1])) if more else ""
    return Answer(
        "identifiers",
        [msgspec.json.encode({"email": who.email, "id": who.id, "cio_id": who.cio_id}) for who in people],
        siblings={"ids": [who.id or "" for who in people], "next": following} | siblings,
        positions=found,
        listing=question.listing,
    )


def _compile(workspace: Workspace, node: object, depth: int) -> Matches | None:
    """A predicate for the filter, None for everybody; a shape that the specification does not have is a 400."""
    if not isinstance(node, dict) or len(node) != 1 or depth > _DEEPEST_FILTER:
        raise Refusal(400, "bad request: filter")
    (operator, operand), *_ = node.items()
    if operator in {"and", "or"}:
        if not isinstance(operand, list) or not operand:
            raise Refusal(400, f"bad request: {operator}")
        return _join(operator, [_compile(workspace, part, depth + 1) for part in operand])
    if operator == "not":
        _compile(workspace, operand, depth + 1)
        return lambda _position: False  # live: a `not` filter matches nobody
    if operator == "segment" and isinstance(operand, dict) and type(operand.get("id")) is int:
        if workspace.ledger("segments").seq_of(str(operand["id"])) is None:
            return lambda _position: False
        return _in_segment(operand["id"])
    if operator == "attribute" and isinstance(operand, dict):
        return _attribute(workspace, operand)
    raise Refusal(400, f"bad request: {operator}")


def _join(operator: str, parts: list[Matches | None]) -> Matches | None:
    real = [part for part in parts if part is not None]
    if operator == "and":
        return (lambda position: all(part(position) for part in real)) if real else None
    return (lambda position: any(part(position) for part in real)) if len(real) == len(parts) else None


def _attribute(workspace: Workspace, operand: dict[str, Any]) -> Matches | None:
    field, operator, value = operand.get("field"), operand.get("operator"), operand.get("value")
    lacks_value = operator == "eq" and not isinstance(value, str)
    if not isinstance(field, str) or operator not in {"eq", "exists"} or lacks_value:
        raise Refusal(400, "bad request: attribute")
    if field == "cio_id" and operator == "exists":
        return None
    ledger = workspace.ledger("customers")

    def held(seq: int) -> str | None:
        if field in _IDENTIFIERS:
            who: Identity = workspace.identity(seq)
            return {"cio_id": who.cio_id, "id": who.id, "email": who.email}[field] or None
        text = json.loads(ledger.record(seq)).get("attributes", {}).get(field)
        return None if text is None else str(text)

    if operator == "exists":
        return lambda position: held(position[1]) is not None
    return lambda position: held(position[1]) == value


def attributes_of_many(question: Question) -> Answer:
    """Up to 100 people by id; ids that nobody has are silently left out (live)."""
    ids = question.body.get("ids") if isinstance(question.body, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= _IDS_AT_ONCE or not all(isinstance(one, str) for one in ids):
        raise Refusal(400, "bad request: ids must be 1 to 100 strings")
    id_type = question.query["id_type"] or "id"
    ledger = question.workspace.ledger("customers")
    found = (question.workspace.person_seq(id_type, one) for one in dict.fromkeys(ids))
    records = [ledger.record(seq) for seq in found if seq is not None]
    if question.behaviour.wrapped_people:
        records = [b'{"customer":' + record + b"}" for record in records]
    return Answer("customers", records)


def attributes_of_one(question: Question) -> Answer:
    """One person; a cio_id carries the prefix `cio_` in the path (spec)."""
    id_type, value = question.query["id_type"] or "id", str(question.path["customer_id"])
    if id_type == "cio_id":
        if not value.startswith("cio_"):
            raise bad_parameter("customer_id")
        value = value.removeprefix("cio_")
    seq = question.workspace.person_seq(id_type, value)
    if seq is None:
        raise not_found()
    return Answer("customer", [question.workspace.ledger("customers").record(seq)], many=False)
