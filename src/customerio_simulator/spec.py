"""What a simulated workspace holds: sizes, times and how hostile its data is."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400
NOW = 1_790_812_800  # 2026-10-01T00:00:00Z: fixed, so that a workspace is the same on every day it is made
SUPPRESSION_TYPES = ("bounces", "blocks", "spam_reports", "invalid_emails")


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    r"""The recipe of a workspace; equal recipes make byte-for-byte equal workspaces.

    Counts are numbers of records (`suppressions`: over the four types together). `start` and `now` are unix seconds:
    deliveries are spread from exactly `start` to exactly `now`, activities over the `activity_retention_days` before
    `now`. `bursts` is the share of the deliveries (0 to 1) that fall into a few short bursts, as newsletters do:
    hundreds or thousands within minutes or within one second. `drafts` are deliveries that only `drafts=true` shows.
    `hostile` mixes in everything that real data does to a careless reader; without it every record fits the published
    schema. `lone_surrogates` adds escapes such as `"\ud83d"` to some activities: legal JSON text that many decoders
    refuse.
    """

    seed: int = 1
    people: int = 250
    messages: int = 3_000
    drafts: int = 20
    bursts: float = 0.0
    activities: int = 1_200
    campaigns: int = 25
    broadcasts: int = 6
    newsletters: int = 130
    transactional: int = 8
    segments: int = 12
    senders: int = 14
    suppressions: int = 160
    exports: int = 9
    snippets: int = 12
    collections: int = 5
    topics: int = 4
    webhooks: int = 3
    ip_addresses: int = 8
    object_types: int = 3
    workspaces: int = 3
    start: int = NOW - 400 * DAY
    now: int = NOW
    activity_retention_days: int = 30
    hostile: bool = True
    lone_surrogates: bool = False
    suppression_domain_field: bool = True
    name: str = "Northwind Coffee"
    workspace_id: int = 101_001

    def __post_init__(self) -> None:
        negative = [field for field in self.__slots__ if isinstance(value := getattr(self, field), int) and value < 0]
        if negative:
            message = f"WorkspaceSpec: {', '.join(negative)} must not be negative"
            raise ValueError(message)
        if not 0.0 <= self.bursts <= 1.0:
            message = "WorkspaceSpec: bursts must be a share from 0 to 1"
            raise ValueError(message)
        if self.start >= self.now:
            message = "WorkspaceSpec: start must lie before now"
            raise ValueError(message)
        if self.workspaces < 1:
            message = "WorkspaceSpec: an account has at least the served workspace"
            raise ValueError(message)
