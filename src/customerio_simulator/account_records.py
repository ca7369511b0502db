"""Records of the short lists about the account: segments, senders, exports, snippets and the like."""

from __future__ import annotations

from typing import Any

from . import vocabulary as words
from .randomness import chance, draw, pick
from .spec import DAY, WorkspaceSpec

Record = dict[str, Any]
_WEBHOOK_NAMES = ("Warehouse feed", "Slack alerts", "Fraud watch")


def moments(spec: WorkspaceSpec, purpose: int, index: int, at: int | None) -> tuple[int, int, int]:
    """Creation and last change of a list's record (unix seconds), and the bits that they were drawn from."""
    bits = draw(spec.seed, purpose, index)
    if at is not None:
        return at, at, bits
    created = spec.start + bits % max(1, spec.now - spec.start)
    return created, min(spec.now, created + (bits >> 24) % (120 * DAY)), bits


def without_change_key(spec: WorkspaceSpec, record: Record, field: str, index: int) -> Record:
    """Hostile lists hold records whose change key is missing or null (live): they must be kept all the same."""
    if spec.hostile and index % 11 == 4:
        del record[field]
    elif spec.hostile and index % 11 == 7:
        record[field] = None
    return record


def segment(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One segment; hostile workspaces have some that are still being built."""
    created, updated, bits = moments(spec, 41, index, at)
    number = index // len(words.SEGMENT_NAMES)
    building = spec.hostile and index % 7 == 5
    record: Record = {
        "id": index + 1,
        "deduplicate_id": f"{index + 1}:{updated}",
        "name": words.SEGMENT_NAMES[index % len(words.SEGMENT_NAMES)] + (f" {number + 1}" if number else ""),
        "description": "" if bits & 1 else "Kept by the lifecycle team",
        "state": "build" if building else "finished",
        "progress": 42 if building else None,
        "type": "manual" if index % 4 == 3 else "dynamic",
        "tags": None if bits & 2 else [pick(words.TAGS, bits >> 5)],
        "created_at": created,
        "updated_at": updated,
    }
    return without_change_key(spec, record, "updated_at", index)


def export(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One export; `total` is 0 until it is done (spec)."""
    created, updated, bits = moments(spec, 42, index, at)
    status = pick(("done", "done", "done", "pending", "failed"), bits >> 8)
    kind = pick(("customers", "deliveries"), bits >> 12)
    record: Record = {
        "id": 700 + index,
        "deduplicate_id": f"{700 + index}:{updated}",
        "type": kind,
        "failed": status == "failed",
        "description": f"{kind.capitalize()} export",
        "downloads": bits >> 16 & 3,
        "created_at": created,
        "updated_at": updated,
        "status": status,
        "user_id": 0 if spec.hostile and index == 1 else 31 + bits % 5,
        "user_email": "ops@example.com",
        "total": (bits >> 20) % 100_000 if status == "done" else 0,
    }
    return without_change_key(spec, record, "updated_at", index)


def sender(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """Every fourth sender is hidden, so that only `hidden=true` lists it (live)."""
    _, updated, bits = moments(spec, 43, index, at)
    phone = index % 5 == 3
    name = f"{pick(words.FIRST_NAMES, bits)} at {spec.name}"
    email = "" if phone else f"{pick(words.ASCII_FIRST, bits)}{index}@example.com"
    record: Record = {
        "id": 10 + index,
        "deduplicate_id": f"{10 + index}:{updated}",
        "name": name,
        "email": email,
        "address": "" if phone else f"{name} <{email}>",
        "template_type": "phone" if phone else "email",
        "auto_generated": index == 0,
        "hidden": index % 4 == 3,
    }
    if phone:
        record["phone"] = f"+1555010{index:04d}"
    return record


def snippet(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """Keyed by name alone; hostile names need quoting, or differ by case."""
    _, updated, bits = moments(spec, 44, index, at)
    plain = ("footer", "legal_notice", "social_links", "store_hours", "greeting", "unsubscribe_line")
    hostile = ('say "hi"', "a/b+c %2F", "подпись", "Footer", "☕ price", "it's", "with space", "DROP TABLE")
    names = [name for pair in zip(plain, hostile, strict=False) for name in pair] if spec.hostile else list(plain)
    name = names[index] if index < len(names) else f"snippet_{index}"
    value = pick(words.HOSTILE_TEXTS, bits >> 9) if spec.hostile and index % 3 == 2 else f"<p>{spec.name}, {name}</p>"
    return without_change_key(spec, {"name": name, "value": value, "updated_at": updated}, "updated_at", index)


def collection(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """The metadata of one collection."""
    created, updated, bits = moments(spec, 45, index, at)
    number = index // len(words.COLLECTION_NAMES)
    schema = ["id", "name", "price", "city"][: 2 + bits % 3]
    record: Record = {
        "id": 1 + index,
        "name": words.COLLECTION_NAMES[index % len(words.COLLECTION_NAMES)] + (f" {number + 1}" if number else ""),
        "bytes": 200 + (bits >> 8) % 9_000_000,
        "rows": 1 + (bits >> 12) % 900,
        "schema": [*schema, "Name", 'quo"ted'] if spec.hostile and index % 3 == 1 else schema,
        "created_at": created,
        "updated_at": updated,
    }
    return without_change_key(spec, record, "updated_at", index)


def topic(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One subscription topic; `identifier` is `topic_<id>` (spec)."""
    _, _, bits = moments(spec, 46, index, at)
    number = index // len(words.TOPIC_NAMES)
    return {
        "id": index + 1,
        "identifier": f"topic_{index + 1}",
        "name": words.TOPIC_NAMES[index % len(words.TOPIC_NAMES)] + (f" {number + 1}" if number else ""),
        "description": "" if bits & 1 else "At most twice a month",
        "subscribed_by_default": chance(bits >> 4, 700),
    }


def webhook(spec: WorkspaceSpec, index: int, at: int | None = None) -> Record:
    """One reporting webhook; hostile endpoints hold a user and a password (live)."""
    _, _, bits = moments(spec, 47, index, at)
    login = "reporter:s3cret%40pass@" if spec.hostile and index % 2 == 0 else ""
    return {
        "id": index + 1,
        "name": _WEBHOOK_NAMES[index % 3] + (f" {index // 3 + 1}" if index > 2 else ""),
        "endpoint": f"https://{login}hooks.example.com/cio/{index}?team=a%26b",
        "disabled": chance(bits, 200),
        "full_resolution": bool(bits >> 11 & 1),
        "with_content": bool(bits >> 12 & 1),
        "events": ["email_sent", "email_delivered", "email_opened", "customer_unsubscribed"][: 1 + (bits >> 13) % 4],
    }


def object_type(index: int) -> Record:
    """Ids are integers in strings, from 1 (live)."""
    plural, singular, icon = words.OBJECT_TYPES[index % len(words.OBJECT_TYPES)]
    number = index // len(words.OBJECT_TYPES)
    suffix = f" {number + 1}" if number else ""
    return {
        "id": str(index + 1),
        "name": plural + suffix,
        "singular_name": singular + suffix,
        "slug": (plural + suffix).lower().replace(" ", "-"),
        "singular_slug": (singular + suffix).lower().replace(" ", "-"),
        "enabled": index != 2,
        "icon": icon,
    }


def workspace(spec: WorkspaceSpec, index: int, people: int, object_types: int) -> Record:
    """The workspaces of the account; the first is the one served, and its counts are true."""
    bits = draw(spec.seed, 49, index)
    served = index == 0
    return {
        "id": spec.workspace_id + index,
        "name": spec.name if served else f"{spec.name} {('staging', 'wholesale', 'events')[(index - 1) % 3]} {index}",
        "messages_sent": spec.messages if served else bits % 90_000,
        "billable_messages_sent": spec.messages // 2 if served else bits % 40_000,
        "people": people if served else (bits >> 8) % 50_000,
        "object_types": object_types if served else bits >> 20 & 3,
        "objects": (bits >> 24) % 2_000,
    }


def ip_address(index: int) -> str:
    """One sending address, the same in every workspace."""
    return f"203.0.{113 + index // 250 % 140}.{index % 250 + 2}"


def suppression(spec: WorkspaceSpec, kind: str, index: int, at: int | None = None) -> Record:
    """Suppressed addresses; every tenth repeats, the second time under another sending domain (live)."""
    created, _, bits = moments(spec, 51 + len(kind), index, at)
    repeats = index % 10 == 1
    number = index - 1 if repeats else index
    plus = f"+list%{number}" if spec.hostile and number % 6 == 2 else ""
    email = f"{pick(words.ASCII_LAST, draw(spec.seed, 52, number))}{number}{plus}@example.net"
    record: Record = {
        "created": created,
        "email": email,
        "reason": "550 5.1.1 The email account does not exist" if bits & 3 else "",
        "status": "" if kind == "spam_reports" else "550",
    }
    if spec.suppression_domain_field:
        record["domain"] = suppression_domain(index)
    return record


def suppression_domain(index: int) -> str:
    """The sending domain that the suppression of this index belongs to."""
    second = index % 10 == 1 or (index % 3 == 0 and index % 10 != 0)
    return "news.example.org" if second else "mg.example.com"
