"""Faults inside a well-formed answer: cursors that mislead, lists that lack or repeat, fields that drift."""

from __future__ import annotations

from typing import Any

import msgspec

from .answers import Answer, write_answer
from .asking import Question
from .cursors import Cursor, read_cursor, write_cursor
from .drift import drifted
from .faults import Fault


def bend(fault: Fault, answer: Answer, question: Question) -> bytes:
    """The answer's JSON with the fault in it; an answer that the fault cannot touch stays honest."""
    if fault.kind == "cut_json":
        body = write_answer(answer)
        return body[: len(body) // 2]
    if fault.kind in {"missing_key", "wrong_type"}:
        return _without_data(fault, answer)
    if fault.kind in {"repeated_cursor", "cursor_cycle", "endless_cursor", "empty_page", "next_form", "duplicates"}:
        _bend_cursor(fault, answer, question)
    elif answer.records is not None:
        _bend_records(fault, answer)
    return write_answer(answer)


def _without_data(fault: Fault, answer: Answer) -> bytes:
    fields: dict[str, Any] = dict(answer.siblings)
    if fault.kind == "wrong_type" and answer.key is not None:
        fields = {answer.key: fault.params.get("value", "unexpected")} | fields
    return msgspec.json.encode(fields)


def _bend_records(fault: Fault, answer: Answer) -> None:
    records = answer.records or []
    if fault.kind == "null_list" and answer.many:
        answer.records = None if not records or not fault.params.get("only_empty") else records
    elif fault.kind == "drift":
        what = str(fault.params.get("what", "extra"))
        answer.records = [drifted(record, what) for record in records]
    elif fault.kind == "missing_ids" and answer.many:
        every = int(fault.params.get("every", 2))
        answer.records = [record for number, record in enumerate(records, 1) if number % every]
    elif fault.kind == "reordered" and answer.many:
        answer.records = records[::-1]


def _bend_cursor(fault: Fault, answer: Answer, question: Question) -> None:
    """Only lists with a `next` can mislead with it."""
    if "next" not in answer.siblings:
        return
    used = question.query.get("start") or ""
    here = read_cursor(answer.listing, used) if used else Cursor(None)
    again = write_cursor(answer.listing, Cursor(here.after, here.turn + 1))
    if fault.kind == "repeated_cursor":
        answer.siblings["next"] = used
    elif fault.kind == "cursor_cycle":
        answer.siblings["next"] = write_cursor(answer.listing, Cursor(here.after, 1 - here.turn % 2))
    elif fault.kind in {"endless_cursor", "empty_page"}:
        answer.records = []
        answer.siblings |= {"next": again} | ({"ids": []} if "ids" in answer.siblings else {})
    elif fault.kind == "duplicates" and answer.siblings["next"] and len(answer.positions) > 1:
        answer.siblings["next"] = write_cursor(answer.listing, Cursor(answer.positions[-2]))
    elif fault.kind == "next_form" and answer.siblings["next"] == "":
        form = fault.params.get("form", "null")
        if form == "absent":
            del answer.siblings["next"]
        else:
            answer.siblings["next"] = None if form == "null" else ""
