"""The workspace that a workload is served from, and how many rows its lists have."""

from __future__ import annotations

from collections import Counter

import msgspec

from benchmarks.fewest import Counts
from benchmarks.workloads import DAYS, Workload
from customerio_simulator import WorkspaceSpec

DAY = 86_400
SEED = 1
SENDERS = "sender_identities"
ACTIONS = "campaign_actions"


def spec_of(workload: Workload, now: float) -> WorkspaceSpec:
    """The workspace, which ends a day before today (`now` in unix seconds), so that there is time for it to change.

    It holds nothing hostile: the baselines have no way to keep a value that changes its type.
    """
    end = int(now) // DAY * DAY - DAY
    return WorkspaceSpec(
        seed=SEED,
        messages=workload.messages,
        people=workload.people,
        activities=workload.activities,
        start=end - DAYS * DAY,
        now=end,
        hostile=False,
    )


class Changes(msgspec.Struct):
    """The keys of one table's rows that came, changed and went."""

    inserted: list[str] = []
    updated: list[str] = []
    deleted: list[str] = []
    expired: list[str] = []

    @property
    def number(self) -> int:
        """Rows that differ in a copy; those that only fell off the log's far end stay in it."""
        return len({*self.inserted, *self.updated, *self.deleted})


class _Sender(msgspec.Struct):
    hidden: bool = False


class _Action(msgspec.Struct):
    campaign_id: int


def edits_for(rows: int, share: float) -> int:
    """How many edits a list make `share` of all `rows` change.

    An evolution with n edits changes 2n messages, 3n people and 4n activities, and up to 3n rows in each short list,
    of which the shortest cannot lose or edit as many: some forty for each edit.
    """
    return max(1, round(rows * share / 40))


def actions_of(records: list[bytes]) -> tuple[int, ...]:
    """How many of these actions each campaign has."""
    return tuple(Counter(msgspec.json.decode(one, type=_Action).campaign_id for one in records).values())


def counts_of(spec: WorkspaceSpec, senders: list[bytes], actions: list[bytes]) -> Counts:
    """The counts of the workspace as its recipe has them; `senders` and `actions` are records of it."""
    hidden = sum(msgspec.json.decode(sender, type=_Sender).hidden for sender in senders)
    kinds = 4
    return Counts(
        actions=actions_of(actions),
        broadcasts=spec.broadcasts,
        messages=spec.messages,
        seconds=spec.now - spec.start,
        people=spec.people,
        activities=spec.activities,
        newsletters=spec.newsletters,
        visible_senders=len(senders) - hidden,
        hidden_senders=hidden,
        suppressions=tuple(spec.suppressions // kinds + (kind < spec.suppressions % kinds) for kind in range(kinds)),
    )
