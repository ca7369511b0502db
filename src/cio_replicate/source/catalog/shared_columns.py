"""Columns that several tables share, and functions that turn list items into records.

An item that is not a record is returned unchanged; the row encoder rejects it.
"""

from __future__ import annotations

import re

import msgspec

from cio_replicate.base.text import MASK
from cio_replicate.schema.table import Column, DeclaredPartition, boolean, integer, json, string, timestamp

# Columns that stand in several tables and mean the same in each.


DEDUPLICATE_ID = string(
    "deduplicate_id",
    "Id and time of the last change in unix seconds, joined by a colon; it differs whenever the record has changed.",
)

TAGS = json("tags", "The tags given to it, as an array of texts; null or an empty array without.")

CREATED_BY = string("created_by", "Who created it, as Customer.io names the person; null when not sent.")

#: Campaigns and broadcasts can be set to start and stop by themselves.
SCHEDULED = (
    timestamp("scheduled_start", "When it is set to start by itself; null without a schedule."),
    timestamp("scheduled_stop", "When it is set to stop by itself; null without a schedule."),
    boolean("scheduled_start_should_backfill", "Whether a scheduled start also takes in the people who match already."),
    boolean("scheduled_stop_should_sunset", "Whether people already under way may finish after a scheduled stop."),
)


#: What an action or another content of a message holds, whatever it belongs to.
ACTION_COLUMNS = (
    DEDUPLICATE_ID,
    string("name", "The action's name."),
    string(
        "type",
        "The channel: `email`, `in_app`, `push`, `twilio` (SMS), `slack`, `webhook`, or another step such as "
        "`split_randomized`.",
    ),
    timestamp("created", "When the action was created."),
    timestamp("updated", "When the action was last changed."),
    string("sending_state", "How it sends: `automatic`, `draft` or `off`."),
    string("subject", "The subject line; null in other channels than email."),
    string("body", "The content as HTML or text, with Liquid."),
    string("body_amp", "The content as AMP, for emails that have one."),
    string("preheader_text", "The text that mail programs show beside the subject."),
    string("layout", "The layout around the body, as HTML."),
    string("language", "The language of a variant; empty for the default."),
    string("from", "The sender's address."),
    integer("from_id", "The sender, a `sender_identities.id`."),
    string("reply_to", "The address that answers go to."),
    integer("reply_to_id", "The identity that answers go to, a `sender_identities.id`."),
    string("recipient", "The address it goes to, usually Liquid such as `{{customer.email}}`."),
    string("bcc", "The addresses that get a blind copy."),
    string("cc", "The addresses that get a copy."),
    boolean("fake_bcc", "Whether blind copies are sent as messages of their own."),
    string("preprocessor", "What turns the CSS of an email into inline styles: `premailer`."),
    string("headers", "Headers of an email or a webhook, as text that holds a JSON array."),
    string("image_url", "The image of an MMS or a push notification."),
    string("url", "The address that a webhook calls."),
    string("method", "The HTTP method of a webhook: `get`, `post`, `put`, `delete` or `patch`."),
    string("request_method", "The same under the name that some workspaces get it by."),
    string("editor", "The editor that the content was made with; undocumented."),
    integer("recipient_environment_id", "Undocumented; null in most actions."),
)


def person_identifiers(field: str) -> tuple[Column, ...]:
    """The columns of the object `field` that names a person by each of its identifiers."""
    return (
        string(
            f"{field}__email",
            "The person's email address; null when it has none or the workspace does not identify people by it.",
            personal=True,
            identifies=True,
        ),
        string(
            f"{field}__id",
            "The id you gave the person; null or empty when you gave none.",
            personal=True,
            identifies=True,
        ),
        string(
            f"{field}__cio_id", "Customer.io's own id of the person, which never changes: the `cio_id` of `customers`."
        ),
    )


_record = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.encode

# what some reader of addresses takes for an `@`: the sign itself, and the two that Unicode folds into it
_AT = re.compile("[@\uff20\ufe6b]")
_BEFORE_AUTHORITY = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?[/\\]+|", re.IGNORECASE)
_AUTHORITY = re.compile(r"[^/\\?#]*")
_HOST = re.compile(r"(?:\[[^\]\s]*\]|[^:\[\]\s]*)(?::[0-9]*)?")


def ip_address(item: msgspec.Raw, _part: DeclaredPartition) -> bytes:
    """An address is a bare string; it becomes the row's `id`."""
    return bytes(item) if _is_object(item) else _encode({"id": item})


def suppression(item: msgspec.Raw, part: DeclaredPartition) -> bytes:
    """A suppressed address gets the list it stands in, and an `id` that is unique over lists and sending domains.

    The same address may stand in one list once per sending domain (live), so the domain is part of the id. A field of
    the record that has one of these names already is kept under `source_` and its name.
    """
    if not _is_object(item):
        return bytes(item)
    record = _record.decode(item)
    kind = part.path["suppression_type"]
    joined = "|".join((kind, _as_text(record.get("domain")), _as_text(record.get("email"))))
    given = {"id": joined, "suppression_type": kind}
    own = {f"source_{name}" if name in given else name: value for name, value in record.items()}
    return _encode({**given, **own})


def webhook(item: msgspec.Raw, _part: DeclaredPartition) -> bytes:
    """Credentials inside the endpoint never reach the copy (live: it may hold `user:password@`)."""
    if not _is_object(item):
        return bytes(item)
    record = _record.decode(item)
    endpoint = _as_text(record.get("endpoint"))
    masked = mask_credentials(endpoint)
    return bytes(item) if masked == endpoint else _encode({**record, "endpoint": masked})


def mask_credentials(address: str) -> str:
    """`address` with what stands before the `@` of its host masked; unchanged when there is nothing of the kind.

    When what should be the host cannot be one, a password holds a `/`, `?` or `#` that was not escaped: then all up
    to the last `@` is masked. Better too much of an address than a part of a password.
    """
    start = _end(_BEFORE_AUTHORITY, address, 0)
    end = _end(_AUTHORITY, address, start)
    host = max((at.end() for at in _AT.finditer(address, start, end)), default=start)
    if not _HOST.fullmatch(address, host, end):
        host = max((at.end() for at in _AT.finditer(address, start)), default=start)
    return address if host == start else f"{address[:start]}{MASK}@{address[host:]}"


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.match(text, start)
    return found.end() if found else start


def _is_object(item: msgspec.Raw) -> bool:
    return bytes(item).lstrip()[:1] == b"{"


def _as_text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        text = bytes(raw).decode()
        return "" if text == "null" else text
