"""A simulated workspace: its lists as they are now, the truth about them, and edits to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, NamedTuple

import msgspec

from . import people
from .inventory import CHILDREN, TABLE_BY_NAME, TABLES, Stock, stock_workspace, suppression_key
from .ledger import Ledger, Position, Range
from .schemas import UnknownTableError
from .spec import DAY, SUPPRESSION_TYPES, WorkspaceSpec

_CHUNK = 1_000
_SUPPRESSIONS = "eps_suppression"


class UnknownRecordError(LookupError):
    """The table holds no record under that key."""


class Truth(NamedTuple):
    """A table in numbers: records, and a digest of their exact bytes that does not depend on their order."""

    table: str
    records: int
    digest: str


@dataclass(slots=True)
class TableChanges:
    """Keys of the records that came, changed and went; `expired` ones fell off the activity log's far end."""

    inserted: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    expired: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.inserted or self.updated or self.deleted or self.expired)


class Workspace:
    """The lists of one workspace; safe to read and edit from several threads (each call is one locked step)."""

    def __init__(self, spec: WorkspaceSpec) -> None:
        self.spec = spec
        self.now = spec.now
        self.lock = RLock()
        self._stocks = stock_workspace(spec)
        self._emails: dict[str, int] = {}
        self._ids: dict[str, int] = {}

    @property
    def table_names(self) -> tuple[str, ...]:
        """The replicated tables."""
        return tuple(table.name for table in TABLES)

    def ledger(self, name: str) -> Ledger:
        """The list under this name; suppressions are `eps_suppression/<type>`, drafts `message_drafts`."""
        return self.stock(name).ledger

    def stock(self, name: str) -> Stock:
        """The list under this name with its way of making new records."""
        try:
            return self._stocks[name]
        except KeyError:
            raise UnknownTableError(name) from None

    @property
    def activity_bound(self) -> int:
        """Unix second of the oldest activity still in the log."""
        return self.now - self.spec.activity_retention_days * DAY

    @property
    def state(self) -> tuple[int, int]:
        """Different after every edit and every passing of time."""
        return self.now, sum(stock.ledger.version for stock in self._stocks.values())

    # ---- truth -------------------------------------------------------------------------------------------------

    def truth(self, table: str) -> Iterator[bytes]:
        """Exact JSON of every record that a full and correct copy of the table holds now.

        `customers` are the attributes records (unwrapped) led by `cio_id`; `eps_suppression` carries
        `suppression_type`; `sender_identities` has visible and hidden ones; `activities` is the log as far as it
        still reaches, deleted people's included; `messages` are all deliveries since `start` except drafts, which are
        the table `message_drafts`; children such as `campaign_actions` are those of all parents.
        """
        return (record for _, record in self.truth_items(table))

    def truth_items(self, table: str) -> Iterator[tuple[str, bytes]]:
        """As `truth`, each record with its key."""
        if table in CHILDREN:
            return self._children(table)
        if table not in TABLE_BY_NAME:
            raise UnknownTableError(table)
        if table == _SUPPRESSIONS:
            return (item for kind in SUPPRESSION_TYPES for item in self._items(f"{table}/{kind}", kind))
        return self._items(table, None)

    def _items(self, name: str, kind: str | None) -> Iterator[tuple[str, bytes]]:
        ledger = self.ledger(name)
        after: Position | None = None
        while True:
            with self.lock:
                low = self.activity_bound if name == "activities" else Range().low
                chunk = [
                    (position, ledger.key_of(position[1]), ledger.record(position[1]))
                    for position, _ in zip(ledger.positions(Range(low=low, after=after)), range(_CHUNK), strict=False)
                ]
            for _, key, record in chunk:
                yield key, _as_truth(name, key, record, kind)
            if len(chunk) < _CHUNK:
                return
            after = chunk[-1][0]

    def _children(self, table: str) -> Iterator[tuple[str, bytes]]:
        parent, made = CHILDREN[table]
        ledger = self.ledger(parent)
        with self.lock:
            parents = [(ledger.key_of(seq), seq) for _, seq in ledger.positions(Range())]
        for key, seq in parents:
            for record in made(self.spec, key, seq):
                yield f"{key}|{record['id']}", msgspec.json.encode(record)

    def summary(self, table: str) -> Truth:
        """Count and digest of the table's truth: the sum of the records' SHA-256 values, modulo 2^256."""
        count, total = 0, 0
        for record in self.truth(table):
            count += 1
            total += int.from_bytes(hashlib.sha256(record).digest(), "big")
        return Truth(table, count, f"{total % (1 << 256):064x}")

    # ---- edits -------------------------------------------------------------------------------------------------

    def put(self, table: str, record: dict[str, Any] | bytes, *, suppression_type: str = "bounces") -> str:
        """Stores the record under its own key, in place of one that is there already; gives the key back.

        Bytes are kept exactly as they are. `suppression_type` says which of the four lists a suppression joins.
        """
        raw = record if isinstance(record, bytes) else msgspec.json.encode(record)
        row = TABLE_BY_NAME.get(table)
        if row is None:
            raise UnknownTableError(table)
        name = f"{table}/{suppression_type}" if table == _SUPPRESSIONS else table
        fields = json.loads(raw)  # numbers beyond a double are legal here, and msgspec refuses them
        key = _key(table, row.key_field, fields, suppression_type)
        time = int(fields[row.time_field]) if row.time_field else 0
        with self.lock:
            self.store(name, key, raw, time)
        return key

    def store(self, name: str, key: str, raw: bytes, time: int) -> None:
        """Replaces the record of that key, or inserts it at that time."""
        ledger = self.ledger(name)
        seq = ledger.seq_of(key)
        if seq is None:
            seq = ledger.insert(key, raw, time)
        else:
            ledger.replace(seq, raw)
        if name == "customers":
            self._remember_person(seq, raw)

    def delete(self, table: str, key: str) -> None:
        """Removes one record; raises `UnknownRecordError` when there is none under that key."""
        name = f"{table}/{key.split('|', 1)[0]}" if table == _SUPPRESSIONS else table
        with self.lock:
            ledger = self.ledger(name)
            seq = ledger.seq_of(key)
            if seq is None:
                raise UnknownRecordError(key)
            ledger.delete(seq)

    def advance(self, seconds: int) -> dict[str, TableChanges]:
        """Moves `now` forward; the activities that fall off the log are the only change, and are told."""
        with self.lock:
            before = self.activity_bound
            self.now += seconds
            span = Range(low=before, high=self.activity_bound - 1)
            ledger = self.ledger("activities")
            expired = [ledger.key_of(seq) for _, seq in ledger.positions(span)] if seconds > 0 else []
        return {"activities": TableChanges(expired=expired)} if expired else {}

    # ---- people ------------------------------------------------------------------------------------------------

    def person_seq(self, id_type: str, value: str) -> int | None:
        """The person known by this `id`, `email` or `cio_id` (without prefix), or None."""
        ledger = self.ledger("customers")
        if id_type == "cio_id":
            return ledger.seq_of(value)
        known = self._emails if id_type == "email" else self._ids
        seq = known.get(value)
        if seq is None:
            seq = people.candidate_index(id_type, value)
        if seq is None or seq < 0 or ledger.seq_of(ledger.key_of(seq)) != seq:
            return None
        who = self.identity(seq)
        return seq if value == (who.email if id_type == "email" else who.id) else None

    def identity(self, seq: int) -> people.Identity:
        """The person's identifiers as they are now."""
        ledger = self.ledger("customers")
        raw = ledger.edited(seq)
        if raw is None:
            return people.identity(seq, hostile=self.spec.hostile)
        return _identity_of(ledger.key_of(seq), raw)

    def is_person(self, cio_id: str) -> bool:
        """Whether somebody has this cio_id now."""
        return self.ledger("customers").seq_of(cio_id) is not None

    def _remember_person(self, seq: int, raw: bytes) -> None:
        who = _identity_of(self.ledger("customers").key_of(seq), raw)
        if who.email:
            self._emails[who.email] = seq
        if who.id:
            self._ids[who.id] = seq


def _identity_of(cio_id: str, raw: bytes) -> people.Identity:
    fields = json.loads(raw)
    held = fields.get("identifiers") or fields.get("attributes") or {}
    return people.Identity(cio_id, held.get("id"), held.get("email"))


def _as_truth(name: str, key: str, record: bytes, kind: str | None) -> bytes:
    if kind is not None:
        return record[:-1] + b',"suppression_type":"%s"}' % kind.encode()
    if name == "customers":
        return b'{"cio_id":%s,%s' % (msgspec.json.encode(key), record[1:])
    return record


def _key(table: str, key_field: str, fields: Any, suppression_type: str) -> str:  # noqa: ANN401  (any JSON)
    if not key_field:
        return str(fields)
    if table == _SUPPRESSIONS:
        return suppression_key(suppression_type, fields)
    if table == "customers":
        return str(fields.get("cio_id") or (fields.get("identifiers") or fields["attributes"])["cio_id"])
    return str(fields[key_field])
