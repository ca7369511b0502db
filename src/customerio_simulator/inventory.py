"""The replicated tables of a workspace: what keys them, what changes in them, and where their records come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from . import account_records as account
from . import people
from . import sending_records as sending
from .activities import ActivityMaker
from .ledger import Ledger, Source
from .messages import MessageMaker
from .spec import SUPPRESSION_TYPES, WorkspaceSpec

Make = Callable[[int, int], bytes]
"""Makes the record of a fresh index, born at the given moment."""


@dataclass(frozen=True, slots=True)
class Table:
    """One replicated table.

    `change_field` holds the time of the last change (None: the API tells no such time). `touched_field` is what an
    edit alters (None: records are never edited). `time_field` orders the list (None: the order of creation).
    """

    name: str
    key_field: str
    change_field: str | None = None
    touched_field: str | None = None
    time_field: str | None = None


TABLES: tuple[Table, ...] = (
    Table("broadcasts", "id", "updated", "name"),
    Table("transactional_messages", "id", "updated_at", "description"),
    Table("customers", "cio_id", None, "attributes"),
    Table("campaigns", "id", "updated", "name"),
    Table("newsletters", "id", "updated", "name"),
    Table("segments", "id", "updated_at", "description"),
    Table("messages", "id", None, "metrics", "created"),
    Table("exports", "id", "updated_at", "downloads"),
    Table("activities", "id", None, None, "timestamp"),
    Table("sender_identities", "id", None, "name"),
    Table("reporting_webhooks", "id", None, "name"),
    Table("snippets", "name", "updated_at", "value"),
    Table("ip_addresses", "", None, None),
    Table("collections", "id", "updated_at", "rows"),
    Table("topics", "id", None, "description"),
    Table("workspaces", "id"),
    Table("types", "id", None, "icon"),
    Table("eps_suppression", "email", None, None),
)
#: Records that belong to one of another table: that table, and what makes them of its key and sequence number.
CHILDREN: Mapping[str, tuple[str, Callable[[WorkspaceSpec, str, int], list[dict[str, Any]]]]] = {
    "campaign_actions": ("campaigns", sending.campaign_actions),
    "broadcast_actions": ("broadcasts", sending.broadcast_actions),
}
DRAFTS = "message_drafts"
TABLE_BY_NAME = {table.name: table for table in (*TABLES, Table(DRAFTS, "id", None, None, "created"))}


@dataclass(frozen=True, slots=True)
class Stock:
    """Where a table's records are: one ledger, or one for each suppression type."""

    ledger: Ledger
    make: Make


def stock_workspace(spec: WorkspaceSpec) -> dict[str, Stock]:
    """Every list of the workspace by table name; suppressions as `eps_suppression/<type>`, drafts as their own list."""
    origins = sending.origins(spec)
    stocks = {
        "broadcasts": _listed(spec, spec.broadcasts, sending.broadcast),
        "transactional_messages": _listed(spec, spec.transactional, sending.transactional),
        "campaigns": _listed(spec, spec.campaigns, sending.campaign),
        "newsletters": _listed(spec, spec.newsletters, sending.newsletter),
        "segments": _listed(spec, spec.segments, account.segment),
        "exports": _listed(spec, spec.exports, account.export),
        "sender_identities": _listed(spec, spec.senders, account.sender),
        "reporting_webhooks": _listed(spec, spec.webhooks, account.webhook),
        "snippets": _listed(spec, spec.snippets, account.snippet, key="name"),
        "collections": _listed(spec, spec.collections, account.collection),
        "topics": _listed(spec, spec.topics, account.topic),
        "types": _listed(spec, spec.object_types, lambda _spec, index, _at: account.object_type(index)),
        "ip_addresses": _addresses(spec),
        "customers": _people(spec),
        "activities": _activities(spec),
        "messages": _deliveries(
            MessageMaker(spec, origins, count=spec.messages, purpose=23, drafts=False), spec.messages
        ),
        DRAFTS: _deliveries(MessageMaker(spec, origins, count=spec.drafts, purpose=24, drafts=True), spec.drafts),
    }
    stocks |= {
        f"eps_suppression/{kind}": _suppressions(spec, kind, number) for number, kind in enumerate(SUPPRESSION_TYPES)
    }
    stocks["workspaces"] = _workspaces(spec, stocks["customers"].ledger, stocks["types"].ledger)
    return stocks


def _timeless(_index: int) -> int:
    return 0


def _listed(
    spec: WorkspaceSpec,
    size: int,
    record: Callable[[WorkspaceSpec, int, int | None], dict[str, Any]],
    key: str = "id",
) -> Stock:
    """A short list: its keys are worked out once, its records on every read."""
    keys = [str(record(spec, index, None)[key]) for index in range(size)]
    places = {name: index for index, name in enumerate(keys)}

    def make(index: int, at: int | None = None) -> bytes:
        return msgspec.json.encode(record(spec, index, at))

    return Stock(Ledger(Source(size, _timeless, make, keys.__getitem__, places.get)), make)


def _addresses(spec: WorkspaceSpec) -> Stock:
    def make(index: int, _at: int | None = None) -> bytes:
        return msgspec.json.encode(account.ip_address(index))

    places = {account.ip_address(index): index for index in range(spec.ip_addresses)}
    keys = list(places)
    return Stock(Ledger(Source(spec.ip_addresses, _timeless, make, keys.__getitem__, places.get)), make)


def _people(spec: WorkspaceSpec) -> Stock:
    departed = spec.people // 50 + 1  # indexes just past the list are people whom old deliveries still name

    def record(index: int) -> bytes:
        return people.person(spec, index)

    def make(index: int, at: int) -> bytes:
        return people.person(spec, index + departed, at)

    def key(index: int) -> str:
        return people.cio_id_of(index, hostile=spec.hostile)

    def find(cio_id: str) -> int | None:
        return people.candidate_index("cio_id", cio_id)

    return Stock(Ledger(Source(spec.people, _timeless, record, key, find)), make)


def _activities(spec: WorkspaceSpec) -> Stock:
    maker = ActivityMaker(spec)
    source = Source(spec.activities, maker.happened, maker.record, maker.key, maker.index_of)
    return Stock(Ledger(source), maker.record)


def _deliveries(maker: MessageMaker, count: int) -> Stock:
    def make(index: int, at: int) -> bytes:
        return maker.record(index, at, at)

    return Stock(Ledger(Source(count, maker.created, maker.record, maker.key, maker.index_of, maker.run)), make)


def suppression_key(kind: str, record: dict[str, Any]) -> str:
    """Type, domain and address joined: what tells one suppression from the others."""
    return "|".join((kind, str(record.get("domain") or ""), str(record["email"])))


def _suppressions(spec: WorkspaceSpec, kind: str, number: int) -> Stock:
    size = spec.suppressions // 4 + (number < spec.suppressions % 4)

    def make(index: int, at: int | None = None) -> bytes:
        return msgspec.json.encode(account.suppression(spec, kind, index, at))

    def key(index: int) -> str:
        return suppression_key(kind, account.suppression(spec, kind, index))

    def find(wanted: str) -> int | None:
        return next((index for index in range(size) if key(index) == wanted), None)

    return Stock(Ledger(Source(size, _timeless, make, key, find)), make)


def _workspaces(spec: WorkspaceSpec, persons: Ledger, types: Ledger) -> Stock:
    def record(index: int) -> bytes:
        return msgspec.json.encode(account.workspace(spec, index, len(persons), len(types)))

    def make(index: int, _at: int) -> bytes:
        return record(index)

    def key(index: int) -> str:
        return str(spec.workspace_id + index)

    def find(wanted: str) -> int | None:
        return int(wanted) - spec.workspace_id if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else None

    return Stock(Ledger(Source(spec.workspaces, _timeless, record, key, find)), make)
