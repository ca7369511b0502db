"""How the simulated API treats its callers: access, limits, speed and the choices the specification leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Behaviour:
    """Settings of one simulator; may be changed while it runs and hold from the next request on.

    tokens            bearer tokens that are let in
    denied            tables whose endpoints answer 403, as for a key without that scope
    wrong_region      answer 401 to everything, as the other region does (live)
    rps               requests let through in any second, None for no limit
    retry_after       seconds in the Retry-After header of that 429; None leaves the header out
    others_rps        requests per second that come from elsewhere, as the customer's own do, and take their room in
                      the same limit before ours; no effect without `rps`
    others_burst      how many of those come at once; 1 spaces them evenly
    latency           seconds before each answer
    limit_over_max    a `limit` above the ceiling is capped, or answers 400 (unknown in the real API)
    page_ceiling      records on a page at most, whatever `limit` asks for; None for the documented ceilings alone
    oldest_first      messages and activities in ascending order of time (live they descend)
    wrapped_people    attributes answers wrap each person in `{"customer": …}` (spec); live they are not
    deleted_activities  `with`: those of deleted people only with `deleted=true`, beside the others;
                        `always`: in both lists; `only`: `deleted=true` gives nothing else
    trailing_sender_token  senders give a `next` even after the last one (live)
    gzip              compress for clients that accept it
    """

    tokens: tuple[str, ...] = ("simulator-token",)
    denied: frozenset[str] = field(default_factory=frozenset)
    wrong_region: bool = False
    rps: int | None = None
    retry_after: int | None = 1
    others_rps: float = 0.0
    others_burst: int = 1
    latency: float = 0.0
    limit_over_max: Literal["cap", "reject"] = "cap"
    page_ceiling: int | None = None
    oldest_first: bool = False
    wrapped_people: bool = False
    deleted_activities: Literal["with", "always", "only"] = "with"
    trailing_sender_token: bool = True
    gzip: bool = True

    @property
    def of_answers(self) -> tuple[object, ...]:
        """The settings that decide what an answer holds, given the workspace and what is asked."""
        return (
            self.limit_over_max,
            self.page_ceiling,
            self.oldest_first,
            self.wrapped_people,
            self.deleted_activities,
            self.trailing_sender_token,
        )
