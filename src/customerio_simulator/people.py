"""People of the workspace, each a pure function of its index, and the way back from an identifier to the index."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from . import vocabulary as words
from .randomness import chance, draw, pick
from .spec import DAY, WorkspaceSpec

_PURPOSE = 11
_ATTRIBUTES = 12
_FIRST, _LAST, _DOMAINS = words.ASCII_FIRST, words.ASCII_LAST, words.DOMAINS
_KNUTH = 0x9E3779B1 & 0xFFFFFFF | 1
_SPACE = 1 << 28
_KNUTH_BACK = pow(_KNUTH, -1, _SPACE)
_FIRST_ID = 100_000
_EMAIL_INDEX = re.compile(r"(\d+)@")
_ODD_ID = re.compile(r"u\+(\d+)%2F")
_EXPONENT_ID = re.compile(r"3(\d)e(\d{5})")
_EXPONENT_EVERY = 50


class Identity(NamedTuple):
    """What identifies a person; `cio_id` never changes, the others may be null or (id only) empty."""

    cio_id: str
    id: str | None
    email: str | None


def _exponent_like(index: int, *, hostile: bool) -> bool:
    return hostile and index % _EXPONENT_EVERY == 0 and index < _EXPONENT_EVERY * 1_000_000


def cio_id_of(index: int, *, hostile: bool) -> str:
    """Eight hex digits, unique below 2^28 people; some hostile ones read as floats (`30e00001`, live)."""
    if _exponent_like(index, hostile=hostile):
        number = index // _EXPONENT_EVERY + 1
        return f"3{number // 100_000 % 10}e{number % 100_000:05d}"
    return f"0{index * _KNUTH % _SPACE:07x}"


def identity(index: int, *, hostile: bool) -> Identity:
    """The identifiers of one person: cheap, since every delivery and activity carries them."""
    bits = draw(7, _PURPOSE, index)
    first, last, domain = _FIRST[bits % len(_FIRST)], _LAST[(bits >> 8) % len(_LAST)], (bits >> 16) % len(_DOMAINS)
    person_id: str | None = str(_FIRST_ID + index)
    email: str | None = f"{first}.{last}{index}@{_DOMAINS[domain]}"
    if hostile:
        shape = (bits >> 24) % 32
        if shape in {0, 1}:
            person_id = None
        elif shape == 2:
            person_id = ""
        elif shape == 3:
            person_id = f"u+{index}%2F@/ ü"
        elif shape == 4:
            email = None
        elif shape == 5:
            person_id = email = None
        elif shape == 6:
            email = f"{first}+news%{index}@example.org"
    return Identity(cio_id_of(index, hostile=hostile), person_id, email)


def candidate_index(id_type: str, value: str) -> int | None:
    """The only index whose `id`, `email` or `cio_id` can be `value`; the caller checks that it really is."""
    if id_type == "cio_id":
        if exponent := _EXPONENT_ID.fullmatch(value):
            return (int(exponent[1]) * 100_000 + int(exponent[2]) - 1) * _EXPONENT_EVERY
        if re.fullmatch(r"0[0-9a-f]{7}", value):
            return int(value, 16) * _KNUTH_BACK % _SPACE
        return None
    if id_type == "email":
        found = _EMAIL_INDEX.search(value)
        return _index(found[1]) if found else None
    if odd := _ODD_ID.match(value):
        return _index(odd[1])
    return _index(value, minus=_FIRST_ID) if value.isascii() and value.isdigit() else None


def _index(digits: str, minus: int = 0) -> int | None:
    # Longer digit runs cannot be an index, and int() refuses absurd lengths.
    return int(digits) - minus if len(digits) < 19 and int(digits) >= minus else None


def person(spec: WorkspaceSpec, index: int, at: int | None = None) -> bytes:
    """The person as the attributes answer holds it (unwrapped, live); `at` is the time of a later change."""
    who = identity(index, hostile=spec.hostile)
    bits = draw(spec.seed, _ATTRIBUTES, index)
    created = spec.start + bits % max(1, spec.now - spec.start) if at is None else at
    attributes = _attributes(spec, who, index, created)
    record: dict[str, Any] = {
        "id": who.id,
        "identifiers": {"email": who.email, "id": who.id, "cio_id": who.cio_id},
        "attributes": attributes,
        "timestamps": dict.fromkeys(attributes, created) | {"cio_id": created},
        "unsubscribed": chance(bits >> 20, 60),
        "devices": _devices(spec, index, created),
    }
    if spec.hostile and (bits >> 30) % 40 == 0:
        del record["identifiers"]  # the official example has none: attributes.cio_id is what is left
    return msgspec.json.encode(record)


def _attributes(spec: WorkspaceSpec, who: Identity, index: int, created: int) -> dict[str, str | None]:
    bits = draw(spec.seed, _ATTRIBUTES + 1, index)
    city, country = pick(words.CITIES, bits >> 8)
    topics = tuple([chance(bits >> topic, 700) for topic in range(spec.topics)])
    attributes: dict[str, str | None] = {
        "cio_id": who.cio_id,
        "id": who.id,
        "email": who.email,
        "first_name": pick(words.FIRST_NAMES, bits >> 16),
        "last_name": pick(words.LAST_NAMES, bits >> 24),
        "plan": pick(words.PLANS, bits >> 32),
        "city": city,
        "country": country,
        "source": pick(words.SOURCES, bits >> 36),
        "orders": str((bits >> 40) % 40),
        "lifetime_value": f"{(bits >> 44) % 90_000 / 100:.2f}",
        "created_at": str(created),
        "cio_subscription_preferences": _preferences(topics),
    }
    if spec.hostile and bits % 5 == 0:
        for extra in range(1 + bits % 3):
            more = draw(spec.seed, _ATTRIBUTES + 2 + extra, index)
            attributes[pick(words.HOSTILE_KEYS, more)] = pick(words.HOSTILE_TEXTS, more >> 16)
    return attributes


@lru_cache(maxsize=1_024)
def _preferences(topics: tuple[bool, ...]) -> str:
    """The JSON text that says of each topic whether the person wants it."""
    wanted = {f"topic_{number}": wants for number, wants in enumerate(topics, 1)}
    return msgspec.json.encode({"topics": wanted}).decode()


def _devices(spec: WorkspaceSpec, index: int, created: int) -> list[dict[str, Any]]:
    bits = draw(spec.seed, _ATTRIBUTES + 9, index)
    platform = pick(("ios", "android"), bits >> 8)
    return [
        {
            "id": f"device-{index:x}-{number}",
            "last_used": min(spec.now, created + (bits >> 16) % (30 * DAY)),
            "platform": platform,
            "attributes": {
                "device_os": "18.1" if platform == "ios" else "15",
                "device_model": "iPhone17,1" if platform == "ios" else "Pixel 9",
                "app_version": f"4.{(bits >> 20) % 12}.0",
                "cio_sdk_version": "4.1.2",
                "_last_status": pick(("", "sent", "sent", "bounced"), bits >> 24),
                "device_locale": "en",
                "push_enabled": pick(("true", "true", "false"), bits >> 28),
            },
        }
        for number in range((bits & 7) // 4)
    ]
