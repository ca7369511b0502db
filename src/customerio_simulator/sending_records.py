"""Records of what sends messages: campaigns with their actions, broadcasts, newsletters, transactional messages."""

from __future__ import annotations

from typing import Any

import msgspec

from . import vocabulary as words
from .account_records import Record, moments, without_change_key
from .messages import Origin, text
from .randomness import pick
from .spec import DAY, WorkspaceSpec

_TRIGGERS = ("segment", "event", "date", "segment", "object", "form", "relationship", "webhook")
_SUMMARY_NAME = {"twilio": "sms"}  # action summaries say sms where deliveries say twilio (spec)


def campaign_id(index: int) -> int:
    """Id of the campaign at this index."""
    return index + 1


def channel_of(index: int) -> str:
    """The channel that this index sends by."""
    return words.CHANNELS[index % len(words.CHANNELS)]


def action_count(index: int) -> int:
    """Every fifth campaign has more actions than the ten of one page."""
    return 14 if index % 5 == 2 else 1 + index % 4


def action_id(parent: int, number: int) -> int:
    """Id of an action or content, unique over all parents."""
    return parent * 100 + number


def _named(names: tuple[str, ...], index: int) -> str:
    number = index // len(names)
    return names[index % len(names)] + (f" {number + 1}" if number else "")


def _tags(bits: int) -> list[str]:
    return [words.TAGS[position] for position in range(len(words.TAGS)) if bits >> position & 3 == 3]


def _summary(parent: int, index: int, count: int) -> list[Record]:
    return [
        {"id": action_id(parent, number), "type": _SUMMARY_NAME.get(kind := channel_of(index + number), kind)}
        for number in range(count)
    ]


def _string_id(spec: WorkspaceSpec, record: Record, index: int) -> Record:
    """Some hostile records carry their id as a string (live: ids are strings in some lists, integers in others)."""
    if spec.hostile and index % 13 == 6:
        record["id"] = str(record["id"])
    return record


def campaign(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One campaign; its trigger kind follows from the index."""
    created, updated, bits = moments(spec, 61, index, at)
    number = campaign_id(index)
    kind = _TRIGGERS[index % len(_TRIGGERS)]
    record: Record = {
        "id": number,
        "deduplicate_id": f"{number}:{updated}",
        "name": _named(words.CAMPAIGN_NAMES, index),
        "type": kind,
        "created": created,
        "updated": updated,
        "active": index % 6 != 5,
        "state": ("running", "running", "running", "draft", "running", "stopped")[index % 6],
        "actions": _summary(number, index, action_count(index)),
        "first_started": created + 3_600,
        "tags": _tags(bits),
    } | _trigger_fields(spec, kind, index, bits)
    if spec.hostile:
        record |= {"created_by": "ops@example.com"} if index % 3 == 0 else {}
        if index % 9 == 3:
            record |= {"tags": None, "scheduled_start": created, "scheduled_start_should_backfill": False}
        if index % 10 == 8:
            record["name"] = pick(words.HOSTILE_TEXTS, bits >> 30)
    return without_change_key(spec, _string_id(spec, record, index), "updated", index)


def _trigger_fields(spec: WorkspaceSpec, kind: str, index: int, bits: int) -> Record:
    """The trigger kind decides which fields exist (spec)."""
    filters: Record = {} if kind == "webhook" else {"filter_segment_ids": [1 + bits % 5]}
    if kind == "segment":
        templates = [{"type": "email", "id": 1000 + index}]
        return filters | {"trigger_segment_ids": [1 + (bits >> 4) % 8], "msg_templates": templates}
    if kind == "event":
        return filters | {"event_name": pick(("order_placed", "basket_updated", "signed_up"), bits >> 8)}
    if kind == "date":
        clock = {"timezone": "Europe/Lisbon", "use_customer_timezone": True, "start_hour": 9, "start_minutes": 30}
        return filters | {"date_attribute": "birthday", "frequency": "yearly"} | clock
    if kind == "webhook":
        return {"webhook_id": 40 + index}
    if kind in {"object", "relationship"}:
        trigger = f"{kind}_attribute_triggers"
        people: Any = {"and": [{"attribute": {"field": "plan", "operator": "eq", "value": "team"}}]}
        relations: Any = {}
        changes: Any = {"tier": {"from": "silver", "to": "gold"}}
        if spec.hostile and index % 16 < 8:  # objects by schema, JSON strings in the official examples
            people, relations, changes = (text_of(part) for part in (people, relations, changes))
        audience = {"type": index % 2, "person_filters": people, "relationship_filters": relations}
        texts = {"filter_object_attributes": "", "filter_relationship_attributes": ""}
        return filters | {"object_type_id": 1 + index % 3, "audience": audience, trigger: changes} | texts
    return filters


def text_of(value: object) -> str:
    """The value as JSON text."""
    return msgspec.json.encode(value).decode()


def campaign_action(spec: WorkspaceSpec, parent: int, parent_index: int, number: int) -> Record:
    """One action of a campaign; hostile ones carry ids as strings (live) and types outside the enum."""
    created, updated, bits = moments(spec, 62, parent_index * 100 + number, None)
    kind = channel_of(parent_index + number)
    identifier = action_id(parent, number)
    record: Record = {
        "id": identifier,
        "campaign_id": parent,
        "deduplicate_id": f"{identifier}:{updated}",
        "name": f"Step {number + 1}",
        "layout": "",
        "created": created,
        "updated": updated,
        "type": kind,
        "sending_state": pick(("automatic", "automatic", "draft", "off"), bits >> 6),
        "body": f"<p>{spec.name}</p>",
        "headers": '[{"name":"X-Mailer","value":"1"}]',
        "language": "",
        "preheader_text": "",
    }
    if kind == "email":
        sender = {"from": "Ana <ana@example.com>", "from_id": 10, "reply_to": "", "reply_to_id": None}
        record |= sender | {"subject": pick(words.SUBJECTS, bits >> 12), "recipient": "{{customer.email}}", "bcc": ""}
    if spec.hostile and number % 7 == 3:
        record |= {"id": str(identifier), "type": "split_randomized"}
    return record


def campaign_actions(spec: WorkspaceSpec, key: str, index: int) -> list[Record]:
    """All actions of a campaign."""
    return [campaign_action(spec, int(key), index, number) for number in range(action_count(index))]


def broadcast(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One API-triggered broadcast; hostile ones are as odd as the official example."""
    created, updated, bits = moments(spec, 63, index, at)
    number = 500 + index
    record: Record = {
        "id": number,
        "deduplicate_id": f"{number}:{updated}",
        "name": _named(words.BROADCAST_NAMES, index),
        "type": "triggered_broadcast",
        "created": created,
        "updated": updated,
        "active": True,
        "state": "draft" if index % 5 == 4 else "running",
        "actions": _summary(number, index, 1 + index % 2),
        "msg_template_ids": [],
        "first_started": created + 7_200,
        "tags": _tags(bits),
    }
    if spec.hostile and index % 4 == 1:
        record |= {"tags": "nil", "actions": [{"type": "email"}, {"id": number}], "created_by": "ops@example.com"}
    return without_change_key(spec, record, "updated", index)


def broadcast_actions(spec: WorkspaceSpec, key: str, index: int) -> list[Record]:
    """All actions of a broadcast, one for each language (live)."""
    records = [campaign_action(spec, int(key), index, number) for number in range(1 + index % 2)]
    for number, record in enumerate(records):
        del record["campaign_id"]
        record |= {"broadcast_id": int(key), "language": "" if number == 0 else "de"}
        if len(records) > 1:
            record["multi_language_branch_action_id"] = action_id(int(key), 99)
    return records


def newsletter(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One newsletter; every fifteenth is not sent yet (`sent_at` null, spec)."""
    created, updated, bits = moments(spec, 64, index, at)
    number = 2_000 + index
    record: Record = {
        "id": number,
        "deduplicate_id": f"{number}:{updated}",
        "content_ids": [action_id(number, 0)] + ([action_id(number, 1)] if index % 6 == 0 else []),
        "name": _named(words.NEWSLETTER_NAMES, index),
        "sent_at": None if index % 15 == 14 else min(spec.now, created + DAY),
        "created": created,
        "updated": updated,
        "type": channel_of(index),
        "tags": _tags(bits),
        "recipient_segment_ids": [1 + bits % 6],
    }
    if index % 2:
        record["subscription_topic_id"] = 1 + bits % 4
    if spec.hostile and index % 17 == 9:
        record["tags"] = None
    return without_change_key(spec, _string_id(spec, record, index), "updated", index)


def transactional(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One transactional message."""
    created, updated, bits = moments(spec, 65, index, at)
    record: Record = {
        "id": index + 1,
        "name": _named(words.TRANSACTIONAL_NAMES, index),
        "description": "" if bits & 1 else "Sent by the shop's backend",
        "send_to_unsubscribed": True,
        "link_tracking": bool(bits & 2),
        "open_tracking": True,
        "hide_message_body": bool(bits & 4),
        "queue_drafts": False,
        "created_at": created,
        "updated_at": updated,
    }
    if spec.hostile and index % 3 == 1:
        record["trigger_name"] = "password_reset"
    return without_change_key(spec, record, "updated_at", index)


def origins(spec: WorkspaceSpec) -> list[Origin]:
    """Everything that sends, each with its own subject line and funnel: a few hundred rows however many deliveries."""
    made: list[Origin] = []
    for index in range(spec.campaigns):
        for number in range(min(4, action_count(index))):
            extra = {"campaign_id": campaign_id(index), "action_id": action_id(campaign_id(index), number)}
            trigger = {"trigger_event_id": f"01JEVENT{index:04d}"} if index % 8 == 1 else {}
            made.append(_origin(channel_of(index + number), len(made), extra | trigger))
    for index in range(spec.newsletters):
        number = 2_000 + index
        ids: Record = {"newsletter_id": number, "content_id": action_id(number, 0)}
        made.append(_origin(channel_of(index), len(made), ids))
    for index in range(spec.broadcasts):
        number = 500 + index
        made.append(_origin(channel_of(index), len(made), {"broadcast_id": number, "action_id": action_id(number, 0)}))
    for index in range(spec.transactional):
        made.append(_origin("email", len(made), {"transactional_message_id": index + 1}))
    return made or [_origin("email", 0, {})]


def _origin(channel: str, number: int, ids: Record) -> Origin:
    nulls: Record = dict.fromkeys(
        ("campaign_id", "action_id", "parent_action_id", "newsletter_id", "content_id", "broadcast_id"),
    )
    tail = text_of(nulls | {"trigger_event_id": None} | ids)[1:-1]
    opens = 300 + number * 37 % 450 if channel in {"email", "push"} else 0
    subject = text(words.SUBJECTS[number % len(words.SUBJECTS)] if channel == "email" else "")
    return Origin(
        channel=channel,
        head=f'","msg_template_id":{1_000 + number},',
        middle=f',"subject":{subject},"metrics":{{',
        tail=f',{tail},"type":"{channel}","forgotten":false}}',
        delivered=940 + number * 13 % 80,
        opened=opens,
        clicked=100 + number * 29 % 400,
    )
