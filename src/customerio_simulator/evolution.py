"""Change over time: edits, inserts and deletes in every list, told exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import msgspec

from .activities import ActivityMaker
from .inventory import CHILDREN, TABLES, Table, suppression_key
from .ledger import Ledger, Range
from .randomness import draw
from .spec import DAY, SUPPRESSION_TYPES
from .workspace import TableChanges, Workspace

Fields = dict[str, msgspec.Raw]
Changes = dict[str, TableChanges]
SIX_MONTHS = 180 * DAY
BACKDATED_WITHIN = 20 * DAY
_LATER_METRICS = ("delivered", "opened", "human_opened", "clicked", "converted", "replied", "unsubscribed")
_EMPTY_TEXT = msgspec.Raw(b'""')
_EMPTY_OBJECT = msgspec.Raw(b"{}")
_SPECIAL = {"customers", "messages", "activities", "workspaces", "eps_suppression"}


def evolve(
    workspace: Workspace,
    seed: int,
    *,
    edits: int = 3,
    seconds: int = DAY,
    metrics_within: int = SIX_MONTHS,
    forget_deliveries: bool = False,
    backdated_within: int = BACKDATED_WITHIN,
    unlogged: int = 0,
) -> Changes:
    """Lets `seconds` pass and, in every list, edits, inserts and deletes up to `edits` records each.

    Edits move the change key, where the table has one, to the new `now`. New deliveries are created between the old
    and the new `now`, both included; ones created in the `metrics_within` seconds before gain a
    metric (opens and clicks are recorded for six months, live). Every second new activity happened up to
    `backdated_within` seconds before it arrived (0: none is back-dated). People are edited, added, deleted and merged,
    each with its activity, which names the person; up to `unlogged` more are edited without one, as changes that the
    log has missed. What comes back names every key inserted, updated, deleted or expired, table by table (tables
    without any change are left out): exactly the difference of the truths.

    `forget_deliveries` also takes the identifiers of deleted people off their deliveries, which reads every delivery
    of the last `metrics_within` seconds: not for millions of them.
    """
    if seconds < 1:
        message = "evolve: at least one second must pass, or an edit could look like the one before"
        raise ValueError(message)
    with workspace.lock:
        evolution = _Evolution(workspace, seed, edits, seconds, metrics_within)
        changes = evolution.run(backdated_within, unlogged)
        return evolution.forget_deliveries(changes) if forget_deliveries else changes


class _Evolution:
    """One evolution in progress: its dice, its clock and the changes told so far."""

    def __init__(self, workspace: Workspace, seed: int, edits: int, seconds: int, metrics_within: int) -> None:
        self._workspace = workspace
        dice = f"{workspace.spec.seed}/{seed}/{workspace.now}"
        self._random = random.Random(dice)  # noqa: S311  (nothing secret)
        self._edits = edits
        self._before = workspace.now
        self._after = workspace.now + seconds
        self._metrics_from = workspace.now - metrics_within
        self._changes: Changes = {table.name: TableChanges() for table in TABLES}

    def run(self, backdated_within: int, unlogged: int) -> Changes:
        with self._workspace_counts_told(), self._children_told():
            for name, change in self._workspace.advance(self._after - self._before).items():
                self._changes[name].expired += change.expired
            for table in TABLES:
                if table.name not in _SPECIAL:
                    self._change_list(table)
            self._change_suppressions()
            self._change_messages()
            self._change_activities(backdated_within)
            self._change_people()
            self._change_people_silently(unlogged)
        return {name: change for name, change in self._changes.items() if not change.empty}

    @contextmanager
    def _workspace_counts_told(self) -> Iterator[None]:
        """The served workspace's record counts people and object types, so it changes with them."""
        before = dict(self._workspace.truth_items("workspaces"))
        yield
        after = dict(self._workspace.truth_items("workspaces"))
        self._changes["workspaces"].updated += [key for key in after if before[key] != after[key]]

    @contextmanager
    def _children_told(self) -> Iterator[None]:
        """Children come and go with their parents."""
        before = {name: dict(self._workspace.truth_items(name)) for name in CHILDREN}
        yield
        for name, then in before.items():
            now = dict(self._workspace.truth_items(name))
            told = self._changes.setdefault(name, TableChanges())
            told.inserted += [key for key in now if key not in then]
            told.deleted += [key for key in then if key not in now]
            told.updated += [key for key in now if key in then and now[key] != then[key]]

    def _chosen(self, ledger: Ledger) -> list[int]:
        """Up to `edits` present records, by chance; a list is never emptied."""
        wanted = min(self._edits, max(0, len(ledger) - self._edits - 1))
        return self._present(ledger, range(ledger.next_seq), wanted)

    def _chosen_recent(self, ledger: Ledger) -> list[int]:
        """Up to `edits` deliveries young enough to gain a metric, by chance."""
        places = list(islice(ledger.positions(Range(low=self._metrics_from)), self._edits))
        first = min((seq for _, seq in places), default=0)
        return self._present(ledger, range(first, ledger.next_seq), len(places))

    def _present(self, ledger: Ledger, among: range, wanted: int) -> list[int]:
        chosen: dict[int, None] = {}
        while len(chosen) < wanted:
            seq = self._random.choice(among)
            if ledger.present(seq):
                chosen[seq] = None
        return list(chosen)

    def _change_list(self, table: Table) -> None:
        stock, told = self._workspace.stock(table.name), self._changes[table.name]
        ledger = stock.ledger
        for seq in self._chosen(ledger) if table.touched_field else []:
            key = ledger.key_of(seq)
            ledger.replace(seq, self._edited(table, key, ledger.record(seq)))
            told.updated.append(key)
        for seq in self._chosen(ledger):
            key = ledger.key_of(seq)
            if key not in told.updated:
                ledger.delete(seq)
                told.deleted.append(key)
        for _ in range(self._edits):
            record = stock.make(ledger.next_seq, self._after)
            fields = msgspec.json.decode(record)
            key = str(fields[table.key_field]) if table.key_field else str(fields)
            ledger.insert(key, record)
            told.inserted.append(key)

    def _edited(self, table: Table, key: str, record: bytes) -> bytes:
        """The record with one field altered and its change key and version moved to the new `now`."""
        fields = msgspec.json.decode(record, type=Fields)
        field = str(table.touched_field)
        value = msgspec.json.decode(fields.get(field, _EMPTY_TEXT))
        fields[field] = _raw(value + 1 if isinstance(value, int) else f"{value} (edited {self._after})")
        if table.change_field:
            fields[table.change_field] = _raw(self._after)
        if "deduplicate_id" in fields:
            fields["deduplicate_id"] = _raw(f"{key}:{self._after}")
        return msgspec.json.encode(fields)

    def _change_suppressions(self) -> None:
        told = self._changes["eps_suppression"]
        for kind in SUPPRESSION_TYPES:
            stock = self._workspace.stock(f"eps_suppression/{kind}")
            for seq in self._chosen(stock.ledger)[:1]:
                told.deleted.append(stock.ledger.key_of(seq))
                stock.ledger.delete(seq)
            for _ in range(min(1, self._edits)):
                record = stock.make(stock.ledger.next_seq, self._after)
                key = suppression_key(kind, msgspec.json.decode(record))
                stock.ledger.insert(key, record)
                told.inserted.append(key)

    def _change_messages(self) -> None:
        stock, told = self._workspace.stock("messages"), self._changes["messages"]
        ledger = stock.ledger
        for seq in self._chosen_recent(ledger):
            key = ledger.key_of(seq)
            ledger.replace(seq, self._with_metric(key, ledger.record(seq)))
            told.updated.append(key)
        for number in range(self._edits):
            created = self._before + (self._after - self._before) * number // max(1, self._edits - 1)
            record = stock.make(ledger.next_seq, created)
            key = str(msgspec.json.decode(record)["id"])
            ledger.insert(key, record, created)
            told.inserted.append(key)

    def forget_deliveries(self, changes: Changes) -> Changes:
        """Deliveries of the people just deleted keep only their cio_id (live), as far back as metrics come in."""
        gone = set(changes["customers"].deleted) if "customers" in changes else set()
        ledger = self._workspace.ledger("messages")
        told = changes.setdefault("messages", TableChanges())
        known = set(told.inserted) | set(told.updated)
        for _, seq in ledger.positions(Range(low=self._metrics_from)):
            record = ledger.record(seq)
            forgotten = _without_person(record, gone)
            if forgotten != record:
                ledger.replace(seq, forgotten)
                key = ledger.key_of(seq)
                told.updated += [] if key in known else [key]
        return changes

    def _with_metric(self, key: str, record: bytes) -> bytes:
        """The delivery with the next metric it lacks, reached now; when it has them all, the last one moves."""
        fields = msgspec.json.decode(record, type=Fields)
        metrics: dict[str, Any] = msgspec.json.decode(fields.get("metrics", _EMPTY_OBJECT)) or {}
        name = next((name for name in _LATER_METRICS if name not in metrics), _LATER_METRICS[-1])
        fields["metrics"] = _raw(metrics | {name: self._after})
        fields["deduplicate_id"] = _raw(f"{key}:{self._after}")
        return msgspec.json.encode(fields)

    def _change_activities(self, backdated_within: int) -> None:
        """New entries since the old `now`, every second one back-dated (live: they appear lower in the list)."""
        stock = self._workspace.stock("activities")
        latest = self._after - self._before - 1
        for number in range(self._edits):
            back = self._random.randrange(1, max(2, backdated_within)) if number % 2 and backdated_within > 0 else 0
            happened = max(self._workspace.activity_bound, self._after - min(number, latest) - back)
            record = stock.make(stock.ledger.next_seq, happened)
            key = str(msgspec.json.decode(msgspec.json.decode(record, type=Fields)["id"]))
            stock.ledger.insert(key, record, happened)
            self._changes["activities"].inserted.append(key)

    def _change_people(self) -> None:
        stock, told = self._workspace.stock("customers"), self._changes["customers"]
        ledger = stock.ledger
        for seq in self._chosen(ledger):
            key = ledger.key_of(seq)
            self._workspace.store("customers", key, self._person_edited(ledger.record(seq), "source"), 0)
            told.updated.append(key)
            self._tell(seq, "attribute_change", {"source": {"from": "organic", "to": f"edit {self._after}"}})
        for number, seq in enumerate(seq for seq in self._chosen(ledger) if ledger.key_of(seq) not in told.updated):
            self._remove_person(seq, merged=number % 2 == 1)
        for _ in range(self._edits):
            record = stock.make(ledger.next_seq, self._after)
            key = str(msgspec.json.decode(record)["attributes"]["cio_id"])
            self._workspace.store("customers", key, record, 0)
            told.inserted.append(key)
            self._tell(ledger.next_seq - 1, "profile_create", {})

    def _change_people_silently(self, wanted: int) -> None:
        """Edits of people who are otherwise left alone, with no activity to tell of them."""
        ledger, told = self._workspace.ledger("customers"), self._changes["customers"]
        touched = {*told.inserted, *told.updated}
        chosen: dict[int, None] = {}
        while len(chosen) < min(wanted, len(ledger) - len(touched)):
            seq = self._random.randrange(ledger.next_seq)
            if ledger.present(seq) and ledger.key_of(seq) not in touched:
                chosen[seq] = None
        for seq in chosen:
            key = ledger.key_of(seq)
            self._workspace.store("customers", key, self._person_edited(ledger.record(seq), "source"), 0)
            told.updated.append(key)

    def _person_edited(self, record: bytes, attribute: str) -> bytes:
        fields = msgspec.json.decode(record, type=Fields)
        attributes: dict[str, Any] = msgspec.json.decode(fields.get("attributes", _EMPTY_OBJECT))
        timestamps: dict[str, Any] = msgspec.json.decode(fields.get("timestamps", _EMPTY_OBJECT))
        fields["attributes"] = _raw(attributes | {attribute: f"edit {self._after}"})
        fields["timestamps"] = _raw(timestamps | {attribute: self._after})
        return msgspec.json.encode(fields)

    def _remove_person(self, seq: int, *, merged: bool) -> None:
        """Deletes the person, or merges them into somebody who stays and is edited by it."""
        told = self._changes["customers"]
        ledger = self._workspace.ledger("customers")
        key, who = ledger.key_of(seq), self._workspace.identity(seq)
        stays = next((other for other in told.updated if merged), None)
        if stays is None:
            self._tell(seq, "profile_delete", {})
        else:
            primary = ledger.seq_of(stays)
            if primary is not None:
                self._workspace.store("customers", stays, self._person_edited(ledger.record(primary), "merged_from"), 0)
                self._tell(primary, "profile_merge", {"secondary": {"cio_id": who.cio_id, "id": who.id}})
        ledger.delete(seq)
        told.deleted.append(key)

    def _tell(self, seq: int, kind: str, data: dict[str, Any]) -> None:
        """Writes the activity that belongs to a change of a person; it names the person even in a hostile workspace."""
        ledger = self._workspace.ledger("activities")
        maker = ActivityMaker(self._workspace.spec)
        key = maker.key(ledger.next_seq)
        fate = draw(self._workspace.spec.seed, 81, ledger.next_seq)
        who = self._workspace.identity(seq)
        fields = msgspec.json.decode(maker.compose(key, kind, who, self._after, fate), type=Fields)
        named = {"email": who.email, "id": who.id, "cio_id": who.cio_id}
        fields |= {"customer_identifiers": _raw(named), "data": _raw(data)}
        ledger.insert(key, msgspec.json.encode(fields), self._after)
        self._changes["activities"].inserted.append(key)


def _without_person(record: bytes, gone: set[str]) -> bytes:
    """The delivery with nothing but the cio_id of its person, if that is one of those gone."""
    fields = msgspec.json.decode(record, type=Fields)
    held = msgspec.json.decode(fields.get("customer_identifiers", _EMPTY_OBJECT))
    cio_id = held.get("cio_id") if isinstance(held, dict) else None
    if cio_id not in gone:
        return record
    identifiers = {"email": None, "id": None, "cio_id": cio_id}
    return msgspec.json.encode(fields | {"customer_id": _raw(None), "customer_identifiers": _raw(identifiers)})


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
