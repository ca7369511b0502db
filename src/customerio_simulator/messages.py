"""Deliveries of the workspace, each a pure function of its index, written straight as JSON text for speed."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from . import vocabulary as words
from .delivery_times import DeliveryTimes
from .people import identity
from .randomness import Scramble, draw, draws, pick
from .spec import WorkspaceSpec

_SOURCE = 21
_FATE = 22
_ID = 23
_SETTLED = 10 * 86_400  # seconds after creation by which every metric has come in
_REMEMBERED_PEOPLE = 65_536
_KEY_END = b"\x80"
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
    """What sends a delivery, with the JSON that all its deliveries share and its rates per 1024.

    A record is made of `head` (after its version), `middle` (after its recipient) and `tail` (after its failure).
    """

    channel: str
    head: str
    middle: str
    tail: str
    delivered: int
    opened: int
    clicked: int


class _Steps(NamedTuple):
    """Metrics that come one after another: their names, and JSON members that lack only the times."""

    names: tuple[str, ...]
    members: str
    fails: bool


def _steps(*names: str) -> _Steps:
    return _Steps(names, ",".join(f'"{name}":%d' for name in names), names[-1] in {"bounced", "failed"})


_FAILED = tuple(_steps("sent", name) for name in ("bounced", "failed", "dropped", "undeliverable"))
_DELIVERED = _steps("sent", "delivered")
_OPENED = _steps("sent", "delivered", "opened")
_OPENED_BY_PERSON = _steps("sent", "delivered", "opened", "human_opened")
_CLICKED = {
    (human, last): _steps(
        "sent", "delivered", "opened", *(("human_opened",) if human else ()), "clicked", "human_clicked", *last
    )
    for human in (False, True)
    for last in ((), ("converted",), ("unsubscribed",))
}


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
        self._times = DeliveryTimes(spec, count, 0.0 if drafts else spec.bursts)
        # The first people are remembered for good: a cache that forgets the least used takes longer than it saves.
        self._remembered: dict[bool, list[str]] = {
            email: [""] * min(self._people, _REMEMBERED_PEOPLE) for email in (False, True)
        }

    def created(self, index: int) -> int:
        """Unix second of creation, for indexes below the count."""
        return self._times.at(index)

    def person_index(self, index: int) -> int:
        """Whom the delivery is for; two in a row go to the same person."""
        return draw(self._spec.seed, _SOURCE, index >> 1) % self._people

    def _addressee(self, person: int, *, email: bool) -> str:
        """As `_write_addressee`, remembered."""
        made = self._write_addressee(person, email=email)
        if person < _REMEMBERED_PEOPLE:
            self._remembered[email][person] = made
        return made

    def _write_addressee(self, person: int, *, email: bool) -> str:
        """The JSON members that name the person, and who receives it; where it is no email, that is yet to come."""
        who = identity(person, hostile=self._spec.hostile)
        address, customer = text(who.email), text(who.id)
        recipient = text(who.email or "") if email else ""
        if person >= self._spec.people:  # deliveries of a deleted person keep only cio_id (live)
            address = customer = "null"
        identifiers = f'{{"email":{address},"id":{customer},"cio_id":"{who.cio_id}"}}'
        return f'"customer_id":{customer},"customer_identifiers":{identifiers},"recipient":{recipient}'

    def key(self, index: int) -> str:
        """The delivery's id: base64-like, unique, and reversible by `index_of`."""
        return base64.urlsafe_b64encode(
            self._prefix + self._scramble.hide(index).to_bytes(8, "big") + _KEY_END
        ).decode()

    def index_of(self, key: str) -> int | None:
        """The only index that can have this id."""
        try:
            raw = base64.urlsafe_b64decode(key)
        except ValueError:
            return None
        if len(raw) != 12 or not raw.startswith(self._prefix) or not raw.endswith(_KEY_END):
            return None
        return self._scramble.find(int.from_bytes(raw[3:11], "big"))

    def record(self, index: int, at: int | None = None, as_of: int | None = None) -> bytes:
        """The delivery as lists and the single read show it.

        `at` is the creation time of one that was added later; `as_of` is the moment up to which its metrics have
        come in (the workspace's first `now` unless given).
        """
        created = self._times.at(index) if at is None else at
        fate = draw(self._spec.seed, _FATE, index)
        return self._written([(self.key(index), created, fate, self.person_index(index))], as_of or self._spec.now)[0]

    def run(self, indexes: range) -> tuple[list[int], list[bytes]]:
        """Creation times and records of neighbouring indexes, rising or falling by one."""
        if not indexes:
            return [], []
        seed, count, low = self._spec.seed, len(indexes), min(indexes[0], indexes[-1])
        times = self._times.run(low, count)
        raw = self._scramble.hide_many(low, count, before=self._prefix, after=_KEY_END)
        joined = base64.urlsafe_b64encode(raw).decode()
        keys = [joined[place : place + 16] for place in range(16 * (count - 1), -1, -16)]
        pairs = draws(seed, _SOURCE, low >> 1, (low + count - 1 >> 1) - (low >> 1) + 1)
        people = [bits % self._people for bits in pairs for _ in range(2)][low & 1 : (low & 1) + count]
        parts = zip(keys, times, draws(seed, _FATE, low, count), people, strict=True)
        records = self._written(parts, self._spec.now)
        return (times, records) if indexes.step > 0 else (times[::-1], records[::-1])

    def _written(self, parts: Iterable[tuple[str, int, int, int]], now: int) -> list[bytes]:
        """The deliveries of these keys, creation times, fates and people, as they are at `now`.

        One loop without calls where that is possible: most of the time that the simulator takes is spent here.
        """
        origins, number = self._origins, len(self._origins)
        by_email, otherwise = self._remembered[True], self._remembered[False]
        drafts, hostile = self._drafts, self._spec.hostile
        records: list[bytes] = []
        for key, created, fate, person in parts:
            origin = origins[(fate >> 40) % number]
            if origin.channel == "email":
                names = (person < _REMEMBERED_PEOPLE and by_email[person]) or self._addressee(person, email=True)
            else:
                names = (person < _REMEMBERED_PEOPLE and otherwise[person]) or self._addressee(person, email=False)
                names += _recipient(origin.channel, fate)
            failure = "null"
            if drafts:
                metrics, changed = f'"drafted":{created}', created
            else:
                steps, times = _funnel(origin, fate, created)
                changed = times[-1]
                if changed <= now and created + _SETTLED <= now:
                    metrics = steps.members % times
                else:
                    metrics, changed = _so_far(steps, times, created, now)
                if steps.fails and steps.names[-1] in metrics:
                    failure = pick(_FAILURES, fate >> 7)
            body = (
                f'{{"id":"{key}","deduplicate_id":"{key}:{changed}{origin.head}{names}{origin.middle}'
                f'{metrics}}},"created":{created},"failure_message":{failure}{origin.tail}'
            )
            if hostile and fate >> 59 == 0:
                body = _hostile(body, fate, created)
            records.append(body.encode())
        return records


def _so_far(steps: _Steps, times: tuple[int, ...], created: int, now: int) -> tuple[str, int]:
    """The metrics reached by `now`, and the time of the last one."""
    reached = [(name, when) for name, when in zip(steps.names, times, strict=True) if when <= now]
    return ",".join([f'"{name}":{when}' for name, when in reached]), reached[-1][1] if reached else created


def _funnel(origin: Origin, fate: int, created: int) -> tuple[_Steps, tuple[int, ...]]:
    """Every metric that the delivery ever gains, with its time."""
    sent = created + 1 + (fate & 7)
    if fate & 1023 >= origin.delivered:
        return _FAILED[(fate >> 3) & 3], (sent, created + 30)
    delivered = created + 5 + (fate >> 4 & 511)
    if (fate >> 10) & 1023 >= origin.opened:
        return _DELIVERED, (sent, delivered)
    opened = created + 600 + (fate >> 12 & 0xFFFF)
    human = fate >> 30 & 3 != 0
    seen = (sent, delivered, opened, opened) if human else (sent, delivered, opened)
    if (fate >> 20) & 1023 >= origin.clicked:
        return (_OPENED_BY_PERSON if human else _OPENED), seen
    clicked = opened + 20 + (fate >> 33 & 1023)
    if fate >> 46 & 7 == 0:
        return _CLICKED[human, ("converted",)], (*seen, clicked, clicked, clicked + (fate >> 18 & 0x3FFFF))
    if fate >> 46 & 31 == 1:
        return _CLICKED[human, ("unsubscribed",)], (*seen, clicked, clicked, clicked + 60)
    return _CLICKED[human, ()], (*seen, clicked, clicked)


def _recipient(channel: str, fate: int) -> str:
    """Where a delivery goes that is no email."""
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
