"""Reads shared by most endpoints: a whole list, a page of a list, one record."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice

import msgspec

from .account_records import suppression_domain
from .answers import Answer
from .asking import Question
from .cursors import BadCursorError, Cursor, read_cursor, write_cursor
from .ledger import Entry, Ledger, Position, Range
from .refusals import bad_parameter, not_found
from .sending_records import action_count
from .sending_records import broadcast_actions as broadcast_actions_of
from .sending_records import campaign_actions as campaign_actions_of

Read = Callable[[Question], Answer]
_CATEGORY = {"spam_reports": "spam"}  # the answer names this list differently from the path (spec)


class _Sender(msgspec.Struct):
    hidden: bool = False


def whole(table: str, key: str, *, null_when_empty: bool = False) -> Read:
    """Every record in one answer, as the lists without paging give them."""

    def read(question: Question) -> Answer:
        records = [entry.record for entry in question.workspace.ledger(table).entries(Range())]
        return Answer(key, None if null_when_empty and not records else records)

    return read


def one(table: str, key: str | None, parameter: str) -> Read:
    """One record by the id in the path, 404 without it."""

    def read(question: Question) -> Answer:
        record = question.workspace.ledger(table).get(str(question.path[parameter]))
        if record is None:
            raise not_found()
        return Answer(key, [record], many=False)

    return read


def cursor_of(question: Question) -> Cursor:
    """Where the request's `start` token points; a 400 for a token that this list never gave."""
    token = question.query.get("start")
    if not token:
        return Cursor(None)
    try:
        return read_cursor(question.listing, token)
    except BadCursorError as error:
        raise bad_parameter("start") from error


def page(
    question: Question,
    key: str,
    ledger: Ledger,
    span: Range,
    keep: Callable[[Entry], bool] | None = None,
) -> Answer:
    """One page of a list from the cursor on, with a `next` that is empty after the last record."""
    limit = question.limit
    if keep is None:
        positions, records = ledger.first(span, limit + 1)
    else:
        kept = list(islice(filter(keep, ledger.entries(span)), limit + 1))
        positions, records = [entry.position for entry in kept], [entry.record for entry in kept]
    following = write_cursor(question.listing, Cursor(positions[limit - 1])) if len(positions) > limit else ""
    return Answer(
        key,
        records[:limit],
        siblings={"next": following},
        positions=positions[:limit],
        listing=question.listing,
    )


def span_of(question: Question) -> Range:
    """From the cursor on, in the direction that `sort` asks for."""
    return Range(after=cursor_of(question).after, descending=question.query.get("sort") == "desc")


def newsletters(question: Question) -> Answer:
    """Newsletters by id, in the direction that `sort` asks for."""
    return page(question, "newsletters", question.workspace.ledger("newsletters"), span_of(question))


def senders(question: Question) -> Answer:
    """Visible senders, or only the hidden ones (live); the last page still carries a token (live)."""
    hidden = bool(question.query["hidden"])

    def asked(entry: Entry) -> bool:
        return msgspec.json.decode(entry.record, type=_Sender).hidden is hidden

    span = span_of(question)
    answer = page(question, "sender_identities", question.workspace.ledger("sender_identities"), span, asked)
    if answer.positions and not answer.siblings["next"] and question.behaviour.trailing_sender_token:
        answer.siblings["next"] = write_cursor(question.listing, Cursor(answer.positions[-1]))
    return answer


def suppressions(question: Question) -> Answer:
    """Offset paging; `null` when the list is empty or the offset lies past its end (live)."""
    kind = str(question.path["suppression_type"])
    ledger = question.workspace.ledger(f"eps_suppression/{kind}")
    offset, domain = int(question.query["offset"]), question.query.get("domain")
    if domain:
        of_domain = (entry for entry in ledger.entries(Range()) if suppression_domain(entry.position[1]) == domain)
        records = [entry.record for entry in islice(of_domain, offset, offset + question.limit)]
    else:
        _, records = ledger.first(Range(after=ledger.nth(offset)), question.limit)
    return Answer("suppressions", records or None, siblings={"category": _CATEGORY.get(kind, kind)})


def search_suppression(question: Question) -> Answer:
    """The suppressions of one address, all of one category: the first list that has it (spec: one `category`)."""
    wanted = question.path["email_address"]
    for kind in ("bounces", "blocks", "spam_reports", "invalid_emails"):
        ledger = question.workspace.ledger(f"eps_suppression/{kind}")
        found = [e.record for e in ledger.entries(Range()) if json.loads(e.record)["email"] == wanted]
        if found:
            return Answer("suppressions", found, siblings={"category": _CATEGORY.get(kind, kind)})
    return Answer("suppressions", None, siblings={"category": ""})


def campaign_actions(question: Question) -> Answer:
    """Ten actions a page, and no `limit` to ask for more or fewer (live)."""
    size = question.at_most(10)
    campaign = str(question.path["campaign_id"])
    seq = question.workspace.ledger("campaigns").seq_of(campaign)
    if seq is None:
        raise not_found()
    after = cursor_of(question).after
    first = 0 if after is None else after[1] + 1
    count = action_count(seq)
    numbers = range(first, min(count, first + size))
    every = campaign_actions_of(question.workspace.spec, campaign, seq)
    records = [every[number] for number in numbers]
    positions: list[Position] = [(0, number) for number in numbers]
    more = bool(numbers) and numbers[-1] + 1 < count
    following = write_cursor(question.listing, Cursor(positions[-1])) if more else ""
    encoded = [msgspec.json.encode(record) for record in records]
    return Answer("actions", encoded, siblings={"next": following}, positions=positions, listing=question.listing)


def broadcast_actions(question: Question) -> Answer:
    """All actions of a broadcast at once, without the broadcast's own id (live)."""
    key = str(question.path["broadcast_id"])
    seq = question.workspace.ledger("broadcasts").seq_of(key)
    if seq is None:
        raise not_found()
    records = broadcast_actions_of(question.workspace.spec, key, seq)
    for record in records:
        del record["broadcast_id"]
    return Answer("actions", [msgspec.json.encode(record) for record in records])
