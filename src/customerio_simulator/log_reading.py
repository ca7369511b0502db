"""Reads of what happened: deliveries in their windows, and the activity log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from .answers import Answer
from .asking import Question
from .inventory import DRAFTS
from .ledger import Entry, Range
from .reading import cursor_of, page
from .refusals import bad_parameter, not_found
from .windows import delivery_window

_ALWAYS_LISTED = {"profile_delete", "profile_merge"}


class _Delivery(msgspec.Struct):
    type: Any = None
    metrics: Any = None
    campaign_id: Any = None
    newsletter_id: Any = None
    action_id: Any = None


class _Person(msgspec.Struct):
    cio_id: str | int = ""


class _Activity(msgspec.Struct):
    type: str = ""
    name: str | None = None
    customer_identifiers: _Person | None = None


def deliveries(question: Question) -> Answer:
    """Deliveries created in the window, both ends included, newest first (live); drafts only on request (spec).

    By option oldest first, which nobody has seen and nobody promised otherwise.
    """
    query = question.query
    low, high = delivery_window(query["start_ts"], query["end_ts"], question.workspace.now)
    newest_first = not question.behaviour.oldest_first
    span = Range(low=low, high=high, after=cursor_of(question).after, descending=newest_first)
    ledger = question.workspace.ledger(DRAFTS if query["drafts"] else "messages")
    return page(question, "messages", ledger, span, _delivery_filter(query))


def _delivery_filter(query: dict[str, object]) -> Callable[[Entry], bool] | None:
    fields = ("type", "campaign_id", "newsletter_id", "action_id")
    wanted = {name: query[name] for name in fields if query[name] is not None}
    metric = query["metric"]
    if not wanted and not metric:
        return None

    def keep(entry: Entry) -> bool:
        delivery = msgspec.json.decode(entry.record, type=_Delivery)
        fits = all(getattr(delivery, name) == value for name, value in wanted.items())
        return fits and (not metric or metric in (delivery.metrics or {}))

    return keep


def delivery(question: Question) -> Answer:
    """One delivery or draft by id."""
    key = str(question.path["message_id"])
    record = question.workspace.ledger("messages").get(key) or question.workspace.ledger(DRAFTS).get(key)
    if record is None:
        raise not_found()
    return Answer("message", [record], many=False)


def activities(question: Question) -> Answer:
    """The log as far as it reaches, newest first by `timestamp` (live), or by option oldest first."""
    workspace = question.workspace
    newest_first = not question.behaviour.oldest_first
    span = Range(low=workspace.activity_bound, after=cursor_of(question).after, descending=newest_first)
    return page(question, "activities", workspace.ledger("activities"), span, _activity_filter(question))


def _activity_filter(question: Question) -> Callable[[Entry], bool] | None:
    query, workspace = question.query, question.workspace
    mode, deleted = question.behaviour.deleted_activities, bool(query["deleted"])
    person = _asked_person(question)
    listed_all = mode == "always" or (mode == "with" and deleted)
    if listed_all and person is None and not query["type"] and not query["name"]:
        return None

    def keep(entry: Entry) -> bool:
        activity = _activity(entry.record)
        cio_id = "" if activity.customer_identifiers is None else str(activity.customer_identifiers.cio_id)
        if query["type"] and activity.type != query["type"]:
            return False
        if query["name"] and activity.name != query["name"]:
            return False
        if person is not None and cio_id != person:
            return False
        if listed_all:
            return True
        gone = cio_id != "" and activity.type not in _ALWAYS_LISTED and not workspace.is_person(cio_id)
        return gone == deleted

    return keep


def _activity(record: bytes) -> _Activity:
    try:
        return msgspec.json.decode(record, type=_Activity)
    except msgspec.DecodeError:  # half a character, which this decoder refuses and the standard one takes
        return msgspec.convert(json.loads(record), _Activity)


def _asked_person(question: Question) -> str | None:
    """The cio_id that `customer_id` and `id_type` mean; an unknown person matches nothing."""
    value = question.query["customer_id"]
    if not value:
        return None
    id_type = question.query["id_type"] or "id"
    if id_type == "cio_id":
        if not value.startswith("cio_"):
            raise bad_parameter("customer_id")
        return str(value).removeprefix("cio_")
    seq = question.workspace.person_seq(id_type, value)
    return "\0nobody" if seq is None else question.workspace.ledger("customers").key_of(seq)
