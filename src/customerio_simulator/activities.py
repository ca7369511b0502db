"""The activity log: each entry a pure function of its index, back in time from `now` to the end of retention."""

from __future__ import annotations

import msgspec

from . import vocabulary as words
from .people import Identity, identity
from .randomness import Scramble, draw, pick
from .spec import DAY, WorkspaceSpec

_FATE = 31
_ID = 32
_JITTER = 33
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_VALUES = {pair: number for number, pair in enumerate(_PAIRS)}
_KINDS = (
    "event", "event", "page", "attribute_change", "attribute_change", "sent_email", "delivered_email", "opened_email",
    "clicked_email", "sent_push", "sent_action", "device_change", "profile_create", "add_relationship", "screen",
    "_o:1:attribute_change",
)  # fmt: skip
_EVENTS = ("order_placed", "basket_updated", "subscription_paused", "review_left", "store_visited")


def ulid(milliseconds: int, tail: int) -> str:
    """26 Crockford characters: 48 bits of time and 80 of tail, as the ids of the log look (spec example)."""
    number = (milliseconds << 80) | tail
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


class ActivityMaker:
    """Makes the activity of any index; `happened` never decreases with the index.

    The first entry happened exactly `activity_retention_days` before `now`, the last at exactly `now`.
    """

    def __init__(self, spec: WorkspaceSpec) -> None:
        self._spec = spec
        self._first = spec.now - spec.activity_retention_days * DAY
        self._scramble = Scramble(spec.seed, _ID)
        self._people = max(1, spec.people + spec.people // 50)

    def happened(self, index: int) -> int:
        """Unix second of the activity, for indexes below the count; pairs share a second."""
        pairs = max(1, (self._spec.activities + 1) // 2)
        pair = index // 2
        if pair >= pairs - 1:
            return self._spec.now
        span = self._spec.now - self._first
        step = span // pairs
        here = self._first + pair * span // pairs
        return here + draw(self._spec.seed, _JITTER, pair) % step if pair and step > 1 else here

    def key(self, index: int) -> str:
        """The activity's id: unique, and reversible by `index_of`."""
        return "01" + ulid(0, self._scramble.hide(index))[2:]

    def index_of(self, key: str) -> int | None:
        """The only index that can have this id."""
        pairs = [_VALUES.get(key[at : at + 2]) for at in range(0, 26, 2)]
        if len(key) != 26 or not key.startswith("01") or None in pairs:
            return None
        number = 0
        for value in pairs[1:]:
            number = number << 10 | (value or 0)
        return self._scramble.find(number) if number >> 64 == 0 else None

    def record(self, index: int, at: int | None = None) -> bytes:
        """The activity as the log shows it."""
        spec = self._spec
        fate = draw(spec.seed, _FATE, index)
        who = identity(fate % self._people, hostile=spec.hostile)
        happened = self.happened(index) if at is None else at
        kind = pick(_KINDS, fate >> 20)
        return self.compose(self.key(index), kind, who, happened, fate)

    def compose(self, key: str, kind: str, who: Identity, happened: int, fate: int) -> bytes:
        """An activity of a given kind and person."""
        spec = self._spec
        record: dict[str, object] = {
            "id": key,
            "type": kind,
            "timestamp": happened,
            "customer_id": who.id,
            "customer_identifiers": {"email": who.email, "id": who.id, "cio_id": who.cio_id},
            "data": self._data(kind, fate, happened),
        }
        if kind.endswith(("_email", "_push")):
            record |= {"delivery_id": f"dgL{fate:016x}", "delivery_type": "email" if kind.endswith("l") else "ios"}
        if kind in {"event", "screen"}:
            record["name"] = pick(_EVENTS, fate >> 30)
        elif kind == "page":
            record |= {"name": "https://example.com/menu", "url": "https://example.com/menu?ref=a%20b&x=1#top"}
        if spec.hostile and (fate >> 50) % 40 == 0:
            del record["customer_identifiers"]
        return msgspec.json.encode(record)

    def _data(self, kind: str, fate: int, happened: int) -> dict[str, object]:
        hostile = self._spec.hostile
        if kind == "attribute_change":
            plans = {"from": pick(words.PLANS, fate >> 26), "to": pick(words.PLANS, fate >> 28)}
            changes: dict[str, object] = {"plan": plans}
            if hostile and fate >> 61 == 0:
                was = pick(words.HOSTILE_TEXTS, fate >> 36)
                changes[pick(words.HOSTILE_KEYS, fate >> 30)] = {"from": was, "to": ""}
            return changes
        if kind.endswith(("_email", "_push", "_action")):
            return {"delivery_id": f"dgL{fate:016x}", "delivered": happened, "opened": bool(fate >> 35 & 1)}
        if not hostile:
            return {}
        body: dict[str, object] = {"sku": f"BEAN-{fate >> 40 & 255}", "quantity": (fate >> 33) % 9 + 1, "gift": False}
        if kind in {"event", "page"} and fate >> 62 == 0:
            body["exact"] = msgspec.Raw(pick(words.HOSTILE_NUMBERS, fate >> 30).encode())
            body[pick(words.HOSTILE_KEYS, fate >> 36)] = pick(words.HOSTILE_TEXTS, fate >> 44)
            body["nested"] = [{"": None}, [[]], msgspec.Raw(pick(words.HOSTILE_NUMBERS, fate >> 24).encode())]
        if self._spec.lone_surrogates and fate >> 60 == 1:
            body["half"] = msgspec.Raw(b'"\\ud83d"')
        return body
