"""Deliveries of the workspace, each a pure function of its index, written straight as JSON text for speed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from . import vocabulary as words
from .delivery_times import DeliveryTimes
from .people import Identity, identity
from .randomness import Scramble, draw, pick
from .spec import WorkspaceSpec

_SOURCE = 21
_FATE = 22
_ID = 23
_SETTLED = 10 * 86_400  # seconds after creation by which every metric has come in
_REMEMBERED_PEOPLE = 4_096
_FAILURES = (
    '"550 5.1.1 mailbox does not exist"',
    '"rate limited by the provider"',
    r'"bad \"quotes\", nul \u0000 and ☕"',
)


def text(value: str | None) -> str:
    """The value as JSON text."""
    return msgspec.json.encode(value).decode()


@dataclass(frozen=True, slots=True)
class Origin:
    """What sends a delivery, with the JSON that all its deliveries share and its rates per 1024."""

    channel: str
    subject: str
    template_id: int
    tail: str
    delivered: int
    opened: int
    clicked: int


class MessageMaker:
    """Makes the delivery of any index.

    `created` never decreases with the index, so a time window is an index range.
    """

    def __init__(self, spec: WorkspaceSpec, origins: list[Origin], *, count: int, purpose: int, drafts: bool) -> None:
        self._spec = spec
        self._origins = origins
        self._drafts = drafts
        self._scramble = Scramble(spec.seed, purpose)
        self._prefix = b"dg" + (b"D" if drafts else b"M")
        self._people = max(1, spec.people + spec.people // 50)  # the last few are people since deleted
        self.created = DeliveryTimes(spec, count, 0.0 if drafts else spec.bursts).at
        # Neighbouring deliveries share their person, small workspaces share all of them.
        self._addressee = lru_cache(maxsize=_REMEMBERED_PEOPLE)(self._write_addressee)

    def person_index(self, index: int) -> int:
        """Whom the delivery is for; two in a row go to the same person."""
        return draw(self._spec.seed, _SOURCE, index >> 1) % self._people

    def _write_addressee(self, person: int) -> tuple[str, str, str]:
        """The person as JSON texts: customer id, identifiers, and the address that deliveries go to."""
        who = identity(person, hostile=self._spec.hostile)
        address = text(who.email)
        if person >= self._spec.people:  # deliveries of a deleted person keep only cio_id (live)
            who = Identity(who.cio_id, None, None)
        customer = text(who.id)
        return customer, f'{{"email":{text(who.email)},"id":{customer},"cio_id":"{who.cio_id}"}}', address

    def key(self, index: int) -> str:
        """The delivery's id: base64-like, unique, and reversible by `index_of`."""
        return base64.urlsafe_b64encode(self._prefix + self._scramble.hide(index).to_bytes(8, "big") + b"\x80").decode()

    def index_of(self, key: str) -> int | None:
        """The only index that can have this id."""
        try:
            raw = base64.urlsafe_b64decode(key)
        except ValueError:
            return None
        if len(raw) != 12 or not raw.startswith(self._prefix) or not raw.endswith(b"\x80"):
            return None
        return self._scramble.find(int.from_bytes(raw[3:11], "big"))

    def record(self, index: int, at: int | None = None, as_of: int | None = None) -> bytes:
        """The delivery as lists and the single read show it.

        `at` is the creation time of one that was added later; `as_of` is the moment up to which its metrics have
        come in (the workspace's first `now` unless given).
        """
        spec = self._spec
        created = self.created(index) if at is None else at
        fate = draw(spec.seed, _FATE, index)
        origin = self._origins[(fate >> 40) % len(self._origins)]
        customer, identifiers, email = self._addressee(self.person_index(index))
        recipient = _recipient(origin.channel, email, fate)
        key = self.key(index)
        metrics, changed = _metrics(origin, fate, created, as_of or spec.now, drafts=self._drafts)
        failure = pick(_FAILURES, fate >> 7) if "failed" in metrics or "bounced" in metrics else "null"
        body = (
            f'{{"id":"{key}","deduplicate_id":"{key}:{changed}","msg_template_id":{origin.template_id},'
            f'"customer_id":{customer},"customer_identifiers":{identifiers},'
            f'"recipient":{recipient},"subject":{origin.subject},'
            f'"metrics":{{{metrics}}},"created":{created},"failure_message":{failure},{origin.tail},'
            f'"type":"{origin.channel}","forgotten":false}}'
        )
        if spec.hostile and fate >> 59 == 0:
            body = _hostile(body, fate, created)
        return body.encode()


def _metrics(origin: Origin, fate: int, created: int, now: int, *, drafts: bool) -> tuple[str, int]:
    """The metrics reached by `now` as JSON members, and the time of the last one: the funnel of the origin."""
    if drafts:
        return f'"drafted":{created}', created
    steps = [("sent", created + 1 + (fate & 7))]
    if fate & 1023 >= origin.delivered:
        steps.append((("bounced", "failed", "dropped", "undeliverable")[(fate >> 3) & 3], created + 30))
    else:
        steps.append(("delivered", created + 5 + (fate >> 4 & 511)))
        if (fate >> 10) & 1023 < origin.opened:
            opened = created + 600 + (fate >> 12 & 0xFFFF)
            steps.append(("opened", opened))
            if fate >> 30 & 3:
                steps.append(("human_opened", opened))
            if (fate >> 20) & 1023 < origin.clicked:
                clicked = opened + 20 + (fate >> 33 & 1023)
                steps += [("clicked", clicked), ("human_clicked", clicked)]
                if fate >> 46 & 7 == 0:
                    steps.append(("converted", clicked + (fate >> 18 & 0x3FFFF)))
                elif fate >> 46 & 31 == 1:
                    steps.append(("unsubscribed", clicked + 60))
    if steps[-1][1] > now or created + _SETTLED > now:
        steps = [(name, when) for name, when in steps if when <= now]
    members = ",".join([f'"{name}":{when}' for name, when in steps])
    return members, steps[-1][1] if steps else created


def _recipient(channel: str, email: str, fate: int) -> str:
    if channel == "email":
        return '""' if email == "null" else email
    if channel == "twilio":
        return f'"+1555{fate % 10_000_000:07d}"'
    if channel == "push":
        return f'"device-{fate & 0xFFFFFFFF:08x}"'
    return '"#lifecycle"' if channel == "slack" else '"https://hooks.example.com/in?x=1&y=%2F"'


def _hostile(body: str, fate: int, created: int) -> str:
    """The delivery bent in one of the ways that real ones are (live, or the slips of the official examples)."""
    way = (fate >> 50) & 15
    if way in {0, 1}:
        start = body.index('"customer_identifiers"')
        return body[:start] + body[body.index('"recipient"') :]
    if way in {2, 3}:
        start = body.index('"customer_identifiers"')
        number = fate & 0xFFFF
        numbers = f'"customer_identifiers":{{"email":null,"id":{number},"cio_id":{3_000_000 + number}}},'
        return body[:start] + numbers + body[body.index('"recipient"') :]
    if way in {4, 5}:
        extra = f'"secondary:delivered":{created + 9},"attempted":{created + 1},"replied":{created + 99}'
        filled = body.replace('"metrics":{}', f'"metrics":{{{extra}}}')
        return filled.replace('"metrics":{"s', f'"metrics":{{{extra},"s')
    if way in {6, 7}:
        start = body.index('"subject":')
        subject = text(pick(words.HOSTILE_TEXTS, fate >> 20))
        return body[:start] + f'"subject":{subject},' + body[body.index('"metrics":') :]
    if way == 8:
        return body.replace('"msg_template_id"', '"message_template_id"')
    if way == 9:
        return body.replace('"forgotten":false', '"forgotten":true')
    if way == 10:
        return body.replace('"action_id":', '"tracked_responses":{"Yes, please!":{"id":9007199254740993}},"action_id":')
    return body.replace('"type":"', f'"Subject":{text(pick(words.HOSTILE_TEXTS, fate >> 30))},"type":"')
